//! The agents of an experiment as one thing: they carry out one run after the other.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rumormill_mio::Clock;

use super::cluster::ClusterError;
use super::hosts::HostsPlan;
use super::interrupt::{SLICE, is_interrupted};
use super::link::{Heard, HostError, HostTrouble, Link, Message};
use crate::agent::children::Said;
use crate::agent::job::{Job, trace_path};
use crate::agent::lines;
use crate::agent::protocol::{AGENT_SILENT_MAX, News, Wish};
use crate::report::HostClock;
use crate::topology::host_of;

/// Longest wait for an agent's hello: SSH's own handshake may take seconds.
const HELLO_MAX: Duration = Duration::from_secs(30);
/// Longest wait for the answer of the HTTP door; the agent's own patience is shorter.
const WRITE_MAX: Duration = Duration::from_secs(40);
/// Longest wait for the next piece of any trace.
const PIECE_MAX: Duration = Duration::from_secs(60);
/// How long launchers may take to end when their agents were told goodbye: the agents' own
/// patience with their children, and a second for the way.
const FAREWELL: Duration = Duration::from_secs(3);
/// Longest trace that is taken from a host, in bytes: hours of the busiest mode.
const TRACE_LEN_MAX: u64 = 1 << 30;

/// Agents on hosts. Dropping it ends them all.
#[derive(Debug)]
pub struct Crew {
    links: Vec<Link>,
    heard: Receiver<Message>,
    /// What children said while something else was waited for.
    said: VecDeque<(usize, Said)>,
    jobs: Vec<Job>,
    /// By host: dismissals that it has not confirmed. Until then it speaks of a former run.
    dismissals: Vec<u32>,
}

impl Crew {
    /// Starts an agent on every host, at once, and waits until all have said hello.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]; those that were started are ended.
    pub fn launch(plan: &HostsPlan, dir: &Path) -> Result<Self, ClusterError> {
        let (hear, heard) = channel();
        let (links, said, jobs) = (Vec::new(), VecDeque::new(), Vec::new());
        let mut crew = Self { links, heard, said, jobs, dismissals: Vec::new() };
        for (number, host) in plan.resolve()?.into_iter().enumerate() {
            crew.links.push(Link::launch(number, host, dir, hear.clone())?);
            crew.dismissals.push(0);
        }
        let clock = Clock::start();
        let deadline = clock.now() + HELLO_MAX;
        while let Some(waiting) = crew.links.iter().find(|link| !link.is_up()) {
            if is_interrupted() {
                return Err(ClusterError::Interrupted);
            }
            if clock.now() > deadline {
                let seconds = HELLO_MAX.as_secs();
                return Err(waiting.trouble(HostTrouble::NoHello { seconds }).into());
            }
            if let Ok(message) = crew.heard.recv_timeout(SLICE) {
                crew.meet(message)?;
            }
        }
        Ok(crew)
    }

    fn meet(&mut self, message: Message) -> Result<(), HostError> {
        let link = &mut self.links[message.host];
        if !link.is_up() {
            let heard = link.take(message);
            return link.greet(heard);
        }
        // It has nothing to say yet, so this is its end.
        self.news(message).map(drop)
    }

    /// Starts a run: one child per job, in contiguous blocks.
    pub(super) fn spawn(&mut self, jobs: Vec<Job>) {
        for link in &self.links {
            link.forget_clock();
        }
        for (index, &job) in jobs.iter().enumerate() {
            let link = &self.links[host_of(index, jobs.len(), self.links.len())];
            link.send(Wish::Spawn { index, bind: link.host.addr, job });
        }
        self.jobs = jobs;
    }

    /// Ends a run's children. Whatever is still on its way from them is passed over later.
    pub(super) fn dismiss(&mut self) {
        for (link, dismissals) in self.links.iter().zip(&mut self.dismissals) {
            link.send(Wish::Dismiss);
            *dismissals += 1;
        }
        self.jobs.clear();
        self.said.clear();
    }

    /// Passes a message on to a child's host.
    pub(super) fn send(&self, index: usize, wish: Wish) {
        self.links[self.host_of(index)].send(wish);
    }

