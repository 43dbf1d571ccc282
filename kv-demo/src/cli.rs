//! The command line: what can be said, and what it means.

mod epidemic;
mod experiment;
mod node;
mod operate;
mod plumtree;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kv_demo::config::{self, Overrides, Phase, SeedAddr};
use kv_demo::experiment::{HostSpec, HostsPlan, LAUNCHER_DEFAULT};
use kv_demo::members::MembersFormat;
use kv_demo::settings::{OVERLAY, Setting};
use kv_demo::topology::{DIM_MAX, Graph, Source, SourceError};

pub(crate) use epidemic::{EpidemicArgs, EpidemicFormat};
pub(crate) use experiment::{CalibrateArgs, ExperimentArgs, ExperimentCommand, WrongFlags};
pub(crate) use node::{NodeArgs, SetupError};
pub(crate) use operate::{JoinArgs, KeysArgs, LeaveArgs};

/// Where the HTTP door is unless said otherwise.
const HTTP_DEFAULT: &str = "127.0.0.1:30500";
/// A gossip key-value store, and the experiment that measures how gossip spreads.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node of the store.
    ///
    /// Three terminals make a cluster:
    ///
    ///   kv-demo node --bind 127.0.0.1:30001 --http 127.0.0.1:30501
    ///   kv-demo node --bind 127.0.0.1:30002 --http 127.0.0.1:30502 --join 127.0.0.1:30001
    ///   kv-demo node --bind 127.0.0.1:30003 --http 127.0.0.1:30503 --join 127.0.0.1:30001
    ///
    /// A fourth one talks to it:
    ///
    ///   curl 'http://127.0.0.1:30501/add?key=color&val=green'
    ///   curl 'http://127.0.0.1:30503/get?key=color'
    ///   kv-demo members --watch --http 127.0.0.1:30501
    ///
    /// Where a flag names an environment variable, the flag wins over it, and it over the file.
    ///
    /// SIGINT (Ctrl-C) and SIGTERM say goodbye to the cluster first; a second one ends at once.
    /// RUST_LOG=debug logs more, RUST_LOG=warn less.
    #[command(verbatim_doc_comment)]
    Node(Box<NodeArgs>),
    /// Ask a running node about its members.
    Members(MembersArgs),
    /// Have a running node join members of a cluster, now.
    ///
    /// All addresses of each name are tried once, and each outcome is printed. The exit code is 0
    /// if at least one answered. What does not answer is given up; `kv-demo node --join` is for
    /// what shall be tried for ever. Asks the node on this host, over its HTTP door.
    Join(JoinArgs),
    /// Have a running node say goodbye and end, and wait for both.
    ///
    /// The others see it leave, not fail. Ctrl-C at the node does the same.
    Leave(LeaveArgs),
    /// List and change the keys of a running node.
    ///
    /// A cluster changes its key without a pause in three steps, each on every member before the
    /// next one begins:
    ///
    ///   kv-demo keygen > new.key
    ///   kv-demo keys install new.key     # everywhere: all understand the new key
    ///   kv-demo keys use FINGERPRINT     # everywhere: all speak with the new key
    ///   kv-demo keys remove FINGERPRINT  # everywhere, of the old key: nobody understands it
    ///
    /// The node's key file follows each change, so that a restart keeps it; comments in it are lost.
    /// Keys are named by fingerprints, which are no secret. A node that was started without
    /// --encrypt-key-file has no keys to change.
    #[command(verbatim_doc_comment)]
    Keys(KeysArgs),
    /// Print a fresh key of 32 bytes in base64, for `kv-demo node --encrypt-key-file`.
    ///
    /// Serf and Consul take it, too. Keep it from others: (umask 077; kv-demo keygen > keys)
    Keygen,
    /// Write a topology file for `node --config` to standard output.
    ///
    /// Nodes are numbered from 1 and laid out in contiguous blocks, one block per host.
    Topology(TopologyArgs),
    /// Spread a key through clusters of processes on this host or several, and measure it.
    ///
    /// Each run starts one process per node (or, with --runtime sim, one machine in virtual time), waits
    /// until all nodes see all nodes, writes one key through the first node's HTTP door and collects the
    /// traces. Everything lands in a folder: report.html, a page that replays the runs, results.json,
    /// results.csv, plots, and the traces themselves.
    ///
    /// Exit codes: 0 all runs ended, whoever was reached or not, which the table says; 1 a run failed; 2 bad
    /// arguments; 130 interrupted.
    ///
    /// With --hosts, the nodes are spread over several hosts in contiguous blocks: the launcher
    /// starts one `kv-demo agent` on each, and everything goes through its standard input and
    /// output. The hosts need kv-demo of this version and must reach each other, UDP and TCP on
    /// free ports; the coordinator needs the launcher only. Their clocks are compared all the
    /// while, and the table says how well.
    Experiment(Box<ExperimentArgs>),
    /// Sum an experiment's folder up again, from its traces.
    ///
    /// Writes everything in the folder anew but the traces: results.json, results.csv, the plots and
    /// the page to look at, report.html. The page is one file that needs no other and no network: it
    /// replays a run of each mode, and has the table and the plots.
    Report(ReportArgs),
    /// Start and stop the nodes of an experiment on this host, for its coordinator.
    ///
    /// `kv-demo experiment --hosts` starts this through SSH or whatever else its --launcher says,
    /// and speaks with it over standard input and output. An agent listens on no port and runs no
    /// program but this one. It ends, with all its nodes, when its input ends or says nothing for
    /// 15 s.
    Agent,
    /// One process of a calibration.
    #[command(hide = true)]
    Flood(FloodArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FloodArgs {
    /// Where to listen, on a free port
    #[arg(long, value_name = "IP")]
    pub(crate) bind: IpAddr,
}

/// Which hosts share an experiment, and how they are reached.
#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    /// Hosts that share the nodes, separated by commas. Nodes bind and advertise ADDR, which the
    /// other hosts must reach; without it NAME's own address is taken
    #[arg(long, value_name = "NAME[=ADDR],...", value_delimiter = ',')]
    hosts: Vec<HostSpec>,
    /// The command that starts an agent on a host; {host} stands for its NAME. It is split into
    /// words as a shell would, and run without one. It must not ask for anything
    #[arg(long, value_name = "COMMAND", default_value = LAUNCHER_DEFAULT, requires = "hosts")]
    launcher: String,
}

