//! `kv-demo agent`: starts and stops the processes of an experiment on its host, for a coordinator
//! that started it and speaks with it over its standard input and output.
//!
//! It listens on no port, runs no program but its own, writes no file outside a folder that it
//! makes and removes, and ends with all its children when its input ends or stays silent.
//!
//! ```text
//! standard input ─► reader ─┐  (answers pings at once)     ┌─► writer ─► standard output
//! children's reports ───────┼─► one queue ─► the agent ────┘
//! answers of an HTTP door ──┘
//! ```

pub(crate) mod children;
pub mod job;
pub(crate) mod lines;
mod outbox;
pub mod protocol;
pub(crate) mod scratch;
mod traces;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rumormill::Instant;
use rumormill_mio::Clock;
use thiserror::Error;

use crate::members::Door;
use crate::node::control::Report;
use crate::node::wall;
use children::{ChildEvent, Children, Said};
use job::{Job, trace_path};
use lines::{Line, Lines};
use outbox::Outbox;
use protocol::{CHILDREN_MAX, COORDINATOR_SILENT_MAX, LINE_LEN_MAX, News, PROTOCOL, VERSION, Wish};
use scratch::Scratch;
use traces::Traces;

/// How often the agent looks whether its coordinator still speaks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while traces wait for room in the outbox.
const LOOK_EVERY_BUSY: Duration = Duration::from_millis(5);

/// Why an agent ended otherwise than because its coordinator hung up; one line.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Its folder could not be made.
    #[error("{}: the folder for traces cannot be made ({source}): set TMPDIR to one that can be written", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread, a signal handler or the own path could not be had.
    #[error("the system refused to {what}: {reason}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The coordinator is gone, or cannot be reached any more.
    #[error("heard nothing from the coordinator for {seconds} s: ended with all children")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// Nobody reads what the agent says.
    #[error("the coordinator does not read: ended with all children")]
    Unread,
}

/// Serves one coordinator on standard input and output until it hangs up.
///
/// # Errors
///
/// [`AgentError`]; no child is left then either.
pub fn run() -> Result<(), AgentError> {
    let system =
        |what| move |error: io::Error| AgentError::System { what, reason: error.to_string() };
    let program = std::env::current_exe().map_err(system("tell where this program is"))?;
    let scratch = Scratch::new().map_err(|(path, source)| AgentError::Folder { path, source })?;
    let outbox = Outbox::open(io::stdout()).map_err(system("start a thread"))?;
    outbox.tell(&News::Hello { version: VERSION.to_owned(), protocol: PROTOCOL })?;
    let (post, events) = channel();
    let on_signal = post.clone();
    ctrlc::set_handler(move || drop(on_signal.send(Event::HungUp))).map_err(|error| {
        AgentError::System { what: "handle signals", reason: error.to_string() }
    })?;
    let heard = Heard::default();
    let reader = Reader { post: post.clone(), outbox: outbox.clone(), heard: heard.clone() };
    std::thread::Builder::new()
        .name("wishes".to_owned())
        .spawn(move || reader.read())
        .map_err(system("start a thread"))?;
    let children = Children::new(&program, scratch.path(), 0, post.clone());
    let agent = Agent {
        program,
        scratch,
        children,
        generation: 0,
        nodes: BTreeMap::new(),
        outbox,
        heard,
        post,
    };
    agent.serve(&events)
}

/// What the agent hears.
#[derive(Debug)]
enum Event {
    /// From the coordinator.
    Wish(Wish),
    /// From the coordinator, and no wish of this version.
    Nonsense(String),
    /// From a child.
    Child(ChildEvent),
    /// A key was written, or was not and why.
    Written(Option<String>),
    /// The coordinator, or whoever sent a signal, wants the agent to end.
    HungUp,
}

impl From<ChildEvent> for Event {
    fn from(event: ChildEvent) -> Self {
        Self::Child(event)
    }
}

/// When the coordinator last said anything.
#[derive(Clone, Debug)]
struct Heard {
    clock: Clock,
    at_us: Arc<AtomicU64>,
}

impl Default for Heard {
    fn default() -> Self {
        Self { clock: Clock::start(), at_us: Arc::default() }
    }
}

