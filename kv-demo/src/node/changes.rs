//! What happened to members, with the cause, for people: the log behind `members --watch`.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rumormill::{Fact, NodeName};
use serde::{Deserialize, Serialize};

/// Changes that are kept for those who ask; older ones are gone.
pub const CHANGES_MAX: usize = 1_024;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A member came, or came back.
    Joined,
    /// Its meta changed.
    Updated,
    /// Its process started anew.
    Restarted,
    /// It is suspected.
    Suspected,
    /// It refuted in time.
    Recovered,
    /// Something else gets through to it than before.
    Reach,
    /// It is dead.
    Failed,
    /// It said goodbye.
    Left,
    /// It was forgotten.
    Reaped,
    /// Two nodes use its name.
    Conflict,
    /// This node was accused and answered.
    Refuted,
    /// A seed answered.
    SeedReached,
    /// A seed did not answer.
    SeedFailed,
    /// The neighbours of the list cannot bring this node everything.
    Degraded,
    /// Changes were lost: look at the members anew.
    Resync,
}

impl What {
    /// The word in tables and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Updated => "updated",
            Self::Restarted => "restarted",
            Self::Suspected => "suspected",
            Self::Recovered => "recovered",
            Self::Reach => "reach",
            Self::Failed => "failed",
            Self::Left => "left",
            Self::Reaped => "reaped",
            Self::Conflict => "conflict",
            Self::Refuted => "refuted",
            Self::SeedReached => "seed-reached",
            Self::SeedFailed => "seed-failed",
            Self::Degraded => "degraded",
            Self::Resync => "resync",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Counts up by one from 1.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What.
    pub what: What,
    /// Whom it is about: a member's name, or a seed's address.
    pub member: String,
    /// Why, in words.
    pub cause: String,
}

/// The latest changes.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    changes: VecDeque<Change>,
    last: u64,
}

impl ChangeLog {
    /// Writes a fact down if it is about members; returns what was written.
    pub(crate) fn record(&mut self, at_ms: u64, fact: &Fact, own: &NodeName) -> Option<&Change> {
        let (what, member, cause) = describe(fact, own)?;
        self.last += 1;
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { number: self.last, at_ms, what, member, cause });
        self.changes.back()
    }

    /// The changes with higher numbers than `after`, oldest first.
    pub(crate) fn since(&self, after: u64) -> Vec<Change> {
        self.changes.iter().filter(|change| change.number > after).cloned().collect()
    }

    /// The number of the last change.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }
}

fn describe(fact: &Fact, own: &NodeName) -> Option<(What, String, String)> {
    let (what, member, cause) = match fact {
        Fact::Joined { name, addr, .. } => {
            let cause = if name == own { "this node has started" } else { "it is alive" };
            (What::Joined, name.to_string(), format!("{cause}, at {addr}"))
        }
        Fact::Updated { name, before, meta } => {
            let cause = format!("its meta went from {} to {} bytes", before.len(), meta.len());
            (What::Updated, name.to_string(), cause)
        }
        Fact::Restarted { name, .. } => {
            (What::Restarted, name.to_string(), "its boot epoch changed".to_owned())
        }
        Fact::Suspected { name, accuser, incarnation } => {
            let cause = if accuser == own {
                "it answered none of this node's probes, direct or through others".to_owned()
            } else {
                format!("{accuser} says that it does not answer")
            };
            (What::Suspected, name.to_string(), format!("{cause} (incarnation {incarnation})"))
        }
        Fact::Recovered { name, incarnation } => {
            let cause = format!("it refuted the suspicion with incarnation {incarnation}");
            (What::Recovered, name.to_string(), cause)
        }
        Fact::ReachChanged { name, reach } => {
            (What::Reach, name.to_string(), format!("{reach} get through to it from this node"))
        }
        Fact::Failed { name, reported_by, accusers, .. } => {
            (What::Failed, name.to_string(), failure(own, reported_by, accusers))
        }
        Fact::Left { name, .. } => (What::Left, name.to_string(), "it said goodbye".to_owned()),
        Fact::Reaped { name } => {
            (What::Reaped, name.to_string(), "it has been gone for long".to_owned())
        }
        Fact::Conflict { name, existing, other } => {
            let cause = format!("{other} claims the name that {existing} has");
            (What::Conflict, name.to_string(), cause)
        }
        Fact::Refuted { accuser, incarnation } => {
            let who = accuser.as_ref().map_or("somebody".to_owned(), NodeName::to_string);
            let cause =
                format!("{who} accused this node, which answered with incarnation {incarnation}");
            (What::Refuted, own.to_string(), cause)
        }
        Fact::SeedReached { seed } => {
            (What::SeedReached, seed.to_string(), "it answered".to_owned())
        }
        Fact::SeedFailed { seed, attempts, retry_after, reason } => {
            let pause = retry_after.as_secs_f32();
            let cause = format!("{reason} (attempt {attempts}); next one in {pause:.1} s");
            (What::SeedFailed, seed.to_string(), cause)
        }
        Fact::OverlayDegraded { lost, beyond } => {
            (What::Degraded, own.to_string(), degraded(lost, beyond.as_ref()))
        }
        Fact::Resync { dropped } => {
            (What::Resync, own.to_string(), format!("{dropped} changes were lost"))
        }
        _ => return None,
    };
    Some((what, member, cause))
}