impl HostsArgs {
    /// `None`: this host alone.
    pub(crate) fn plan(&self) -> Option<HostsPlan> {
        let (hosts, launcher) = (self.hosts.clone(), self.launcher.clone());
        (!hosts.is_empty()).then_some(HostsPlan { hosts, launcher })
    }
}

/// Where a node's numbers come from, and what replaces them.
#[derive(Clone, Debug, Args)]
pub(crate) struct KnobArgs {
    /// Time between gossip ticks, such as 200ms or 0.5s
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    interval: Option<u32>,
    /// Members or links that a tick sends to
    #[arg(long, value_name = "N")]
    fanout: Option<u32>,
    /// Each node sends a rumour this many times log10 of the cluster's size. Not in mode matching,
    /// whose trees repeat nothing, unless with --prune off
    #[arg(long, value_name = "FACTOR")]
    retransmit: Option<u32>,
    /// Whether rumours also ride on probes and their answers. Off and with --phase random, a bus
    /// shows the chain's own time. Not in mode matching unless with --prune off
    #[arg(long, value_name = "on|off")]
    piggyback: Option<Switch>,
    /// When ticks begin: one interval after the start, as memberlist's do, or at random [default:
    /// the preset's]
    #[arg(long)]
    phase: Option<Phase>,
    /// Modes thesis-matching and matching: where their links come from; static, which are those of
    /// the topology or of --neighbor, as without it
    #[arg(long)]
    overlay: Option<Links>,
    /// Modes thesis-classic, thesis-matching and classic: whether a copy of what is known is dropped,
    /// or queued again as the original's baseline does [default: off for thesis-classic, on for the
    /// others]
    #[arg(long, value_name = "on|off")]
    dedup: Option<Switch>,
    /// Mode matching: whether rumours are forwarded the moment they arrive; off, ticks send
    /// them, and nothing is pruned unless --prune says so
    #[arg(long, value_name = "on|off")]
    immediate: Option<Switch>,
    /// Mode matching: whether links that bring duplicates carry ids only from then on, so that a
    /// tree remains
    #[arg(long, value_name = "on|off")]
    prune: Option<Switch>,
    /// Mode matching: whether nodes tell each other what they have, and ask for what they lack
    #[arg(long, value_name = "on|off")]
    repair: Option<Switch>,
    /// Mode matching: whether links computed from the members keep the cluster connected when
    /// others die
    #[arg(long, value_name = "on|off")]
    floor: Option<Switch>,
}