impl Heard {
    fn note(&self) {
        self.at_us.store(self.clock.now().as_micros(), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let at = Instant::from_micros(self.at_us.load(Ordering::Relaxed));
        self.clock.now().saturating_since(at)
    }
}

/// Reads wishes on a thread of its own, so that nothing delays the answer to a ping.
struct Reader {
    post: Sender<Event>,
    outbox: Outbox,
    heard: Heard,
}

impl Reader {
    fn read(&self) {
        let mut lines = Lines::new(io::stdin(), LINE_LEN_MAX);
        loop {
            let event = match lines.next() {
                Line::Text(line) => match serde_json::from_str(line) {
                    Ok(Wish::Ping { t }) => {
                        self.heard.note();
                        self.outbox.pong(t, wall().0);
                        continue;
                    }
                    Ok(wish) => Event::Wish(wish),
                    Err(error) => Event::Nonsense(format!("{error} in `{}`", lines.quote())),
                },
                Line::Garbled => Event::Nonsense(format!("`{}`", lines.quote())),
                Line::End => Event::HungUp,
            };
            self.heard.note();
            let is_last = matches!(event, Event::HungUp);
            if self.post.send(event).is_err() || is_last {
                return;
            }
        }
    }
}

/// What is known of a child that is a node.
#[derive(Debug)]
struct Node {
    number: u32,
    http: Option<SocketAddr>,
}

/// The agent. Its children are declared before its folder, because they end first.
struct Agent {
    program: PathBuf,
    children: Children<Event>,
    /// Counts how often the children were dismissed; what former ones said comes late.
    generation: u64,
    nodes: BTreeMap<usize, Node>,
    scratch: Scratch,
    outbox: Outbox,
    heard: Heard,
    post: Sender<Event>,
}

impl Agent {
    fn serve(mut self, events: &Receiver<Event>) -> Result<(), AgentError> {
        let mut traces = Traces::default();
        loop {
            let wait = if traces.is_empty() { LOOK_EVERY } else { LOOK_EVERY_BUSY };
            match events.recv_timeout(wait) {
                Ok(Event::Wish(Wish::Traces)) => traces = self.traces(),
                Ok(Event::Wish(wish)) => self.obey(wish)?,
                Ok(Event::Nonsense(line)) => {
                    self.refuse(format!("no wish of this version: {line}"))?;
                }
                Ok(Event::Child(event)) if event.generation == self.generation => {
                    self.pass_on(event)?;
                }
                Ok(Event::Child(_)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Event::Written(refusal)) => self.outbox.tell(&News::Written { refusal })?,
                Ok(Event::HungUp) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            traces.send_some(&self.outbox)?;
            if self.heard.silence() > COORDINATOR_SILENT_MAX {
                return Err(AgentError::Silent { seconds: COORDINATOR_SILENT_MAX.as_secs() });
            }
        }
    }

    fn obey(&mut self, wish: Wish) -> Result<(), AgentError> {
        match wish {
            // The reader answers pings, and the loop sends traces.
            Wish::Ping { .. } | Wish::Traces => Ok(()),
            Wish::Spawn { index, bind, job } => match self.spawn(index, bind, &job) {
                Ok(()) => Ok(()),
                Err(reason) => self.refuse(format!("{} was not started: {reason}", job.name())),
            },
            Wish::Order { index, order } => {
                self.children.order(index, &order);
                Ok(())
            }
            Wish::Kill { index } => {
                self.children.kill(index);
                Ok(())
            }
            Wish::Write { index, key, value } => self.write(index, key, value),
            Wish::Dismiss => {
                self.generation += 1;
                self.nodes.clear();
                // The former children end here.
                self.children = Children::new(
                    &self.program,
                    self.scratch.path(),
                    self.generation,
                    self.post.clone(),
                );
                self.scratch.clear();
                self.outbox.tell(&News::Dismissed)
            }
        }
    }

    fn spawn(&mut self, index: usize, bind: IpAddr, job: &Job) -> Result<(), String> {
        if index >= CHILDREN_MAX {
            return Err(format!("its index {index} is not below {CHILDREN_MAX}"));
        }
        if self.children.has(index) {
            return Err(format!("its index {index} is taken"));
        }
        self.children.spawn(index, job, bind).map_err(|error| error.to_string())?;
        self.nodes.insert(index, Node { number: job.number, http: None });
        Ok(())
    }

    /// Writes through the door that the child itself has named, on a thread of its own.
    fn write(&self, index: usize, key: String, value: String) -> Result<(), AgentError> {
        let Some(http) = self.nodes.get(&index).and_then(|node| node.http) else {
            let refusal = Some("it has no HTTP door".to_owned());
            return self.outbox.tell(&News::Written { refusal });
        };
        let post = self.post.clone();
        let write = move || {
            let refusal = Door::new(http).add(&key, &value).err().map(|error| error.to_string());
            // An agent that has ended wants no answer.
            let _ = post.send(Event::Written(refusal));
        };
        let thread = std::thread::Builder::new().name("write".to_owned()).spawn(write);
        thread.map(drop).map_err(|error| AgentError::System {
            what: "start a thread",
            reason: error.to_string(),
        })
    }

    fn pass_on(&mut self, ChildEvent { index, said, .. }: ChildEvent) -> Result<(), AgentError> {
        if let (Said::Report(Report::Bound { http, .. }), Some(node)) =
            (&said, self.nodes.get_mut(&index))
        {
            node.http = *http;
        }
        self.outbox.tell(&match said {
            Said::Report(report) => News::Report { index, report },
            Said::Gibberish(line) => News::Gibberish { index, line },
            Said::Ended(last_words) => News::Ended { index, last_words },
        })
    }

    fn traces(&self) -> Traces {
        let files = self.nodes.iter().map(|(&index, node)| {
            let path = trace_path(self.scratch.path(), node.number);
            (index, path)
        });
        Traces::new(files)
    }

    fn refuse(&self, reason: String) -> Result<(), AgentError> {
        self.outbox.tell(&News::Refused { reason })
    }
}
