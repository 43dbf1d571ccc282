//! `kv-demo node`: what can be said about a node, and what file and flags say together.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use kv_demo::config::{self, ConfigError, Mode, NodeFile, Overrides, Preset, Seed};
use kv_demo::node::{Control, NodeSetup};
use kv_demo::resolve::Resolver;
use kv_demo::settings::{self, NEIGHBOR, Settings, Source, Unheeded};
use kv_demo::trace::TraceFormat;
use kv_demo::wire::WireError;

use super::wire::WireArgs;
use super::{HTTP_DEFAULT, KnobArgs, parse_addr};

/// Where gossip is unless said otherwise: memberlist's port on all addresses.
const BIND_DEFAULT: &str = "0.0.0.0:7946";

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Read the node from a topology file (TOML, or the original's INI); flags override it
    #[arg(
        long,
        value_name = "FILE",
        requires = "name",
        env = "KV_DEMO_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// With --config: which node of the file. Without: what the cluster calls this node [default:
    /// its advertised address]
    #[arg(long, value_name = "NAME", env = "KV_DEMO_NAME", hide_env_values = true)]
    name: Option<String>,
    /// Where to listen for gossip, UDP and TCP [default: 0.0.0.0:7946]
    #[arg(long, value_name = "IP:PORT", value_parser = parse_addr, env = "KV_DEMO_BIND", hide_env_values = true)]
    bind: Option<SocketAddr>,
    /// Where others reach this node, if not there; port 0 stands for the bound one
    #[arg(long, value_name = "IP:PORT", value_parser = parse_addr, env = "KV_DEMO_ADVERTISE", hide_env_values = true)]
    advertise: Option<SocketAddr>,
    /// Where to answer HTTP [default: 127.0.0.1:30500]
    #[arg(long, value_name = "IP:PORT", value_parser = parse_addr, env = "KV_DEMO_HTTP", hide_env_values = true)]
    http: Option<SocketAddr>,
    /// A member to join through; may be repeated. HOST is an address or a name, and PORT 7946
    /// unless told otherwise. A name that starts with an underscore, or follows `srv:`, is that of
    /// a service: its SRV records tell hosts and ports. All addresses of a name are tried, what does
    /// not answer is tried for ever, and names are resolved again for ever
    #[arg(
        long,
        value_name = "[NAME/]HOST[:PORT]|_SERVICE",
        value_delimiter = ',',
        env = "KV_DEMO_JOIN",
        hide_env_values = true
    )]
    join: Vec<Seed>,
    /// Ask this DNS server about the names to join, hosts and services; without it the system's
    /// resolver finds hosts, and the servers of /etc/resolv.conf find services
    #[arg(long, value_name = "IP:PORT", value_parser = parse_addr, env = "KV_DEMO_DNS_SERVER", hide_env_values = true)]
    dns_server: Option<SocketAddr>,
    /// How rumours spread [default: classic]
    #[arg(long, env = "KV_DEMO_MODE", hide_env_values = true)]
    mode: Option<Mode>,
    /// Where the numbers come from [default: lan]
    #[arg(long, visible_alias = "preset", env = "KV_DEMO_PROFILE", hide_env_values = true)]
    profile: Option<Preset>,
    /// A link of modes thesis-matching and matching, by advertised address; may be repeated
    #[arg(long, value_name = "IP:PORT", value_parser = parse_addr)]
    neighbor: Vec<SocketAddr>,
    #[command(flatten)]
    wire: WireArgs,
    #[command(flatten)]
    knobs: KnobArgs,
    /// Write a trace of rumours to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Form of the trace; `thesis` is what the original's scripts read
    #[arg(long, default_value = "json")]
    trace_format: TraceFormat,
    /// Take orders from an experiment on standard input
    #[arg(long, hide = true)]
    control: bool,
    /// What the node is called in its trace
    #[arg(long, hide = true)]
    trace_name: Option<String>,
}

/// Why flags and file make no node; one line that names the fix.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    File(#[from] ConfigError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Flag(#[from] Unheeded),
    #[error("{}: {error}", path.display())]
    Key { path: PathBuf, error: Unheeded },
}

impl SetupError {
    /// Whether the command line alone is wrong, and not a file that it names.
    pub(crate) const fn is_usage(&self) -> bool {
        matches!(self, Self::Flag(_))
    }
}