fn degraded(lost: &[SocketAddr], beyond: Option<&NodeName>) -> String {
    let lost: Vec<String> = lost.iter().map(SocketAddr::to_string).collect();
    let lost = lost.join(", ");
    match beyond {
        Some(member) => format!(
            "the list has fallen apart: {lost} cannot be reached, and news came from {member} instead"
        ),
        None => format!("the list has fallen apart: {lost} cannot be reached"),
    }
}

fn failure(own: &NodeName, reported_by: &NodeName, accusers: &[NodeName]) -> String {
    let mut cause = if reported_by == own {
        "the time to refute ran out here".to_owned()
    } else {
        format!("{reported_by} says that its time to refute ran out")
    };
    if !accusers.is_empty() {
        let names: Vec<String> = accusers.iter().map(NodeName::to_string).collect();
        cause.push_str("; accused by ");
        cause.push_str(&names.join(", "));
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn a_failure_names_who_found_it_and_who_accused() {
        let (own, victim) = (name("a"), name("v"));
        let fact = |reporter: &str| Fact::Failed {
            name: victim.clone(),
            addr: "127.0.0.1:1".parse().unwrap(),
            reported_by: name(reporter),
            accusers: vec![name("b"), name("c")],
        };
        let cause = |reporter| describe(&fact(reporter), &own).unwrap().2;
        assert_eq!(cause("a"), "the time to refute ran out here; accused by b, c");
        assert_eq!(cause("b"), "b says that its time to refute ran out; accused by b, c");
    }

    #[test]
    fn a_firewall_is_told_in_words() {
        let fact = Fact::ReachChanged { name: name("v"), reach: rumormill::Reach::StreamsOnly };
        let (what, member, cause) = describe(&fact, &name("a")).unwrap();
        assert_eq!((what.name(), &*member), ("reach", "v"));
        assert_eq!(cause, "streams only get through to it from this node");
    }

    #[test]
    fn a_list_in_pieces_is_told_with_where_it_is_cut() {
        let lost = vec!["127.0.0.1:7".parse().unwrap(), "127.0.0.1:8".parse().unwrap()];
        let fact = Fact::OverlayDegraded { lost: lost.clone(), beyond: Some(name("v")) };
        let (what, member, cause) = describe(&fact, &name("a")).unwrap();
        assert_eq!((what.name(), &*member), ("degraded", "a"));
        let words = "the list has fallen apart: 127.0.0.1:7, 127.0.0.1:8 cannot be reached";
        assert_eq!(cause, format!("{words}, and news came from v instead"));
        let alone = Fact::OverlayDegraded { lost, beyond: None };
        assert_eq!(describe(&alone, &name("a")).unwrap().2, words);
    }

    #[test]
    fn the_log_keeps_the_latest_and_numbers_all() {
        let mut log = ChangeLog::default();
        let fact = Fact::Left { name: name("v"), addr: "127.0.0.1:1".parse().unwrap() };
        for _ in 0..CHANGES_MAX + 5 {
            log.record(7, &fact, &name("a"));
        }
        let last = CHANGES_MAX as u64 + 5;
        assert_eq!(log.last(), last);
        assert_eq!(log.since(0).len(), CHANGES_MAX);
        assert_eq!(
            log.since(last - 2).iter().map(|c| c.number).collect::<Vec<_>>(),
            [last - 1, last]
        );
        assert!(log.record(7, &Fact::LeaveDone, &name("a")).is_none());
    }
}
