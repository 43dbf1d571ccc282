//! The coordinator's end of one agent: the launcher's process, a thread that writes and pings, a
//! thread that reads and keeps the clock.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumormill::Instant;
use rumormill_mio::Clock;
use thiserror::Error;

use super::clock::{Exchange, Offset, Reading};
use super::hosts::Host;
use crate::agent::children;
use crate::agent::lines::{self, Line, Lines};
use crate::agent::protocol::{self, LINE_LEN_MAX, News, PING_EVERY, PROTOCOL, VERSION, Wish};
use crate::node::wall;

/// Pings in a burst: one of several meets both hosts at leisure.
const BURST: u32 = 8;
/// Time between the pings of a burst.
const BURST_EVERY: Duration = Duration::from_millis(50);
/// Bytes of one host's lines that may wait to be taken in: all that its nodes have to say while a
/// large cluster starts. A host that talks more waits itself.
const WAITING_MAX: usize = 16 << 20;
/// What a line that waits costs beside its bytes.
const LINE_COST: usize = 64;
/// How long a launcher whose agent has ended may take to say why.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(500);

/// What is wrong with a host; one line.
#[derive(Debug, Error)]
#[error("host {host}: {trouble}")]
pub struct HostError {
    /// Which host.
    pub host: String,
    /// What.
    pub trouble: HostTrouble,
}

/// What can be wrong with a host.
#[derive(Debug, Error)]
pub enum HostTrouble {
    /// The launcher itself could not be started.
    #[error("the launcher `{program}` cannot be started ({reason})")]
    NoLauncher {
        /// Its program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// The launcher ended before an agent said hello.
    #[error("could not be reached: {last_words}")]
    Unreachable {
        /// The launcher's last words.
        last_words: String,
    },
    /// Neither an agent nor an end.
    #[error(
        "could not be reached in {seconds} s: try the launcher by hand; it must ask for nothing"
    )]
    NoHello {
        /// How long it was waited.
        seconds: u64,
    },
    /// Something else than an agent speaks.
    #[error(
        "said `{line}` where an agent says hello: the launcher must start `kv-demo agent`, and the \
         host must print nothing of its own"
    )]
    NotAnAgent {
        /// What it said.
        line: String,
    },
    /// Two versions would measure different things.
    #[error(
        "has kv-demo {theirs} (protocol {their_protocol}), and this is {VERSION} (protocol \
         {PROTOCOL}): install the same on both"
    )]
    OtherVersion {
        /// Its version.
        theirs: String,
        /// Its protocol's number.
        their_protocol: u32,
    },
    /// It is gone without a word.
    #[error("no answer for {seconds} s: the connection is lost")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// Its agent has ended.
    #[error("its agent has ended: {last_words}")]
    Ended {
        /// The launcher's last words.
        last_words: String,
    },
    /// Its agent makes no sense.
    #[error("its agent makes no sense: it said `{line}`")]
    Gibberish {
        /// What it said.
        line: String,
    },
    /// Its agent cannot do what it was told.
    #[error("its agent refuses: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// No answer came to any ping.
    #[error("its clock is not known: no ping was answered")]
    NoClock,
}

/// What comes from an agent, and what it costs until it is taken in.
#[derive(Debug)]
pub(super) struct Message {
    /// The host's number.
    pub(super) host: usize,
    pub(super) heard: Heard,
    cost: usize,
}

/// What an agent says.
#[derive(Debug)]
pub(super) enum Heard {
    /// News.
    News(News),
    /// A line that is none: its start.
    Gibberish(String),
    /// Nothing more.
    End,
}

/// What the reading thread knows.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    heard_at_us: AtomicU64,
    offset: Mutex<Offset>,
    /// Bytes that wait to be taken in.
    waiting: AtomicUsize,
    is_hung_up: AtomicBool,
}

impl Shared {
    fn note_heard(&self) {
        self.heard_at_us.store(self.clock.now().as_micros(), Ordering::Relaxed);
    }

