//! Child processes of this host: they talk over their standard streams and end together, whatever
//! happens to whoever holds them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rumormill_mio::Clock;

use super::job::Job;
use super::lines::{self, Line, Lines};
use super::protocol;
use crate::node::control::{self, Order, Report};

/// How long children may take to end by themselves once nobody talks to them.
const FAREWELL: Duration = Duration::from_secs(2);
/// How much of a file of errors is searched for its last line, in bytes.
const LAST_WORDS_LEN_MAX: u64 = 4 << 10;

/// What comes from a child.
#[derive(Debug)]
pub(crate) enum Said {
    /// A report.
    Report(Report),
    /// Something that makes no sense: its start.
    Gibberish(String),
    /// Nothing more: it has ended, and these were its last words.
    Ended(String),
}

/// Who said what.
#[derive(Debug)]
pub(crate) struct ChildEvent {
    /// Which children it is one of: what the former ones said may come late.
    pub(crate) generation: u64,
    /// Its index among them.
    pub(crate) index: usize,
    /// What it said.
    pub(crate) said: Said,
}

/// One child.
#[derive(Debug)]
struct Member {
    process: Child,
    /// Closing it tells the child that its master is gone.
    orders: Option<ChildStdin>,
    errors: PathBuf,
}

/// Children of one program, all of them ours.
#[derive(Debug)]
pub(crate) struct Children<E> {
    program: PathBuf,
    dir: PathBuf,
    generation: u64,
    members: BTreeMap<usize, Member>,
    say: Sender<E>,
    clock: Clock,
}

impl<E: From<ChildEvent> + Send + 'static> Children<E> {
    /// No children yet. They will be processes of `program`, with their files in `dir`, and what
    /// they say goes to `say` as from `generation`.
    pub(crate) fn new(program: &Path, dir: &Path, generation: u64, say: Sender<E>) -> Self {
        let (program, dir) = (program.to_owned(), dir.to_owned());
        Self { program, dir, generation, members: BTreeMap::new(), say, clock: Clock::start() }
    }

    /// Whether there is one of this index.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.members.contains_key(&index)
    }

    /// Starts a child. Its errors go to `NAME.err`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn spawn(&mut self, index: usize, job: &Job, bind: IpAddr) -> io::Result<()> {
        let errors = self.dir.join(format!("{}.err", job.name()));
        let mut process = start(&self.program, &job.arguments(bind, &self.dir), &errors)?;
        if let Some(stdout) = process.stdout.take() {
            self.listen(index, stdout, errors.clone());
        }
        let orders = process.stdin.take();
        self.members.insert(index, Member { process, orders, errors });
        Ok(())
    }

    /// Tells one child what to do. A child that is gone says so by the end of its output.
    pub(crate) fn order(&mut self, index: usize, order: &Order) {
        let orders = self.members.get_mut(&index).and_then(|member| member.orders.as_mut());
        if let Some(orders) = orders {
            // A broken pipe: the child has ended.
            let _ = orders.write_all(&protocol::line(order)).and_then(|()| orders.flush());
        }
    }

    /// Ends a child by force; its end is heard like any other.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(member) = self.members.get_mut(&index) {
            // It may have ended by itself.
            let _ = member.process.kill();
        }
    }

    fn listen(&self, index: usize, stdout: ChildStdout, errors: PathBuf) {
        let (generation, say) = (self.generation, self.say.clone());
        std::thread::spawn(move || {
            let mut lines = Lines::new(stdout, control::LINE_LEN_MAX);
            loop {
                let said = match lines.next() {
                    Line::Text(line) => match serde_json::from_str(line) {
                        Ok(report) => Said::Report(report),
                        Err(_) => Said::Gibberish(lines.quote()),
                    },
                    Line::Garbled => Said::Gibberish(lines.quote()),
                    Line::End => Said::Ended(last_words(&errors)),
                };
                let is_last = !matches!(said, Said::Report(_));
                if say.send(ChildEvent { generation, index, said }.into()).is_err() || is_last {
                    return;
                }
            }
        });
    }
}

impl<E> Drop for Children<E> {
    /// Ends all children: first by hanging up, then by force. Only processes that were started
    /// here are touched.
    fn drop(&mut self) {
        for member in self.members.values_mut() {
            member.orders = None;
        }
        let deadline = self.clock.now() + FAREWELL;
        for member in self.members.values_mut() {
            let left = deadline.saturating_since(self.clock.now());
            end(&mut member.process, left);
            remove_if_empty(&member.errors);
        }
    }
}

/// Waits for a child of ours to end, and ends it by force if it takes longer than `patience`.
pub(crate) fn end(process: &mut Child, patience: Duration) {
    let clock = Clock::start();
    let deadline = clock.now() + patience;
    while matches!(process.try_wait(), Ok(None)) {
        if clock.now() >= deadline {
            let _ = process.kill();
            let _ = process.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts a process that talks over pipes, with its errors in a file, where a long story blocks
/// nobody.
pub(crate) fn start(program: &Path, arguments: &[OsString], errors: &Path) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(errors)?);
    // What this host's own node is told in its environment is no business of an experiment.
    for variable in crate::config::ENVIRONMENT {
        command.env_remove(variable);
    }
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // Ctrl-C at the terminal is for the coordinator alone; the others end when it hangs up.
        command.process_group(0);
    }
    command.spawn()
}

/// The last line of a child's errors.
fn last_words(errors: &Path) -> String {
    last_line(errors).unwrap_or_else(|| "it did not say why".to_owned())
}

/// The last line of a file of errors that says anything.
pub(crate) fn last_line(errors: &Path) -> Option<String> {
    let tail = tail(errors).ok()?;
    let last = tail.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(lines::words(last))
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LAST_WORDS_LEN_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS_LEN_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An empty file of errors is of no use to anybody.
pub(crate) fn remove_if_empty(errors: &Path) {
    if std::fs::metadata(errors).is_ok_and(|errors| errors.len() == 0) {
        let _ = std::fs::remove_file(errors);
    }
}
