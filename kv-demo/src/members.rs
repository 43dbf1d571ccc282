//! Asking a running node about its members, over its HTTP door.

use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use comfy_table::Table;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::Body;
use ureq::http::Response;

use crate::config::SeedAddr;
use crate::node::{Change, MembersView, OPERATOR};
use crate::report::STYLE;

/// Longest wait for an answer that a node can give at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one question for the next change may wait at the node.
const WATCH_WAIT: Duration = Duration::from_secs(20);
/// Largest answer that is read, in bytes: some 50 000 members.
const ANSWER_LEN_MAX: u64 = 32 << 20;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MembersFormat {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON object, or one per change.
    Json,
}

/// Why a node could not be asked; one line that names the fix.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody answers.
    #[error(
        "no node answers at http://{door}/ ({reason}): start one, or name its door with --http"
    )]
    Unreachable {
        /// The door asked.
        door: SeedAddr,
        /// Why.
        reason: String,
    },
    /// Something else answers there.
    #[error("what answers at http://{door}/ is no kv-demo node of this version ({reason})")]
    Stranger {
        /// The door asked.
        door: SeedAddr,
        /// Why.
        reason: String,
    },
    /// The node does not do it.
    #[error("{reason}")]
    Refused {
        /// What it says, which names the fix.
        reason: String,
    },
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// A node's HTTP door, seen from outside.
#[derive(Debug)]
pub struct Door {
    addr: SeedAddr,
    agent: ureq::Agent,
}

impl Door {
    /// The door at `addr`, which may be a host name.
    #[must_use]
    pub fn new(addr: impl Into<SeedAddr>) -> Self {
        Self::patient(addr, PATIENCE + WATCH_WAIT)
    }

    /// A door whose answers may take this long.
    #[must_use]
    pub fn patient(addr: impl Into<SeedAddr>, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(PATIENCE))
            .timeout_global(Some(patience))
            .http_status_as_error(false)
            .build();
        Self { addr: addr.into(), agent: config.into() }
    }

    /// The node's members.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn members(&self) -> Result<MembersView, AskError> {
        self.get("members")
    }

    /// The changes after number `after`; waits some seconds for one, and may come back empty.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn changes(&self, after: u64) -> Result<Vec<Change>, AskError> {
        self.get(&format!("events?after={after}&wait_ms={}", WATCH_WAIT.as_millis()))
    }

    /// Stores a value.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn add(&self, key: &str, value: &str) -> Result<(), AskError> {
        let request = self.agent.get(self.url("add")).query("key", key).query("val", value);
        self.read(request.call()).map(drop)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.parse(self.agent.get(self.url(path)).call())
    }

    /// Asks what only an operator may know.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub(crate) fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.parse(self.agent.get(self.url(path)).header(OPERATOR, "1").call())
    }

    /// Has the node do something that it reports about.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: &[u8],
    ) -> Result<T, AskError> {
        let query = query.iter().map(|(name, value)| (*name, value.as_str()));
        let request = self.agent.post(self.url(path)).query_pairs(query);
        self.parse(request.header(OPERATOR, "1").send(body))
    }

    /// Has the node do something, and waits until it is done.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub(crate) fn order(&self, path: &str) -> Result<(), AskError> {
        let request = self.agent.post(self.url(path)).header(OPERATOR, "1");
        self.read(request.send_empty()).map(drop)
    }

    fn parse<T: DeserializeOwned>(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<T, AskError> {
        let body = self.read(answer)?;
        serde_json::from_slice(&body).map_err(|error| self.stranger(error.to_string()))
    }

    fn read(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Vec<u8>, AskError> {
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        let body = body.map_err(|error| self.stranger(error.to_string()))?;
        if status.is_success() {
            return Ok(body);
        }
        // A node refuses in one line of text.
        let reason = String::from_utf8(body).unwrap_or_default();
        match reason.strip_suffix('\n') {
            Some(reason) if !reason.is_empty() && !reason.contains('\n') => {
                Err(AskError::Refused { reason: reason.to_owned() })
            }
            _ => Err(self.stranger(status.to_string())),
        }
    }

    fn stranger(&self, reason: String) -> AskError {
        AskError::Stranger { door: self.addr.clone(), reason }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.addr)
    }

    fn unreachable(&self, error: &ureq::Error) -> AskError {
        AskError::Unreachable { door: self.addr.clone(), reason: error.to_string() }
    }
}

