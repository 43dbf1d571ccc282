//! Peers as child processes: lines go in, lines come out, and waiting for one has an end.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rumormill_mio::Clock;

/// A cell's verdict: what failed is text for people.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// No wait lasts longer than this; none lasts this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often a question is asked again that only polling can answer.
const PAUSE: Duration = Duration::from_millis(50);

/// What a process has printed so far, on both of its outputs.
#[derive(Debug, Default)]
struct Printed {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Printed {
    fn collect(self: &Arc<Self>, output: impl Read + Send + 'static) {
        let printed = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                printed.lines.lock().unwrap().push(line);
                printed.more.notify_all();
            }
        });
    }
}

/// A running peer. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) addr: String,
    child: Child,
    stdin: Option<ChildStdin>,
    printed: Arc<Printed>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts a process that has a name.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Outcome<Self> {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let printed = Arc::new(Printed::default());
        printed.collect(child.stdout.take().unwrap());
        printed.collect(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        Ok(Self { name: name.into(), addr: String::new(), child, stdin, printed })
    }

    /// Starts a peer that speaks our lines, and waits until it listens.
    pub(crate) fn start(name: &str, command: &mut Command, flags: &[&str]) -> Outcome<Self> {
        let mut peer = Self::spawn(name, command.args(["--name", name]).args(flags))?;
        let ready = peer.wait(0, "ready", &[])?;
        peer.addr = field(&ready.line, "addr").ok_or("it is ready, but where?")?;
        Ok(peer)
    }

    /// Gives it a line.
    pub(crate) fn tell(&mut self, line: &str) -> Outcome {
        let stdin = self.stdin.as_mut().ok_or("its input is closed")?;
        writeln!(stdin, "{line}").map_err(|error| format!("{}: {line}: {error}", self.name))
    }

    /// How many lines it has printed: where to begin to look for what comes from now on.
    pub(crate) fn mark(&self) -> usize {
        self.printed.lines.lock().unwrap().len()
    }

    /// Waits for a line of this event with these fields, from a mark on.
    pub(crate) fn wait(&self, from: usize, event: &str, fields: &[(&str, &str)]) -> Outcome<Found> {
        let wanted = wanted(event, fields);
        self.wait_for(from, &format!("{event} {fields:?}"), |line| {
            wanted.iter().all(|part| line.contains(part))
        })
    }

    /// Waits for a line that holds a text, in whatever form: for logs.
    pub(crate) fn wait_text(&self, from: usize, text: &str) -> Outcome<Found> {
        self.wait_for(from, text, |line| line.contains(text))
    }

    fn wait_for(&self, from: usize, what: &str, is: impl Fn(&str) -> bool) -> Outcome<Found> {
        let clock = Clock::start();
        let mut lines = self.printed.lines.lock().unwrap();
        let mut at = from;
        loop {
            if let Some(found) = lines[at..].iter().position(|line| is(line)) {
                let (next, line) = (at + found + 1, lines[at + found].clone());
                return Ok(Found { next, line });
            }
            at = lines.len();
            let waited = Duration::from_micros(clock.now().as_micros());
            if waited >= PATIENCE {
                return Err(format!("{}: waited in vain for {what}{}", self.name, tail(&lines)));
            }
            lines = self.printed.more.wait_timeout(lines, PATIENCE - waited).unwrap().0;
        }
    }

    /// Whether it has printed a line of this event with a text in it, since a mark.
    pub(crate) fn has_said(&self, from: usize, event: &str, text: &str) -> bool {
        let event = wanted(event, &[]).concat();
        let lines = self.printed.lines.lock().unwrap();
        lines[from..].iter().any(|line| line.contains(&event) && line.contains(text))
    }

    /// All lines of an event with these fields so far.
    pub(crate) fn all(&self, event: &str, fields: &[(&str, &str)]) -> Vec<String> {
        let wanted = wanted(event, fields);
        let lines = self.printed.lines.lock().unwrap();
        let said = lines.iter().filter(|line| wanted.iter().all(|part| line.contains(part)));
        said.cloned().collect()
    }

    /// Fails if it has printed such a line since a mark.
    pub(crate) fn never(&self, from: usize, event: &str, fields: &[(&str, &str)]) -> Outcome {
        let wanted = wanted(event, fields);
        let lines = self.printed.lines.lock().unwrap();
        let said = lines[from..].iter().find(|line| wanted.iter().all(|part| line.contains(part)));
        said.map_or(Ok(()), |line| Err(format!("{} should not have said {line}", self.name)))
    }

    /// What it thinks of a member, now.
    pub(crate) fn state_of(&mut self, name: &str) -> Outcome<String> {
        let mark = self.mark();
        self.tell(&format!("state-of {name}"))?;
        let answer = self.wait(mark, "state-of", &[("name", name)])?;
        field(&answer.line, "state").ok_or_else(|| "an answer without a state".into())
    }

    /// Asks until it thinks so of a member.
    pub(crate) fn wait_state(&mut self, name: &str, state: &str) -> Outcome {
        let what = format!("{} calls {name} {state}", self.name);
        until(&what, || Ok(self.state_of(name)? == state))
    }

    /// How many live members it knows, itself included.
    pub(crate) fn members(&mut self) -> Outcome<String> {
        let mark = self.mark();
        self.tell("members")?;
        let answer = self.wait(mark, "members", &[])?;
        field(&answer.line, "count").ok_or_else(|| "an answer without a count".into())
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it as a failing machine would: without a word.
    pub(crate) fn kill(&mut self) -> Outcome {
        self.child.kill().map_err(|error| error.to_string())
    }

    /// Stops it in its tracks, as a machine that is too busy.
    pub(crate) fn freeze(&self) -> Outcome {
        self.signal("STOP")
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Outcome {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Outcome {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("kill -s {signal}: {other:?}")),
        }
    }
}

/// A line, and where to go on looking.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) next: usize,
    pub(crate) line: String,
}

/// Asks again and again until the answer is yes.
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> Outcome<bool>) -> Outcome {
    let clock = Clock::start();
    while !reached()? {
        if Duration::from_micros(clock.now().as_micros()) >= PATIENCE {
            return Err(format!("waited in vain: {what}"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn wanted(event: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let pair = |(key, value): &(&str, &str)| format!("\"{key}\":\"{value}\"");
    core::iter::once(&("event", event)).chain(fields).map(pair).collect()
}

/// The value of a field of a line.
pub(crate) fn field(line: &str, key: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("\"{key}\":\""))?;
    Some(rest.split_once('"')?.0.into())
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(12)..].iter().fold(String::new(), |mut text, line| {
        let cut = line.char_indices().nth(200).map_or(line.len(), |(at, _)| at);
        let _ = write!(text, "\n        {}", &line[..cut]);
        text
    })
}

/// Bytes as the peers take them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
