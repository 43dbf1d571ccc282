//! The processes of a run as one thing: they are started together, talk over their standard
//! streams, and end together, on this host or on others.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rumormill_mio::Clock;
use thiserror::Error;

use super::crew::Crew;
use super::hosts::{HostsError, HostsPlan};
use super::interrupt::{SLICE, is_interrupted};
use super::link::HostError;
use crate::agent::children::{ChildEvent, Children, Said};
use crate::agent::job::Job;
use crate::agent::protocol::Wish;
use crate::members::Door;
use crate::node::control::{Order, Report};
use crate::report::HostClock;

/// Longest wait for processes to end that were killed.
const KILL_MAX: Duration = Duration::from_secs(10);

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
    /// A file could not be written.
    #[error("{}: {reason}", path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The hosts cannot be worked with.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// A host is lost.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Where processes run: what is opened once and carries out one run after the other.
#[derive(Debug)]
pub enum Site {
    /// This host: processes of a program.
    Here(PathBuf),
    /// Other hosts: an agent on each.
    There(Box<Crew>),
}

impl Site {
    /// This host, or those of a plan. Errors of launchers go to files in `dir`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if a host cannot be had.
    pub fn open(
        program: &Path,
        hosts: Option<&HostsPlan>,
        dir: &Path,
    ) -> Result<Self, ClusterError> {
        Ok(match hosts {
            None => Self::Here(program.to_owned()),
            Some(plan) => Self::There(Box::new(Crew::launch(plan, dir)?)),
        })
    }
}

/// Processes, and what they say. Dropping it ends them.
#[derive(Debug)]
pub struct Cluster<'a> {
    children: Kept<'a>,
    size: usize,
    /// Whose end is no failure.
    killed: BTreeSet<usize>,
    clock: Clock,
}

/// Who keeps the processes.
#[derive(Debug)]
enum Kept<'a> {
    Here { children: Children<ChildEvent>, said: Receiver<ChildEvent>, jobs: Vec<Job> },
    There(&'a mut Crew),
}

impl<'a> Cluster<'a> {
    /// Starts one process per job. Files of those on this host go to `dir`.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Spawn`]; those that were started are ended.
    pub fn spawn(site: &'a mut Site, dir: &Path, jobs: Vec<Job>) -> Result<Self, ClusterError> {
        let (size, clock) = (jobs.len(), Clock::start());
        let children = match site {
            Site::Here(program) => {
                let (say, said) = channel();
                let mut children = Children::new(program, dir, 0, say);
                for (index, job) in jobs.iter().enumerate() {
                    children.spawn(index, job, Ipv4Addr::LOCALHOST.into()).map_err(|error| {
                        ClusterError::Spawn {
                            program: program.display().to_string(),
                            reason: error.to_string(),
                        }
                    })?;
                }
                Kept::Here { children, said, jobs }
            }
            Site::There(crew) => {
                crew.spawn(jobs);
                Kept::There(crew)
            }
        };
        Ok(Self { children, size, killed: BTreeSet::new(), clock })
    }

    /// How many processes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.size
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Tells one process what to do. One that is gone shows at the next wait.
    pub fn order(&mut self, index: usize, order: &Order) {
        match &mut self.children {
            Kept::Here { children, .. } => children.order(index, order),
            Kept::There(crew) => crew.send(index, Wish::Order { index, order: order.clone() }),
        }
    }

    /// Tells all processes what to do.
    pub fn order_all(&mut self, order: &Order) {
        for index in 0..self.size {
            self.order(index, order);
        }
    }

    /// Writes a key through the HTTP door of a process, from the process' own host: the door is on
    /// loopback. `Some` says why it was not written.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if its host is lost.
    pub fn write(
        &mut self,
        index: usize,
        door: SocketAddr,
        (key, value): (&str, &str),
    ) -> Result<Option<String>, ClusterError> {
        match &mut self.children {
            Kept::Here { .. } => {
                Ok(Door::new(door).add(key, value).err().map(|error| error.to_string()))
            }
            Kept::There(crew) => crew.write(index, key, value),
        }
    }