/// Prints the members once.
///
/// # Errors
///
/// [`AskError`].
pub fn print(door: &Door, format: MembersFormat, out: &mut impl Write) -> Result<(), AskError> {
    let view = door.members()?;
    match format {
        MembersFormat::Json => {
            let text = serde_json::to_string_pretty(&view).map_err(io::Error::from)?;
            writeln!(out, "{text}")?;
        }
        MembersFormat::Table => writeln!(out, "{}", table(&view))?,
    }
    Ok(())
}

/// Prints the members, then each change with its cause, until the node ends.
///
/// # Errors
///
/// [`AskError`]; also when the node ends.
pub fn watch(door: &Door, format: MembersFormat, out: &mut impl Write) -> Result<(), AskError> {
    let mut after = door.members()?.last_change;
    print(door, format, out)?;
    loop {
        for change in door.changes(after)? {
            after = change.number;
            match format {
                MembersFormat::Table => writeln!(out, "{}", line(&change))?,
                MembersFormat::Json => {
                    let text = serde_json::to_string(&change).map_err(io::Error::from)?;
                    writeln!(out, "{text}")?;
                }
            }
            out.flush()?;
        }
    }
}

fn table(view: &MembersView) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(["member", "address", "state", "for", "incarnation", "reached by", "speaks"]);
    for member in &view.members {
        let own = if member.name == view.node { " (asked)" } else { "" };
        table.add_row([
            format!("{}{own}", member.name),
            member.addr.clone(),
            member.state.clone(),
            span(member.since_ms),
            member.incarnation.to_string(),
            member.reach.clone(),
            if member.rumormill { "rumormill" } else { "memberlist" }.to_owned(),
        ]);
    }
    let seeds = match view.seeds_waiting {
        0 => String::new(),
        waiting => format!(", {waiting} seed(s) not reached yet"),
    };
    let health = view.health;
    format!("{table}\n{} live{seeds}; health {health} (0 is good)", view.live)
}

fn line(change: &Change) -> String {
    let (time, what) = (clock(change.at_ms), change.what.name());
    format!("{time}  {what:<12} {:<22} {}", change.member, change.cause)
}

/// The time of day in UTC.
fn clock(at_ms: u64) -> String {
    let (seconds, millis) = (at_ms / 1_000 % 86_400, at_ms % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}Z", seconds % 60)
}

fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{MemberView, What};

    #[test]
    fn a_table_says_who_is_who() {
        let member = |name: &str, state: &str, rumormill| MemberView {
            name: name.to_owned(),
            addr: "127.0.0.1:1".to_owned(),
            state: state.to_owned(),
            since_ms: 61_000,
            incarnation: 7,
            versions: [1, 5, 2, 0, 0, 0],
            reach: rumormill::Reach::DatagramsOnly.to_string(),
            rumormill,
            meta: String::new(),
        };
        let view = MembersView {
            node: "a".to_owned(),
            live: 2,
            health: 0,
            seeds_waiting: 1,
            last_change: 3,
            members: vec![member("a", "alive", true), member("b", "suspect", false)],
        };
        let table = table(&view);
        assert!(table.contains("a (asked)") && table.contains("61 s"), "{table}");
        assert!(table.contains("suspect") && table.contains("memberlist"), "{table}");
        assert!(table.contains("datagrams only"), "{table}");
        assert!(table.contains("2 live, 1 seed(s) not reached yet"), "{table}");
    }

    #[test]
    fn a_change_is_one_line_with_time_and_cause() {
        let change = Change {
            number: 1,
            at_ms: 86_400_000 + 3_723_004,
            what: What::Failed,
            member: "b".to_owned(),
            cause: "nobody heard of it".to_owned(),
        };
        let line = line(&change);
        assert!(line.starts_with("01:02:03.004Z  failed "), "{line}");
        assert!(line.ends_with("nobody heard of it"), "{line}");
    }

    #[test]
    fn a_door_that_nobody_opens_is_named_with_the_fix() {
        let door: SeedAddr = "127.0.0.1:1".parse().unwrap();
        let error = Door::new(door).members().unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:1") && error.contains("--http"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