    /// What a child is called in errors.
    pub(super) fn name(&self, index: usize) -> String {
        let host = &self.links[self.host_of(index)].host.name;
        let name = self.jobs.get(index).map(Job::name).unwrap_or_default();
        format!("{name} on {host}")
    }

    /// The clocks as far as they are known.
    ///
    /// # Errors
    ///
    /// [`HostTrouble::NoClock`].
    pub(super) fn clocks(&self) -> Result<Vec<HostClock>, HostError> {
        let of = |(number, link): (usize, &Link)| {
            let reading = link.clock().ok_or_else(|| link.trouble(HostTrouble::NoClock))?;
            let nodes = (0..self.jobs.len()).filter(|&index| self.host_of(index) == number).count();
            Ok(HostClock {
                host: link.host.name.clone(),
                addr: link.host.addr,
                nodes: u32::try_from(nodes).unwrap_or(u32::MAX),
                offset_ns: reading.offset_ns,
                error_ns: reading.error_ns,
            })
        };
        self.links.iter().enumerate().map(of).collect()
    }

    /// What a child says next; `None` if nothing comes within `wait`.
    ///
    /// # Errors
    ///
    /// [`HostError`] if a host is lost.
    pub(super) fn next(&mut self, wait: Duration) -> Result<Option<(usize, Said)>, HostError> {
        if let Some(said) = self.said.pop_front() {
            return Ok(Some(said));
        }
        match self.receive(wait)? {
            Some((host, news)) => match said_in(news) {
                Ok(said) => Ok(Some(said)),
                Err(news) => Err(self.unasked(host, &news)),
            },
            None => Ok(None),
        }
    }

    /// Writes a key through a child's HTTP door, from its own host. `Some` says why not.
    ///
    /// # Errors
    ///
    /// [`ClusterError`].
    pub(super) fn write(
        &mut self,
        index: usize,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, ClusterError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.send(index, Wish::Write { index, key, value });
        match self.answer("the key is written", WRITE_MAX)? {
            (_, News::Written { refusal }) => Ok(refusal.as_deref().map(lines::words)),
            (host, news) => Err(self.unasked(host, &news).into()),
        }
    }

    /// Brings all traces into `dir`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]; a file that cannot be written is one too.
    pub(super) fn collect(&mut self, dir: &Path) -> Result<(), ClusterError> {
        for link in &self.links {
            link.ping();
            link.send(Wish::Traces);
        }
        let mut traces = Collection { dir, files: BTreeMap::new() };
        let mut missing = self.links.len();
        while missing > 0 {
            match self.answer("all traces have come", PIECE_MAX)? {
                (host, News::Trace { index, piece }) => {
                    let job = self.jobs.get(index).copied();
                    let job = job.ok_or_else(|| self.gibberish(host, format!("trace {index}")))?;
                    let is_taken = traces.take(&job, &piece).map_err(|error| {
                        let path = trace_path(dir, job.number);
                        ClusterError::Files { path, reason: error.to_string() }
                    })?;
                    if !is_taken {
                        let line = format!("a trace of more than {TRACE_LEN_MAX} bytes");
                        return Err(self.gibberish(host, line).into());
                    }
                }
                (_, News::TracesEnd) => missing -= 1,
                (host, news) => return Err(self.unasked(host, &news).into()),
            }
        }
        Ok(())
    }

    /// Sees to it that there is a trace of a child in `dir`, if an empty one.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Files`].
    pub(super) fn begin_trace(&self, index: usize, dir: &Path) -> Result<(), ClusterError> {
        let Some(job) = self.jobs.get(index) else { return Ok(()) };
        let path = trace_path(dir, job.number);
        let opened = File::options().create(true).append(true).open(&path);
        opened.map(drop).map_err(|error| ClusterError::Files { path, reason: error.to_string() })
    }

    /// Waits for news that are no child's; a child's are kept for [`next`](Self::next).
    fn answer(
        &mut self,
        what: &'static str,
        wait: Duration,
    ) -> Result<(usize, News), ClusterError> {
        let clock = Clock::start();
        let deadline = clock.now() + wait;
        while clock.now() < deadline {
            if is_interrupted() {
                return Err(ClusterError::Interrupted);
            }
            if let Some((host, news)) = self.receive(SLICE)? {
                match said_in(news) {
                    Ok(said) => self.said.push_back(said),
                    Err(news) => return Ok((host, news)),
                }
            }
        }
        let (seconds, progress) = (wait.as_secs(), "a host owes an answer".to_owned());
        Err(ClusterError::TimedOut { seconds, what, progress })
    }

