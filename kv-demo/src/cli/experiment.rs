//! `kv-demo experiment`: what can be said about an experiment, and what it means.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use kv_demo::config::{Mode, Overrides, Preset};
use kv_demo::experiment::{
    Churn, Conditions, Continue, Delay, Keep, Kill, MESSAGES_MAX, Options, Place, RATE_MAX,
    WorldPlan,
};
use kv_demo::metrics::Runtime;
use kv_demo::settings::{self, Unheeded};
use kv_demo::topology::{Graph, Source, SourceError, Topology, node_count};
use kv_demo::trace::TraceFormat;
use rumormill_sim::Ratio;

use super::plumtree::PlumtreeArgs;
use super::{
    EpidemicArgs, HostsArgs, KnobArgs, OutputFormat, dimension, given_or, parse_millis, parse_pause,
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ExperimentArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ExperimentCommand>,
    /// The graph: bus, ring, hypercube, random-regular[:LINKS] (5 unless told otherwise),
    /// geometric, full, or file:PATH with a link per line; several are separated by commas [default:
    /// hypercube, with --suite bus,ring,hypercube]
    #[arg(long, value_delimiter = ',')]
    topology: Vec<Source>,
    /// Its dimension: 2^D nodes; several are separated by commas [default: 4, with --quick 3, with
    /// --suite 2 to 10]
    #[arg(long, value_name = "D", value_delimiter = ',', value_parser = dimension())]
    dim: Vec<u32>,
    /// How many nodes it has, instead of its dimension; several are separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', conflicts_with = "dim")]
    nodes: Vec<usize>,
    /// The modes to compare [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// How often each [default: 3, with --quick 1, with --suite 20]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,
    /// Where the numbers come from: the thesis', those of the document before it (seed), or
    /// memberlist's
    #[arg(long, alias = "profile", default_value = "thesis")]
    preset: Preset,
    #[command(flatten)]
    knobs: KnobArgs,
    /// Count copies for this long after the creation [default: the preset's, for thesis D seconds]
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    window: Option<u32>,
    /// Wait this long for the last receipt
    #[arg(long, value_name = "TIME", value_parser = parse_millis, default_value = "20s")]
    horizon: u32,
    /// Time between the starts of two nodes; where ticks count from the start, as memberlist's do,
    /// it is their phase. Without effect with --phase aligned
    #[arg(long, value_name = "TIME", value_parser = parse_millis, default_value = "20ms")]
    spacing: u32,
    #[command(flatten)]
    hosts: HostsArgs,
    /// Write the key no earlier than this after the first start. Probes count from the start too:
    /// it decides whether some fall into the window
    #[arg(long, value_name = "TIME", value_parser = parse_pause, default_value = "0")]
    warm_up: u32,
    /// Rounds of the bare flood that shows the floor of this machine; 0 leaves it out. In virtual
    /// time the floor is computed
    #[arg(long, value_name = "N", default_value_t = 20)]
    calibrate_rounds: u32,
    /// Form of the traces; `thesis` is what the original's scripts read
    #[arg(long, default_value = "json")]
    trace_format: TraceFormat,
    /// What the nodes are: processes with sockets, or machines in the simulator's virtual time
    /// [default: udp, with --suite sim]
    #[arg(long)]
    runtime: Option<Runtime>,
    /// Where all chance comes from: in virtual time the same seed gives the same results, of
    /// processes it decides about graphs that are drawn and who is killed [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Virtual time only: how long datagrams travel, none, uniform:MS or thesis (25 ms inside and
    /// 250 ms between four contiguous groups)
    #[arg(long, value_name = "DELAY", default_value = "none")]
    delay: Delay,
    /// Virtual time only: share of datagrams that are lost from the first measured message on, such
    /// as 5%
    #[arg(long, value_name = "P", default_value = "0")]
    loss: Ratio,
    #[command(flatten)]
    load: LoadArgs,
    /// Run everything that the original's batch script ran; what is finished in --out already is
    /// not run again
    #[arg(long)]
    suite: Option<Suite>,
    /// Go on with the experiment in --out where it was interrupted
    #[arg(long, requires = "out")]
    resume: bool,
    /// What remains of each run: its traces, or the figures made of them [default: traces, with
    /// --suite figures]
    #[arg(long, value_name = "WHAT")]
    keep: Option<Keep>,
    /// Where everything goes [default: out/N, the first that is free; with --suite out/suite]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to print the results
    #[arg(long, default_value = "table")]
    pub(crate) format: OutputFormat,
    /// A small and fast one: 8 nodes, one repeat
    #[arg(long)]
    quick: bool,
    /// Open the page when all is done
    #[arg(long)]
    pub(crate) open: bool,
}