/// Where links come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Links {
    /// A list that does not change.
    Static,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl KnobArgs {
    /// These over those of a file.
    fn over(&self, file: Overrides) -> Overrides {
        let (None | Some(Links::Static)) = self.overlay;
        let is_on = |switch: Option<Switch>| switch.map(|switch| switch == Switch::On);
        Overrides {
            gossip_interval_ms: self.interval.or(file.gossip_interval_ms),
            fanout: self.fanout.or(file.fanout),
            retransmit_mult: self.retransmit.or(file.retransmit_mult),
            piggyback: is_on(self.piggyback).or(file.piggyback),
            phase: self.phase.or(file.phase),
            dedup: is_on(self.dedup).or(file.dedup),
            immediate: is_on(self.immediate).or(file.immediate),
            prune: is_on(self.prune).or(file.prune),
            repair: is_on(self.repair).or(file.repair),
            floor: is_on(self.floor).or(file.floor),
            ..file
        }
    }

    /// What only some modes obey of what was given.
    fn limited(&self) -> impl Iterator<Item = Setting> {
        let overlay = self.overlay.map(|Links::Static| OVERLAY);
        self.over(Overrides::default()).limited().chain(overlay)
    }
}

#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    /// The node's HTTP door
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_DEFAULT)]
    pub(crate) http: SeedAddr,
    /// Stay, and print each change with its cause
    #[arg(long)]
    pub(crate) watch: bool,
    /// How to print
    #[arg(long, default_value = "table")]
    pub(crate) format: MembersFormat,
}

#[derive(Debug, Args)]
pub(crate) struct TopologyArgs {
    /// The graph: bus, ring, hypercube, random-regular[:LINKS], geometric, full, or file:PATH with a
    /// link per line
    topology: Source,
    /// Its dimension: 2^D nodes
    #[arg(long, value_name = "D", conflicts_with = "nodes")]
    dim: Option<u32>,
    /// How many nodes it has
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// What decides about a graph that is drawn
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The hosts that share the nodes
    #[arg(long, value_name = "IP,...", value_delimiter = ',', default_value = "127.0.0.1")]
    pub(crate) hosts: Vec<IpAddr>,
    /// The language of the file
    #[arg(long, default_value = "toml")]
    pub(crate) format: config::Format,
    /// First gossip port of each host [default: 30000]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// First HTTP port of each host [default: 30500, or behind the gossip ports]
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<u16>,
}

impl TopologyArgs {
    /// The graph that is asked for.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub(crate) fn graph(&self) -> Result<Graph, SourceError> {
        self.topology.graph(self.dim, self.nodes, self.seed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Table,
    /// For programs: one JSON object.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The folder that an experiment wrote
    pub(crate) dir: PathBuf,
    /// Where the page to look at goes [default: report.html in DIR]
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Open the page
    #[arg(long)]
    pub(crate) open: bool,
    /// How to print the results
    #[arg(long, default_value = "table")]
    pub(crate) format: OutputFormat,
}

/// What was given, each thing once, or the default.
fn given_or<T: Clone + PartialEq>(given: &[T], default: &[T]) -> Vec<T> {
    let mut things = Vec::new();
    for thing in if given.is_empty() { default } else { given } {
        if !things.contains(thing) {
            things.push(thing.clone());
        }
    }
    things
}

/// From a link between two nodes to the largest cube that files can describe.
fn dimension() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(DIM_MAX))
}

/// Reads a time that may be zero.
fn parse_pause(text: &str) -> Result<u32, String> {
    if text == "0" { Ok(0) } else { parse_millis(text) }
}

/// Reads an address, or says how to write one.
fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    let wrong = |_| "write it as IP:PORT, such as 127.0.0.1:7946 or [::1]:7946".to_owned();
    text.parse().map_err(wrong)
}