impl NodeArgs {
    /// What the flags and the file say together.
    ///
    /// # Errors
    ///
    /// What is wrong with the file or the keys, or what the node's mode does not obey.
    pub(crate) fn setup(self) -> Result<NodeSetup, SetupError> {
        let file = match (&self.config, &self.name) {
            (Some(path), Some(name)) => Some(config::load(path, name)?),
            _ => None,
        };
        let from_file = file.as_ref();
        let overrides = from_file.map(|file| file.overrides).unwrap_or_default();
        let wishes = from_file.map(|file| file.wire.clone()).unwrap_or_default();
        let (wire, key_file, hints) = self.wire.clone().wishes().over(wishes).grant()?;
        let settings = Settings {
            preset: self.profile.or(overrides.preset).unwrap_or(Preset::Lan),
            mode: self.mode.or(overrides.mode).unwrap_or(Mode::Classic),
            overrides: self.knobs.over(overrides),
            neighbors: first_given(&self.neighbor, from_file.map(|file| &file.neighbors)),
            wire,
        };
        self.check_obeyed(&settings, overrides)?;
        let address = |text: &str| text.parse::<SocketAddr>().ok();
        let bind = self.bind.or(from_file.map(|file| file.bind)).or(address(BIND_DEFAULT));
        let http = self.http.or_else(|| match from_file {
            Some(file) => file.http,
            None => address(HTTP_DEFAULT),
        });
        Ok(NodeSetup {
            trace_name: self.trace_name.or_else(|| from_file.map(|file| file.name.clone())),
            name: wire_name(from_file, self.name.clone()),
            bind: bind.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 7_946))),
            advertise: self.advertise.or(from_file.and_then(|file| file.advertise)),
            http,
            seeds: first_given(&self.join, from_file.map(|file| &file.seeds)),
            resolver: Resolver::new(self.dns_server.or(from_file.and_then(|file| file.dns_server))),
            settings,
            key_file,
            hints,
            trace: self.trace.map(|path| (path, self.trace_format)),
            control: if self.control { Control::Orders } else { Control::Signals },
        })
    }

    /// Refuses what the node's mode does not obey.
    fn check_obeyed(&self, settings: &Settings, file: Overrides) -> Result<(), SetupError> {
        let (modes, all) = ([settings.mode], settings.overrides);
        let links = self.neighbor.first().map(|_| NEIGHBOR);
        settings::check(self.knobs.limited().chain(links), Source::Flags, &modes, all)?;
        match &self.config {
            // A flag that replaces the file's mode is no mistake of the file's.
            Some(path) if self.mode.is_none() => {
                settings::check(file.limited(), Source::File, &modes, all)
                    .map_err(|error| SetupError::Key { path: path.clone(), error })
            }
            _ => Ok(()),
        }
    }
}

/// With a file, `--name` chooses in it and the file says what the cluster calls the node.
fn wire_name(file: Option<&NodeFile>, name: Option<String>) -> Option<String> {
    match file {
        Some(file) => Some(file.wire_name.clone()),
        None => name,
    }
}

fn first_given<T: Clone>(flags: &[T], file: Option<&Vec<T>>) -> Vec<T> {
    if flags.is_empty() { file.cloned().unwrap_or_default() } else { flags.to_vec() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser as _;

    pub(in super::super) fn setup(line: &str) -> NodeSetup {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Node(args) = cli.command else { panic!("a node") };
        args.setup().unwrap()
    }

    #[test]
    fn a_node_without_flags_has_sensible_doors() {
        let setup = setup("kv-demo node");
        assert_eq!(setup.bind.to_string(), BIND_DEFAULT);
        assert_eq!(setup.http.map(|addr| addr.to_string()).as_deref(), Some(HTTP_DEFAULT));
        assert_eq!((setup.name, setup.settings.mode), (None, Mode::Classic));
    }

    #[test]
    fn a_profile_is_what_was_called_a_preset() {
        for flag in ["--profile", "--preset"] {
            assert_eq!(setup(&format!("kv-demo node {flag} serf")).settings.preset, Preset::Serf);
        }
        assert_eq!(setup("kv-demo node").settings.preset, Preset::Lan);
    }

    #[test]
    fn the_environment_is_what_experiments_keep_from_their_nodes() {
        let cli = <Cli as clap::CommandFactory>::command();
        let node = cli.find_subcommand("node").unwrap();
        let names = node.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
        let names: std::collections::BTreeSet<_> = names.collect();
        assert_eq!(names, config::ENVIRONMENT.into());
        for other in cli.get_subcommands().filter(|other| other.get_name() != "node") {
            assert!(other.get_arguments().all(|arg| arg.get_env().is_none()));
        }
    }
}