    fn receive(&mut self, wait: Duration) -> Result<Option<(usize, News)>, HostError> {
        match self.heard.recv_timeout(wait) {
            Ok(message) => {
                let host = message.host;
                Ok(self.news(message)?.map(|news| (host, news)))
            }
            // Lines that still wait to be read are no silence, so it is judged only without them.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                match self.links.iter().find(|link| link.silence() > AGENT_SILENT_MAX) {
                    Some(link) => {
                        let seconds = AGENT_SILENT_MAX.as_secs();
                        Err(link.trouble(HostTrouble::Silent { seconds }))
                    }
                    None => Ok(None),
                }
            }
        }
    }

    /// Takes in what a host says; `None` for what belongs to a former run.
    fn news(&mut self, message: Message) -> Result<Option<News>, HostError> {
        let host = message.host;
        let news = match self.links[host].take(message) {
            Heard::News(news) => news,
            Heard::Gibberish(line) => return Err(self.gibberish(host, line)),
            Heard::End => return Err(self.links[host].ended()),
        };
        if self.dismissals[host] > 0 {
            self.dismissals[host] -= u32::from(news == News::Dismissed);
            return Ok(None);
        }
        match news {
            News::Refused { reason } => {
                let reason = lines::words(&reason);
                Err(self.links[host].trouble(HostTrouble::Refused { reason }))
            }
            // A host speaks for its own children only.
            News::Report { index, .. }
            | News::Gibberish { index, .. }
            | News::Ended { index, .. }
            | News::Trace { index, .. }
                if index >= self.jobs.len() || self.host_of(index) != host =>
            {
                Err(self.gibberish(host, format!("news of child {index}")))
            }
            news => Ok(Some(news)),
        }
    }

    fn host_of(&self, index: usize) -> usize {
        host_of(index, self.jobs.len().max(1), self.links.len())
    }

    fn gibberish(&self, host: usize, line: String) -> HostError {
        self.links[host].trouble(HostTrouble::Gibberish { line })
    }

    fn unasked(&self, host: usize, news: &News) -> HostError {
        let line = serde_json::to_string(news).unwrap_or_default();
        self.gibberish(host, lines::quote(&line))
    }
}

impl Drop for Crew {
    /// Ends all agents and with them their children: first by hanging up, then the launchers by
    /// force. An agent that cannot be reached any more ends by itself, when it notices.
    fn drop(&mut self) {
        for link in &mut self.links {
            link.hang_up();
        }
        let clock = Clock::start();
        let deadline = clock.now() + FAREWELL;
        for link in &mut self.links {
            link.end(deadline.saturating_since(clock.now()));
        }
    }
}

/// What a child says, or the news back that are no child's.
fn said_in(news: News) -> Result<(usize, Said), News> {
    match news {
        News::Report { index, report } => Ok((index, Said::Report(report))),
        News::Gibberish { index, line } => Ok((index, Said::Gibberish(lines::quote(&line)))),
        News::Ended { index, last_words } => Ok((index, Said::Ended(lines::words(&last_words)))),
        news => Err(news),
    }
}

/// Traces as they come in.
struct Collection<'a> {
    dir: &'a Path,
    files: BTreeMap<PathBuf, (File, u64)>,
}

impl Collection<'_> {
    /// Appends a piece; `false` if the trace has grown too long.
    fn take(&mut self, job: &Job, piece: &str) -> io::Result<bool> {
        let path = trace_path(self.dir, job.number);
        if !self.files.contains_key(&path) {
            self.files.insert(path.clone(), (File::create(&path)?, 0));
        }
        let Some((file, len)) = self.files.get_mut(&path) else { return Ok(false) };
        *len = len.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if *len > TRACE_LEN_MAX {
            return Ok(false);
        }
        file.write_all(piece.as_bytes()).map(|()| true)
    }
}
