//! Joins that somebody waits for: each address is tried once, and what became of it is told.

use std::net::SocketAddr;

use rumormill::Instant;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Most joins that are waited for at once.
pub(crate) const JOINS_MAX: usize = 16;

/// What became of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "kebab-case")]
pub enum Reached {
    /// A member is there, and the two clusters know each other.
    Joined,
    /// It is the address of the node that was asked.
    Itself,
    /// The attempt failed.
    Failed(String),
    /// Nothing was heard in time.
    Silent,
}

type Answer = Vec<(SocketAddr, Reached)>;
/// `None` is for whom there was no room.
type Reply = oneshot::Sender<Option<Answer>>;

/// Joins that are waited for.
#[derive(Debug, Default)]
pub(crate) struct Joins(Vec<Join>);

#[derive(Debug)]
struct Join {
    until: Instant,
    seeds: Vec<(SocketAddr, Option<Reached>)>,
    reply: Reply,
}

impl Join {
    fn is_settled(&self) -> bool {
        self.seeds.iter().all(|(_, reached)| reached.is_some())
    }
}

impl Joins {
    /// Waits until `until` for what becomes of `seeds`, of which `own` is the node's own address.
    ///
    /// # Errors
    ///
    /// `reply` itself, if as many as may be are waited for already.
    pub(crate) fn add(
        &mut self,
        seeds: &[SocketAddr],
        own: SocketAddr,
        until: Instant,
        reply: Reply,
    ) -> Result<(), Reply> {
        self.0.retain(|join| !join.reply.is_closed());
        if self.0.len() >= JOINS_MAX {
            return Err(reply);
        }
        let seeds = seeds.iter().map(|&seed| (seed, (seed == own).then_some(Reached::Itself)));
        self.0.push(Join { until, seeds: seeds.collect(), reply });
        Ok(())
    }

    /// Something became of an address.
    pub(crate) fn note(&mut self, seed: SocketAddr, reached: &Reached) {
        for join in &mut self.0 {
            for (_, found) in join.seeds.iter_mut().filter(|(addr, _)| *addr == seed) {
                found.get_or_insert_with(|| reached.clone());
            }
        }
    }

    /// Tells those whose waiting is over. Returns the addresses that did not answer and that nobody
    /// waits for any more: they are not to be tried again.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<SocketAddr> {
        let is_over = |join: &mut Join| join.is_settled() || join.until <= now;
        let over: Vec<Join> = self.0.extract_if(.., is_over).collect();
        let mut given_up = Vec::new();
        for Join { seeds, reply, .. } in over {
            let told = seeds.into_iter();
            let told: Answer =
                told.map(|(seed, reached)| (seed, reached.unwrap_or(Reached::Silent))).collect();
            let silent = told.iter().filter(|(_, reached)| *reached != Reached::Joined);
            given_up.extend(silent.map(|(seed, _)| *seed));
            // Whoever gave up waiting has dropped the other end.
            let _ = reply.send(Some(told));
        }
        given_up.retain(|seed| !self.0.iter().any(|join| join.waits_for(*seed)));
        given_up
    }

    /// When somebody has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|join| join.until).min()
    }
}

impl Join {
    fn waits_for(&self, seed: SocketAddr) -> bool {
        self.seeds.iter().any(|(addr, reached)| *addr == seed && reached.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn failed() -> Reached {
        Reached::Failed("no".to_owned())
    }

    #[test]
    fn a_join_is_over_when_each_address_has_been_tried() {
        let (reply, mut answer) = oneshot::channel();
        let mut joins = Joins::default();
        joins.add(&[addr(1), addr(2), addr(9)], addr(9), at(10), reply).unwrap();
        joins.note(addr(1), &Reached::Joined);
        assert_eq!((joins.settle(at(1)), joins.deadline()), (vec![], Some(at(10))));
        joins.note(addr(2), &failed());
        joins.note(addr(2), &Reached::Joined);
        assert_eq!(joins.settle(at(1)), [addr(2), addr(9)]);
        let told = answer.try_recv().unwrap().unwrap();
        let expected =
            [(addr(1), Reached::Joined), (addr(2), failed()), (addr(9), Reached::Itself)];
        assert_eq!((told, joins.deadline()), (expected.to_vec(), None));
    }

    #[test]
    fn what_says_nothing_is_given_up_in_time_unless_somebody_else_waits_for_it() {
        let mut joins = Joins::default();
        let (first, mut told) = oneshot::channel();
        let (second, _waits) = oneshot::channel();
        joins.add(&[addr(1), addr(2)], addr(9), at(10), first).unwrap();
        joins.add(&[addr(2)], addr(9), at(20), second).unwrap();
        assert_eq!(joins.settle(at(10)), [addr(1)]);
        let silent = |port| (addr(port), Reached::Silent);
        assert_eq!(told.try_recv().unwrap().unwrap(), [silent(1), silent(2)]);
        assert_eq!(joins.settle(at(20)), [addr(2)]);
    }

    #[test]
    fn so_many_may_wait_and_those_who_went_away_do_not_count() {
        let mut joins = Joins::default();
        let mut waiting = Vec::new();
        for number in 0..=JOINS_MAX {
            let (reply, answer) = oneshot::channel();
            let taken = joins.add(&[addr(1)], addr(9), at(10), reply);
            assert_eq!(taken.is_ok(), number < JOINS_MAX);
            waiting.push(answer);
        }
        waiting.remove(0);
        let (reply, _answer) = oneshot::channel();
        assert!(joins.add(&[addr(1)], addr(9), at(10), reply).is_ok());
    }
}