/// What is written into the clusters, and what is done to them meanwhile.
#[derive(Clone, Copy, Debug, Args)]
struct LoadArgs {
    /// Messages before those that are measured, in mode matching: its trees take shape. The other modes have
    /// nothing to warm up, and begin with the first that is measured
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(MESSAGES_MAX)))]
    warm: u32,
    /// Messages that are measured [default: 1, with --rate 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MESSAGES_MAX)))]
    messages: Option<u32>,
    /// Write so many messages per second, whether or not the former ones have arrived; otherwise one
    /// after another
    #[arg(long, value_name = "MSGS_PER_S", value_parser = rate)]
    rate: Option<NonZeroU32>,
    /// Kill nodes right before the first measured message, all at once: a share of them, a number of
    /// them, or cut, the one or two that part the graph. Never the first, which writes
    #[arg(long, value_name = "P%|N|cut")]
    kill: Option<Kill>,
    /// Virtual time only: from the first measured message on, this share of the nodes dies per minute,
    /// one after another, and each comes back after 5 s without its memory
    #[arg(long, value_name = "P%/min")]
    churn: Option<Churn>,
}

impl LoadArgs {
    fn conditions(self) -> Conditions {
        let Self { warm, messages, rate, kill, churn } = self;
        let messages = messages.unwrap_or(if rate.is_some() { 100 } else { 1 });
        Conditions { warm, messages, rate, kill, churn }
    }
}

/// Reads a number of messages per second.
fn rate(text: &str) -> Result<NonZeroU32, String> {
    let rate = text.parse().ok().filter(|rate: &NonZeroU32| rate.get() <= RATE_MAX);
    rate.ok_or_else(|| {
        format!(
            "`{text}` is no rate: use a whole number of messages per second, 1 to {RATE_MAX}; without \
             --rate each waits for the one before"
        )
    })
}

/// A list of runs with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Bus, ring and hypercube of 4 to 1024 nodes.
    Thesis,
}

/// Flags of an experiment that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongPlace {
    /// Only the simulator can obey it.
    #[error("{0} is for virtual time only: add --runtime sim, or leave it out")]
    NotForProcesses(&'static str),
    /// The original's log does not say which message a copy is of.
    #[error(
        "--trace-format thesis tells one message only: leave --warm, --messages and --rate out"
    )]
    NoIds,
    /// Virtual time passes on one host.
    #[error("--hosts is for processes: add --runtime udp, or leave it out")]
    NotForWorlds,
}

