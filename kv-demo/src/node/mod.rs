//! A running node of the store: gossip, HTTP door, signals.

mod app;
mod changes;
mod command;
pub mod control;
mod http;
mod joins;
mod operate;
mod query;
mod seeds;
mod view;

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use rumormill::{Config, ConfigError, NameError, NodeName, Params};
use rumormill_mio::{Handle, NodeKey, NodeOptions, Runtime, StartError};
use thiserror::Error;

use app::{KvApp, Master};
use command::Command;
use http::{Inside, OpenDoor};
use operate::KeyDoor;

pub(crate) use app::wall;
pub use changes::{CHANGES_MAX, Change, What};
pub use joins::Reached;
pub use operate::{AddressView, JOIN_WAIT_MAX_MS, JoinView, KeysView, OPERATOR, SeedView};
pub use view::{MemberView, MembersView};

use crate::config::Seed;
use crate::keys::KeyFile;
use crate::resolve::Resolver;
use crate::settings::Settings;
use crate::trace::{TraceFormat, TraceWriter};

/// What a node needs to run.
#[derive(Clone, Debug)]
pub struct NodeSetup {
    /// What it is called in traces, such as `Node1`; `None` takes its name.
    pub trace_name: Option<String>,
    /// What the cluster calls it; `None` takes its advertised address.
    pub name: Option<String>,
    /// Where it listens for gossip, UDP and TCP.
    pub bind: SocketAddr,
    /// Where others reach it, if not there.
    pub advertise: Option<SocketAddr>,
    /// Where its HTTP door is; `None`: nowhere.
    pub http: Option<SocketAddr>,
    /// Whom to join.
    pub seeds: Vec<Seed>,
    /// How names among them are resolved.
    pub resolver: Resolver,
    /// How it gossips.
    pub settings: Settings,
    /// Where changes of its keys are written; `None`: it has no keys.
    pub key_file: Option<KeyFile>,
    /// What a careful operator would change; it is logged.
    pub hints: Vec<String>,
    /// Where to write a trace, and in which form.
    pub trace: Option<(PathBuf, TraceFormat)>,
    /// Whether it takes orders from the coordinator of an experiment on standard input.
    pub control: Control,
}

/// Who is in charge of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Whoever started it: signals end it.
    Signals,
    /// The coordinator of an experiment: orders on standard input, reports on standard output.
    Orders,
}