/// Reads a time such as `500ms`, `0.5s`, `2s` or `500` (milliseconds).
fn parse_millis(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a time: write it as 500ms or 0.5s");
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => text.strip_suffix('s').map_or((text, 1.0), |number| (number, 1_000.0)),
    };
    let millis = number.trim().parse::<f64>().map_err(|_| wrong())? * factor;
    // A day is more than any of these times can sensibly be.
    if !(1.0..=86_400_000.0).contains(&millis) {
        return Err(format!("`{text}` is out of range: use 1ms to 86400s"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(millis.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::node::tests::setup;
    use super::*;
    use clap::CommandFactory as _;
    use kv_demo::config::Mode;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_with_and_without_unit() {
        for (text, millis) in [("500ms", 500), ("0.5s", 500), ("2s", 2_000), ("20", 20)] {
            assert_eq!(parse_millis(text), Ok(millis), "{text}");
        }
        for text in ["", "s", "-1s", "0", "fast", "1e99s", "NaN"] {
            assert!(parse_millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_without_a_port_is_refused_with_the_form() {
        for flag in ["--bind", "--advertise", "--http", "--neighbor"] {
            let refused = Cli::try_parse_from(["kv-demo", "node", flag, "127.0.0.1"]).unwrap_err();
            assert!(refused.to_string().contains("IP:PORT, such as 127.0.0.1:7946"), "{refused}");
        }
        assert!(Cli::try_parse_from(["kv-demo", "members", "--http", "localhost:30500"]).is_ok());
    }

    #[test]
    fn knobs_travel_to_the_nodes_of_an_experiment_that_obey_them() {
        let line = "kv-demo experiment --interval 0.1s --fanout 2 --retransmit 3 --piggyback off --dedup on \
                    --phase random --overlay static --immediate on --prune off --repair off \
                    --floor off";
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Experiment(args) = cli.command else { panic!("an experiment") };
        let options = args.options().unwrap();
        for mode in Mode::ALL {
            let obeyed = options.overrides.obeyed_by(mode);
            let node = format!("kv-demo node --mode {mode} {}", obeyed.words().join(" "));
            assert_eq!(setup(&node).settings.overrides, obeyed);
        }
        assert_eq!(options.override_words, options.overrides.words());
        assert_eq!(options.overrides.piggyback, Some(false));
        assert_eq!(options.overrides.dedup, Some(true));
        let Overrides { immediate, prune, repair, floor, .. } = options.overrides;
        assert_eq!((immediate, prune), (Some(true), Some(false)));
        assert_eq!((repair, floor), (Some(false), Some(false)));
    }

    #[test]
    fn so_many_messages_as_the_help_says_are_measured() {
        let messages = |flags: &str| {
            let line = format!("kv-demo experiment {flags}");
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            let Command::Experiment(args) = cli.command else { panic!("an experiment") };
            args.options().unwrap().conditions.messages
        };
        assert_eq!(["", "--rate 5", "--rate 5 --messages 1"].map(messages), [1, 100, 1]);
        let mut help = Cli::command();
        let experiment = help.find_subcommand_mut("experiment").unwrap();
        let text = experiment.render_long_help().to_string();
        assert!(text.contains("[default: 1, with --rate 100]"), "{text}");
    }

    #[test]
    fn hosts_are_separated_by_commas_and_a_launcher_needs_some() {
        let parse = |line: &str| {
            let cli = Cli::try_parse_from(line.split_whitespace()).ok()?;
            let Command::Experiment(args) = cli.command else { return None };
            Some(args.options().unwrap().hosts)
        };
        let plan = parse("kv-demo experiment --hosts a=192.0.2.1,192.0.2.2").unwrap().unwrap();
        assert_eq!((plan.hosts.len(), plan.hosts[1].name.as_str()), (2, "192.0.2.2"));
        assert_eq!(plan.launcher, "ssh {host} kv-demo agent");
        assert_eq!(parse("kv-demo experiment"), Some(None));
        assert_eq!(parse("kv-demo experiment --launcher ssh-{host}"), None);
        assert_eq!(parse("kv-demo experiment --hosts a=somewhere"), None);
    }
}