/// Flags that make no experiment; one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WrongFlags {
    #[error(transparent)]
    Place(#[from] WrongPlace),
    #[error(transparent)]
    Graph(#[from] SourceError),
    #[error(transparent)]
    Unheeded(#[from] Unheeded),
}

impl WrongFlags {
    /// Whether the command line alone is wrong, and not a file that it names.
    pub(crate) const fn is_usage(&self) -> bool {
        !matches!(self, Self::Graph(SourceError::File(_)))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExperimentCommand {
    /// Measure the floor of this machine: the same processes, a bare UDP flood, nothing else.
    Calibrate(CalibrateArgs),
    /// Rerun the Plumtree paper's set-up in virtual time: ten thousand nodes that know five neighbours
    /// each, one broadcast after another, then deaths that nobody detects.
    ///
    /// Published figures stand beside ours if there are ten thousand nodes, with `ok` or OUT where they
    /// are judged: what a message costs on a tree that stands (within 10 %, hops within 20 %), and
    /// whom the first one reaches after deaths. `linked` counts the living that the graph still links
    /// with the sender: nobody else can be reached, and all of them must be. The paper's share is held
    /// against the average over all the living as senders (within 10 points), because in some of its
    /// few runs the sender seems to have been cut off; after 60 % of deaths that is OUT. The exit code
    /// is 1 if anything else is. Without flags it takes some two minutes.
    Plumtree(PlumtreeArgs),
    /// Study rumours among sites that lose interest: residue, traffic and delay by policy.
    ///
    /// No process and no network: in each cycle sites contact others at random, and one that has told a
    /// rumour in vain often enough loses interest in it (Demers et al. 1987, §1.4). So a few sites are
    /// never told. Without flags this repeats the published tables, 1000 runs of each row, and says
    /// where residue and traffic are within 10 % or half a unit of the last printed digit; the exit code
    /// is 1 if one of them is not.
    ///
    ///   kv-demo experiment epidemic                          # the published tables
    ///   kv-demo experiment epidemic --exchange push,pull,push-pull --k 1,2,3
    ///   kv-demo experiment epidemic --interest feedback,blind --stop counter,coin --sites 10000
    ///   kv-demo experiment epidemic --partner any,not-back,unsent --k 2 --sites 20
    ///
    /// The last line compares whom a site may tell: any other, as published; not the one that told it
    /// first; nor those that it told already. Among a thousand sites it hardly matters, among twenty it does.
    ///
    /// The repair of mode `matching` follows one of them: push-pull, feedback, a counter of 3.
    #[command(verbatim_doc_comment)]
    Epidemic(EpidemicArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// The graph
    #[arg(long, default_value = "hypercube")]
    topology: Source,
    /// Its dimension: 2^D nodes [default: 4]
    #[arg(long, value_name = "D", value_parser = dimension(), conflicts_with = "nodes")]
    dim: Option<u32>,
    /// How many nodes it has, instead of its dimension
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// What decides about a graph that is drawn
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Floods
    #[arg(long, value_name = "R", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    #[command(flatten)]
    pub(crate) hosts: HostsArgs,
    /// How to print
    #[arg(long, default_value = "table")]
    pub(crate) format: OutputFormat,
}

impl CalibrateArgs {
    /// The graph that is asked for.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub(crate) fn graph(&self) -> Result<Graph, SourceError> {
        let dim = self.dim.or(self.nodes.is_none().then_some(4));
        self.topology.graph(dim, self.nodes, self.seed)
    }
}

impl ExperimentArgs {
    /// What is to be run.
    ///
    /// # Errors
    ///
    /// [`WrongFlags`], also for a flag that the nodes, being where they are and of such modes, do not
    /// obey.
    pub(crate) fn options(&self) -> Result<Options, WrongFlags> {
        let place = self.place()?;
        let Conditions { warm, messages, .. } = self.load.conditions();
        if self.trace_format == TraceFormat::Thesis && warm + messages > 1 {
            return Err(WrongPlace::NoIds.into());
        }
        let is_suite = self.suite.is_some();
        let repeats = match (self.suite, self.quick) {
            (Some(Suite::Thesis), _) => 20,
            (None, true) => 1,
            (None, false) => 3,
        };
        let (keep, go_on) = match (is_suite, self.resume) {
            (true, _) => (Keep::Figures, Continue::Finished),
            (false, true) => (Keep::Traces, Continue::Finished),
            (false, false) => (Keep::Traces, Continue::Never),
        };
        let out = || if is_suite { PathBuf::from("out/suite") } else { free_dir() };
        let (overrides, modes) =
            (self.knobs.over(Overrides::default()), given_or(&self.modes, &Mode::ALL));
        let warm = (warm > 0).then_some(settings::WARM);
        let limited = self.knobs.limited().chain(warm);
        settings::check(limited, settings::Source::Flags, &modes, overrides)?;
        Ok(Options {
            graphs: self.graphs()?,
            seed: self.seed(),
            modes,
            repeats: self.repeat.unwrap_or(repeats),
            preset: self.preset,
            overrides,
            override_words: overrides.words(),
            conditions: self.load.conditions(),
            window_ms: self.window.map(u64::from),
            horizon_ms: self.horizon.into(),
            spacing_ms: self.spacing.into(),
            warm_up_ms: self.warm_up.into(),
            calibrate_rounds: self.calibrate_rounds,
            trace_format: self.trace_format,
            place,
            keep: self.keep.unwrap_or(keep),
            go_on,
            out: self.out.clone().unwrap_or_else(out),
            hosts: self.hosts.plan(),
        })
    }

    /// The graphs, topology by topology.
    fn graphs(&self) -> Result<Vec<Arc<Graph>>, SourceError> {
        let (topologies, dims) = match (self.suite, self.quick) {
            (Some(Suite::Thesis), _) => (Topology::ORIGINAL.to_vec(), (2..=10).collect()),
            (None, true) => (vec![Topology::Hypercube], vec![3]),
            (None, false) => (vec![Topology::Hypercube], vec![4]),
        };
        let rules: Vec<Source> = topologies.into_iter().map(Source::Rule).collect();
        let dims = given_or(&self.dim, &dims).into_iter().map(node_count).collect();
        let sizes = if self.nodes.is_empty() { dims } else { given_or(&self.nodes, &[]) };
        let mut graphs = Vec::new();
        for source in given_or(&self.topology, &rules) {
            graphs.extend(source.graphs(&sizes, self.seed())?.into_iter().map(Arc::new));
        }
        Ok(graphs)
    }

    /// Whether the seed decides about anything that processes do.
    fn draws(&self) -> bool {
        self.load.kill.is_some() || self.topology.iter().any(Source::is_drawn)
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }

    fn place(&self) -> Result<Place, WrongPlace> {
        let runtime = self.runtime.unwrap_or(match self.suite {
            Some(_) => Runtime::Sim,
            None => Runtime::Udp,
        });
        let loss_ppm = self.loss.as_per_million();
        match runtime {
            Runtime::Sim if self.hosts.plan().is_some() => Err(WrongPlace::NotForWorlds),
            Runtime::Sim => {
                let world = WorldPlan { seed: self.seed(), delay: self.delay, loss_ppm };
                Ok(Place::World(world))
            }
            Runtime::Udp if self.seed.is_some() && !self.draws() => {
                Err(WrongPlace::NotForProcesses("--seed"))
            }
            Runtime::Udp if self.delay != Delay::None => {
                Err(WrongPlace::NotForProcesses("--delay"))
            }
            Runtime::Udp if loss_ppm != 0 => Err(WrongPlace::NotForProcesses("--loss")),
            Runtime::Udp if self.load.churn.is_some() => {
                Err(WrongPlace::NotForProcesses("--churn"))
            }
            Runtime::Udp => Ok(Place::Processes),
        }
    }
}

/// The first folder `out/N` that does not exist: no experiment overwrites another.
fn free_dir() -> PathBuf {
    let dirs = (1_u32..).map(|number| PathBuf::from("out").join(number.to_string()));
    dirs.into_iter().find(|dir| !dir.exists()).unwrap_or_else(|| PathBuf::from("out"))
}
