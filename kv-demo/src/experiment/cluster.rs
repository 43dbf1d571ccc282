//! Child processes as one thing: they are started together, talk over their standard streams, and
//! end together, whatever happens to whoever holds them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rumormill_mio::Clock;
use thiserror::Error;

use crate::node::control::{Order, Report};

/// How long children may take to end by themselves once nobody talks to them.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often a wait looks whether it was interrupted.
const SLICE: Duration = Duration::from_millis(50);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on an interrupt ends what the experiment does, in good order.
///
/// # Errors
///
/// If the system refuses the handler.
pub fn catch_interrupts() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst))
}

/// Whether somebody has interrupted since [`catch_interrupts`].
#[must_use]
pub(super) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Why a cluster of processes did not do what it should; one line.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// A process could not be started.
    #[error("{program}: cannot be started ({reason})")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// A process ended by itself.
    #[error("{node} has ended: {last_words}")]
    Ended {
        /// Which.
        node: String,
        /// The last line of its standard error.
        last_words: String,
    },
    /// A process said something that makes no sense.
    #[error("{node} is no kv-demo of this version: it said `{line}`")]
    Gibberish {
        /// Which.
        node: String,
        /// What it said.
        line: String,
    },
    /// They did not get there in time.
    #[error("waited {seconds} s in vain until {what} ({progress})")]
    TimedOut {
        /// How long, in seconds.
        seconds: u64,
        /// What for.
        what: &'static str,
        /// How far it came.
        progress: String,
    },
}

/// One child.
#[derive(Debug)]
struct Member {
    name: String,
    process: Child,
    /// Closing it tells the child that its coordinator is gone.
    orders: Option<ChildStdin>,
    errors: PathBuf,
}

/// What comes from a child.
enum Said {
    Report(Report),
    Gibberish(String),
    End,
}

/// Children, and what they say.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    said: Receiver<(usize, Said)>,
    clock: Clock,
}

impl Cluster {
    /// Starts one process per list of arguments. Each one's errors go to `NAME.err` in `dir`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Spawn`]; those that were started are ended.
    pub fn spawn(
        program: &Path,
        dir: &Path,
        children: impl IntoIterator<Item = (String, Vec<String>)>,
    ) -> Result<Self, ClusterError> {
        let (say, said) = channel();
        let mut cluster = Self { members: Vec::new(), said, clock: Clock::start() };
        for (name, arguments) in children {
            let errors = dir.join(format!("{name}.err"));
            let mut process =
                start(program, &arguments, &errors).map_err(|error| ClusterError::Spawn {
                    program: program.display().to_string(),
                    reason: error.to_string(),
                })?;
            let index = cluster.members.len();
            if let Some(stdout) = process.stdout.take() {
                listen(index, stdout, say.clone());
            }
            let orders = process.stdin.take();
            cluster.members.push(Member { name, process, orders, errors });
        }
        Ok(cluster)
    }

    /// How many children there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Tells one child what to do. A child that is gone shows at the next wait.
    pub fn order(&mut self, index: usize, order: &Order) {
        let Ok(mut line) = serde_json::to_vec(order) else { return };
        line.push(b'\n');
        if let Some(orders) = self.members[index].orders.as_mut() {
            // A broken pipe: the child has ended, and says so by the end of its output.
            let _ = orders.write_all(&line).and_then(|()| orders.flush());
        }
    }

    /// Tells all children what to do.
    pub fn order_all(&mut self, order: &Order) {
        for index in 0..self.members.len() {
            self.order(index, order);
        }
    }

    /// Waits for the next report; `None` if none comes within `wait`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if a child has ended or makes no sense, or somebody interrupts.
    pub fn next(&mut self, wait: Duration) -> Result<Option<(usize, Report)>, ClusterError> {
        let deadline = self.clock.now() + wait;
        loop {
            if is_interrupted() {
                return Err(ClusterError::Interrupted);
            }
            let left = deadline.saturating_since(self.clock.now());
            match self.said.recv_timeout(left.min(SLICE)) {
                Ok((index, Said::Report(report))) => return Ok(Some((index, report))),
                Ok((index, Said::Gibberish(line))) => {
                    let node = self.members[index].name.clone();
                    return Err(ClusterError::Gibberish { node, line });
                }
                Ok((index, Said::End)) => return Err(self.ended(index)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if left <= SLICE => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits until `done` says so, which sees every report.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next), and [`ClusterError::TimedOut`] with what `progress` says.
    pub fn wait_until(
        &mut self,
        what: &'static str,
        wait: Duration,
        mut done: impl FnMut(usize, Report) -> bool,
        progress: impl Fn() -> String,
    ) -> Result<(), ClusterError> {
        let deadline = self.clock.now() + wait;
        loop {
            let left = deadline.saturating_since(self.clock.now());
            match self.next(left)? {
                Some((index, report)) if done(index, report) => return Ok(()),
                Some(_) => {}
                None => {
                    let (seconds, progress) = (wait.as_secs(), progress());
                    return Err(ClusterError::TimedOut { seconds, what, progress });
                }
            }
        }
    }

    /// Waits for a while, noticing what goes wrong meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub fn pause(&mut self, wait: Duration) -> Result<(), ClusterError> {
        let deadline = self.clock.now() + wait;
        loop {
            let left = deadline.saturating_since(self.clock.now());
            if left.is_zero() {
                return Ok(());
            }
            self.next(left)?;
        }
    }

    fn ended(&self, index: usize) -> ClusterError {
        let member = &self.members[index];
        let errors = std::fs::read_to_string(&member.errors).unwrap_or_default();
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        let last_words = last.unwrap_or("it did not say why").trim().to_owned();
        ClusterError::Ended { node: member.name.clone(), last_words }
    }
}

impl Drop for Cluster {
    /// Ends all children: first by hanging up, then by force. Only processes that this cluster
    /// started are touched.
    fn drop(&mut self) {
        for member in &mut self.members {
            member.orders = None;
        }
        let deadline = self.clock.now() + FAREWELL;
        for member in &mut self.members {
            while matches!(member.process.try_wait(), Ok(None)) {
                if self.clock.now() >= deadline {
                    let _ = member.process.kill();
                    let _ = member.process.wait();
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            // An empty file of errors is of no use to anybody.
            if std::fs::metadata(&member.errors).is_ok_and(|errors| errors.len() == 0) {
                let _ = std::fs::remove_file(&member.errors);
            }
        }
    }
}

fn start(program: &Path, arguments: &[String], errors: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(errors)?);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // Ctrl-C at the terminal is for the coordinator alone; the children end when it hangs up.
        command.process_group(0);
    }
    command.spawn()
}

fn listen(index: usize, stdout: ChildStdout, say: Sender<(usize, Said)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let said = match serde_json::from_str(&line) {
                Ok(report) => Said::Report(report),
                Err(_) => Said::Gibberish(line.chars().take(80).collect()),
            };
            if say.send((index, said)).is_err() {
                return;
            }
        }
        let _ = say.send((index, Said::End));
    });
}