/// Why a node did not run; one line that names the fix.
#[derive(Debug, Error)]
pub enum NodeError {
    /// Its numbers do not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its HTTP door could not be opened.
    #[error("the HTTP door {addr} cannot be opened ({source}): choose another with --http")]
    Http {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Its trace could not be created.
    #[error("{}: the trace cannot be written ({source}): name a file in a folder that exists", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or a signal handler could not be set up.
    #[error("the system refused to {what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs a node until a signal, an order or the end of its coordinator ends it.
///
/// # Errors
///
/// [`NodeError`] if it cannot start, or can wait for events no longer.
pub fn run(setup: &NodeSetup) -> Result<(), NodeError> {
    for hint in &setup.hints {
        tracing::warn!("{hint}");
    }
    let params = initial_params(setup)?;
    let http = setup.http.map(open_door).transpose()?;
    let trace = setup.trace.as_ref().map(open_trace).transpose()?;
    let name = setup.name.as_deref().map(NodeName::new).transpose()?;
    let master = match setup.control {
        Control::Signals => Master::Itself,
        Control::Orders => Master::Coordinator,
    };
    let app = KvApp::new(setup.settings.clone(), master, trace);
    let (mut runtime, handle) = Runtime::new(app)?;
    let options = NodeOptions {
        name,
        bind: setup.bind,
        advertise: setup.advertise,
        params,
        incarnation: None,
    };
    let key = runtime.add(options)?;
    let addr = adopt(&mut runtime, key, setup.trace_name.as_deref());
    let inside = Inside {
        handle: handle.clone(),
        resolver: setup.resolver.clone(),
        keys: setup.key_file.clone().map(KeyDoor::new).map(Arc::new),
    };
    let (http, door) = http.map(|door| serve(door, inside)).transpose()?.unzip();
    take_charge(setup, &handle)?;
    announce(setup, addr, http);
    join(&mut runtime, key, setup, &handle);
    let ended = runtime.run();
    runtime.app_mut().flush_trace();
    // Whoever still waits for an answer learns that none will come.
    drop(runtime);
    if let Some(door) = door {
        door.close();
    }
    ended.map_err(|source| NodeError::System { what: "wait for events", source })
}

/// Gives the node to the application; its address as others see it.
fn adopt(runtime: &mut Runtime<KvApp>, key: NodeKey, label: Option<&str>) -> SocketAddr {
    let (app, node) = runtime.app_and_node(key);
    let name = node.local().name.to_string();
    app.adopt(key, node, label.unwrap_or(&name));
    node.local().addr
}

/// A node of an experiment is silent until it is told to start.
fn initial_params(setup: &NodeSetup) -> Result<Params, ConfigError> {
    let config = setup.settings.config();
    match setup.control {
        Control::Signals => Params::try_from(config),
        Control::Orders => Params::try_from(Config {
            gossip_interval: None,
            probe_interval: None,
            push_pull_interval: None,
            ..config
        }),
    }
}

fn open_door(addr: SocketAddr) -> Result<TcpListener, NodeError> {
    http::bind(addr).map_err(|source| NodeError::Http { addr, source })
}

fn open_trace((path, format): &(PathBuf, TraceFormat)) -> Result<TraceWriter<File>, NodeError> {
    let file =
        File::create(path).map_err(|source| NodeError::Trace { path: path.clone(), source })?;
    Ok(TraceWriter::new(file, *format))
}

fn serve(door: TcpListener, inside: Inside) -> Result<(SocketAddr, OpenDoor), NodeError> {
    let system = |source| NodeError::System { what: "serve HTTP", source };
    let addr = door.local_addr().map_err(system)?;
    let door = http::serve(door, inside).map_err(system)?;
    Ok((addr, door))
}

/// Signals or orders end the node.
fn take_charge(setup: &NodeSetup, handle: &Handle<Command>) -> Result<(), NodeError> {
    let handle = handle.clone();
    match setup.control {
        Control::Signals => {
            let on_signal = move || {
                if handle.send(Command::Leave).is_err() {
                    // The loop is stuck or gone: nothing is left to be polite to.
                    std::process::exit(130);
                }
            };
            ctrlc::set_handler(on_signal).map_err(|error| NodeError::System {
                what: "handle signals",
                source: io::Error::other(error),
            })
        }
        Control::Orders => {
            let read = move || control::read_orders(&handle);
            let thread = std::thread::Builder::new().name("orders".to_owned()).spawn(read);
            thread.map(drop).map_err(|source| NodeError::System { what: "start a thread", source })
        }
    }
}

fn announce(setup: &NodeSetup, gossip: SocketAddr, http: Option<SocketAddr>) {
    match setup.control {
        Control::Orders => control::report(&control::Report::Bound { gossip, http }),
        Control::Signals => {
            let http = http.map(|http| format!("HTTP on http://{http}/\n")).unwrap_or_default();
            let text = format!("gossip on {gossip} (UDP and TCP)\n{http}");
            let mut out = io::stdout().lock();
            // The node is up, whether anybody can be told or not.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }
}

fn join(runtime: &mut Runtime<KvApp>, key: NodeKey, setup: &NodeSetup, handle: &Handle<Command>) {
    let (addresses, names) = seeds::split(&setup.seeds);
    runtime.app_mut().keep_trying(&addresses);
    runtime.act(key, |node, now| node.join(now, &addresses));
    seeds::resolve_for_ever(names, setup.resolver.clone(), handle.clone());
}