    /// Waits for room for another line.
    fn wait_for_room(&self) {
        let is_full = || self.waiting.load(Ordering::Relaxed) > WAITING_MAX;
        while is_full() && !self.is_hung_up.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn offset(&self) -> MutexGuard<'_, Offset> {
        self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
enum Outgoing {
    Wish(Wish),
    /// Ping several times in short order.
    Burst,
}

/// One agent, seen from the coordinator.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) host: Host,
    process: Child,
    errors: PathBuf,
    /// Until the agent has said hello, nothing is said to it.
    stdin: Option<ChildStdin>,
    outgoing: Option<Sender<Outgoing>>,
    shared: Arc<Shared>,
}

impl Link {
    /// Starts the launcher. What the agent says goes to `hear` with the host's number.
    ///
    /// # Errors
    ///
    /// [`HostTrouble::NoLauncher`].
    pub(super) fn launch(
        number: usize,
        host: Host,
        dir: &Path,
        hear: Sender<Message>,
    ) -> Result<Self, HostError> {
        let errors = dir.join(format!("host-{}.err", number + 1));
        let program = Path::new(&host.command[0]);
        let started = children::start(program, &host.command[1..], &errors);
        let mut process = started.map_err(|error| HostError {
            host: host.name.clone(),
            trouble: HostTrouble::NoLauncher {
                program: program.display().to_string(),
                reason: error.to_string(),
            },
        })?;
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            heard_at_us: AtomicU64::new(0),
            offset: Mutex::default(),
            waiting: AtomicUsize::new(0),
            is_hung_up: AtomicBool::new(false),
        });
        if let Some(stdout) = process.stdout.take() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || read(number, stdout, &shared, &hear));
        }
        let stdin = process.stdin.take();
        Ok(Self { host, process, errors, stdin, outgoing: None, shared })
    }

    /// Checks the agent's first line and begins to speak with it.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub(super) fn greet(&mut self, heard: Heard) -> Result<(), HostError> {
        match heard {
            Heard::News(News::Hello { version, protocol })
                if (version.as_str(), protocol) == (VERSION, PROTOCOL) =>
            {
                let (outgoing, wishes) = channel();
                if let Some(stdin) = self.stdin.take() {
                    std::thread::spawn(move || write(stdin, &wishes));
                }
                self.outgoing = Some(outgoing);
                Ok(())
            }
            Heard::News(News::Hello { version, protocol: their_protocol }) => {
                let theirs = lines::words(&version);
                Err(self.trouble(HostTrouble::OtherVersion { theirs, their_protocol }))
            }
            Heard::News(_) => {
                let line = "news before its hello".to_owned();
                Err(self.trouble(HostTrouble::NotAnAgent { line }))
            }
            Heard::Gibberish(line) => Err(self.trouble(HostTrouble::NotAnAgent { line })),
            Heard::End => {
                let last_words = self.last_words();
                Err(self.trouble(HostTrouble::Unreachable { last_words }))
            }
        }
    }

    /// Takes a message in.
    pub(super) fn take(&self, message: Message) -> Heard {
        self.shared.waiting.fetch_sub(message.cost, Ordering::Relaxed);
        message.heard
    }

    /// Whether the agent has said hello.
    pub(super) const fn is_up(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Tells the agent something. One that is gone shows by its end or its silence.
    pub(super) fn send(&self, wish: Wish) {
        self.put(Outgoing::Wish(wish));
    }

    /// Reads the clock anew from here on.
    pub(super) fn forget_clock(&self) {
        self.shared.offset().forget();
        self.ping();
    }

    /// Asks for the time a few times.
    pub(super) fn ping(&self) {
        self.put(Outgoing::Burst);
    }

    /// The best reading since the clock was forgotten.
    pub(super) fn clock(&self) -> Option<Reading> {
        self.shared.offset().best()
    }

    /// How long nothing has come from the agent.
    pub(super) fn silence(&self) -> Duration {
        let at = Instant::from_micros(self.shared.heard_at_us.load(Ordering::Relaxed));
        self.shared.clock.now().saturating_since(at)
    }

    /// The error of a link whose agent has ended.
    pub(super) fn ended(&mut self) -> HostError {
        let last_words = self.last_words();
        self.trouble(HostTrouble::Ended { last_words })
    }

    pub(super) fn trouble(&self, trouble: HostTrouble) -> HostError {
        HostError { host: self.host.name.clone(), trouble }
    }

    /// Says goodbye by the end of the agent's input; the launcher ends when the agent has.
    pub(super) fn hang_up(&mut self) {
        self.stdin = None;
        self.outgoing = None;
        self.shared.is_hung_up.store(true, Ordering::Relaxed);
    }

    /// Ends the launcher, by force if it takes longer than `patience`.
    pub(super) fn end(&mut self, patience: Duration) {
        children::end(&mut self.process, patience);
        children::remove_if_empty(&self.errors);
    }

    fn put(&self, outgoing: Outgoing) {
        if let Some(sender) = &self.outgoing {
            // A writer that is gone met a closed pipe, which the reader sees too.
            let _ = sender.send(outgoing);
        }
    }

    /// The last line of the launcher's errors, or how it ended.
    fn last_words(&mut self) -> String {
        let clock = Clock::start();
        let deadline = clock.now() + LAST_WORDS_WAIT;
        let status = loop {
            match self.process.try_wait() {
                Ok(None) if clock.now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                ended => break ended.ok().flatten(),
            }
        };
        children::last_line(&self.errors).unwrap_or_else(|| match status {
            Some(status) => format!("the launcher has ended ({status}) and did not say why"),
            None => "the launcher still runs and does not say why".to_owned(),
        })
    }
}

/// Writes wishes, and a ping whenever none has been written for its time, until the link hangs up.
fn write(mut stdin: ChildStdin, wishes: &Receiver<Outgoing>) {
    let clock = Clock::start();
    let (mut burst, mut ping_at) = (BURST, clock.now());
    loop {
        let wish = match wishes.recv_timeout(ping_at.saturating_since(clock.now())) {
            Ok(Outgoing::Wish(wish)) => wish,
            Ok(Outgoing::Burst) => {
                (burst, ping_at) = (BURST, clock.now());
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {
                burst = burst.saturating_sub(1);
                ping_at = clock.now() + if burst > 0 { BURST_EVERY } else { PING_EVERY };
                Wish::Ping { t: wall().0 }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if stdin.write_all(&protocol::line(&wish)).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read(host: usize, stdout: ChildStdout, shared: &Shared, hear: &Sender<Message>) {
    let mut lines = Lines::new(stdout, LINE_LEN_MAX);
    loop {
        let heard = match lines.next() {
            Line::Text(line) => match serde_json::from_str(line) {
                Ok(News::Pong { ping, received, sent }) => {
                    let exchange = Exchange { ping, received, sent, returned: wall().0 };
                    shared.offset().add(&exchange);
                    shared.note_heard();
                    continue;
                }
                Ok(news) => Heard::News(news),
                Err(_) => Heard::Gibberish(lines.quote()),
            },
            Line::Garbled => Heard::Gibberish(lines.quote()),
            Line::End => Heard::End,
        };
        let (is_last, cost) = (!matches!(heard, Heard::News(_)), lines.len() + LINE_COST);
        shared.wait_for_room();
        shared.waiting.fetch_add(cost, Ordering::Relaxed);
        shared.note_heard();
        if hear.send(Message { host, heard, cost }).is_err() || is_last {
            return;
        }
    }
}