    /// Sees to it that the traces of all processes, which have finished, are in `dir`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`].
    pub fn collect(&mut self, dir: &Path) -> Result<(), ClusterError> {
        match &mut self.children {
            // They were written there.
            Kept::Here { .. } => Ok(()),
            Kept::There(crew) => {
                crew.collect(dir)?;
                // Of whoever was killed before it wrote anything out, nothing comes.
                self.killed.iter().try_for_each(|&index| crew.begin_trace(index, dir))
            }
        }
    }

    /// The clocks of the hosts beside this one; none if all processes run here.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if a clock is not known.
    pub fn clocks(&self) -> Result<Vec<HostClock>, ClusterError> {
        match &self.children {
            Kept::Here { .. } => Ok(Vec::new()),
            Kept::There(crew) => Ok(crew.clocks()?),
        }
    }

    /// Waits for the next report; `None` if none comes within `wait`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if a process has ended or makes no sense, a host is lost, or somebody
    /// interrupts.
    pub fn next(&mut self, wait: Duration) -> Result<Option<(usize, Report)>, ClusterError> {
        let deadline = self.clock.now() + wait;
        loop {
            if is_interrupted() {
                return Err(ClusterError::Interrupted);
            }
            let left = deadline.saturating_since(self.clock.now());
            match self.hear(left.min(SLICE))? {
                Some((index, Said::Report(report))) => return Ok(Some((index, report))),
                Some((index, Said::Gibberish(line))) => {
                    return Err(ClusterError::Gibberish { node: self.name(index), line });
                }
                Some((index, Said::Ended(_))) if self.killed.contains(&index) => {}
                Some((index, Said::Ended(last_words))) => {
                    return Err(ClusterError::Ended { node: self.name(index), last_words });
                }
                None if left <= SLICE => return Ok(None),
                None => {}
            }
        }
    }

    /// Ends processes by force, all at once, and waits until they have ended. What others report
    /// meanwhile is lost.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if a host is lost, somebody interrupts, or one does not end.
    pub fn kill(&mut self, victims: &[usize]) -> Result<(), ClusterError> {
        for &index in victims {
            self.killed.insert(index);
            match &mut self.children {
                Kept::Here { children, .. } => children.kill(index),
                Kept::There(crew) => crew.send(index, Wish::Kill { index }),
            }
        }
        let deadline = self.clock.now() + KILL_MAX;
        let mut missing: BTreeSet<usize> = victims.iter().copied().collect();
        while !missing.is_empty() {
            if is_interrupted() {
                return Err(ClusterError::Interrupted);
            }
            if self.clock.now() >= deadline {
                return Err(ClusterError::TimedOut {
                    seconds: KILL_MAX.as_secs(),
                    what: "all are killed",
                    progress: format!("{} live", missing.len()),
                });
            }
            if let Some((index, Said::Ended(_))) = self.hear(SLICE)? {
                missing.remove(&index);
            }
        }
        Ok(())
    }

    /// How many were killed.
    #[must_use]
    pub fn killed(&self) -> usize {
        self.killed.len()
    }

    fn hear(&mut self, wait: Duration) -> Result<Option<(usize, Said)>, ClusterError> {
        match &mut self.children {
            Kept::Here { said, .. } => match said.recv_timeout(wait) {
                Ok(event) => Ok(Some((event.index, event.said))),
                // The children keep a sender, so nothing is ever disconnected.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
            },
            Kept::There(crew) => Ok(crew.next(wait)?),
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

    fn name(&self, index: usize) -> String {
        match &self.children {
            Kept::Here { jobs, .. } => jobs.get(index).map(Job::name).unwrap_or_default(),
            Kept::There(crew) => crew.name(index),
        }
    }
}

impl Drop for Cluster<'_> {
    /// Children of this host end with their keeper; those on others are sent home.
    fn drop(&mut self) {
        if let Kept::There(crew) = &mut self.children {
            crew.dismiss();
        }
    }
}
