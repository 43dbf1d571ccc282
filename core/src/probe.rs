//! One probe of one member, as a value (SWIM §3.1, protocol page §4.2).
//!
//! ```text
//! t0                 t0 + timeout            t0 + interval * (score + 1)
//! ping ──────────────► no ack: ask k others ──► nobody got through: suspect
//!        ack: done     and dial it: ack: done   but the stream did: datagrams are lost
//! ```
//!
//! It knows no clock and sends nothing; `node` asks it what the moment calls for.

use core::time::Duration;

use smallvec::SmallVec;

use crate::identity::{Incarnation, SeqNo, StreamId};
use crate::member::MemberId;
use crate::time::Instant;

/// A probe under way.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) target: MemberId,
    pub(crate) seq: SeqNo,
    /// The incarnation that a failure will accuse.
    pub(crate) incarnation: Incarnation,
    started_at: Instant,
    direct_until: Instant,
    until: Instant,
    phase: Phase,
    relays: SmallVec<[Relay; 4]>,
    /// The same ping over a stream, as long as it is under way.
    pub(crate) stream: Option<StreamId>,
    /// It was answered over the stream.
    answered_on_stream: bool,
    /// This node stood still meanwhile: nobody knows when an ack came.
    interrupted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Direct,
    Indirect,
}

/// A member that was asked to probe for us.
#[derive(Clone, Copy, Debug)]
struct Relay {
    member: MemberId,
    nack: NackState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NackState {
    /// It does not know nacks.
    NotExpected,
    Expected,
    Received,
}

/// What the time calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Wait,
    /// The direct ack is late: ask others.
    AskOthers,
    /// No datagram got through, but the stream did.
    StreamOnly,
    /// Nobody got through.
    Failed,
}

impl Probe {
    pub(crate) fn start(
        now: Instant,
        target: MemberId,
        seq: SeqNo,
        incarnation: Incarnation,
        timeout: Duration,
        scaled_interval: Duration,
    ) -> Self {
        Self {
            target,
            seq,
            incarnation,
            started_at: now,
            direct_until: now + timeout,
            until: now + scaled_interval,
            phase: Phase::Direct,
            relays: SmallVec::new(),
            stream: None,
            answered_on_stream: false,
            interrupted: false,
        }
    }

    /// When its time is over.
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    /// Whether this node stood still since it began.
    pub(crate) const fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The round trip that an ack arriving now has measured; `None` when others may have brought
    /// it, or when it is so late that it would have been given up.
    pub(crate) fn round_trip(&self, now: Instant) -> Option<Duration> {
        let in_time = now < self.direct_until && !self.interrupted;
        let direct = self.phase == Phase::Direct && in_time;
        direct.then(|| now.saturating_since(self.started_at))
    }

    /// The member answered over the stream. That counts at the end only: until then a datagram may
    /// still come, and tells more.
    pub(crate) fn on_stream_ack(&mut self) {
        self.answered_on_stream = true;
    }

    /// When [`due`](Self::due) will say something else than it did last.
    pub(crate) fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Direct => self.direct_until.min(self.until),
            Phase::Indirect => self.until,
        }
    }

    pub(crate) fn due(&self, now: Instant) -> Due {
        match self.phase {
            _ if now >= self.until && self.answered_on_stream => Due::StreamOnly,
            _ if now >= self.until => Due::Failed,
            Phase::Direct if now >= self.direct_until => Due::AskOthers,
            Phase::Direct | Phase::Indirect => Due::Wait,
        }
    }

    /// Gives lost time back.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.interrupted = true;
        self.direct_until += by;
        self.until += by;
    }

    /// Others will be asked from now on.
    pub(crate) fn go_indirect(&mut self) {
        self.phase = Phase::Indirect;
    }

    pub(crate) fn asked(&mut self, member: MemberId, sends_nacks: bool) {
        let nack = if sends_nacks { NackState::Expected } else { NackState::NotExpected };
        self.relays.push(Relay { member, nack });
    }

    /// A nack counts once per relay that was asked.
    pub(crate) fn on_nack(&mut self, from: MemberId) {
        if let Some(relay) = self.relays.iter_mut().find(|relay| relay.member == from)
            && relay.nack == NackState::Expected
        {
            relay.nack = NackState::Received;
        }
    }

    /// How a failure changes our own health score: by the nacks that we should have got, or by
    /// one where no relay could send any.
    pub(crate) fn failure_delta(&self) -> i32 {
        let count = |wanted| self.relays.iter().filter(|relay| relay.nack == wanted).count();
        let missing = count(NackState::Expected);
        if missing == 0 && count(NackState::Received) == 0 {
            return 1;
        }
        i32::try_from(missing).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::member::Table;

    use alloc::vec::Vec;

    const MILLI: Duration = Duration::from_millis(1);

    fn members(count: u16) -> Vec<MemberId> {
        let (table, _) = Table::sample(count);
        table.iter().map(|(id, _)| id).collect()
    }

    fn probe(target: MemberId) -> Probe {
        let start = Instant::ZERO;
        Probe::start(start, target, SeqNo(1), Incarnation(1), 500 * MILLI, 1_000 * MILLI)
    }

    fn at(millis: u32) -> Instant {
        Instant::ZERO + millis * MILLI
    }

    #[test]
    fn a_probe_asks_others_at_the_timeout_and_fails_at_the_interval() {
        let mut probe = probe(members(1)[0]);
        assert_eq!((probe.due(at(499)), probe.deadline()), (Due::Wait, at(500)));
        assert_eq!(probe.due(at(500)), Due::AskOthers);
        probe.go_indirect();
        assert_eq!((probe.due(at(999)), probe.deadline()), (Due::Wait, at(1_000)));
        assert_eq!(probe.due(at(1_000)), Due::Failed);
    }

    #[test]
    fn an_answer_over_the_stream_counts_when_no_datagram_came() {
        let mut probe = probe(members(1)[0]);
        probe.go_indirect();
        probe.on_stream_ack();
        assert_eq!(probe.due(at(999)), Due::Wait);
        assert_eq!(probe.due(at(1_000)), Due::StreamOnly);
    }

    #[test]
    fn a_round_trip_is_measured_by_a_direct_ack_in_time() {
        let mut probe = probe(members(1)[0]);
        assert_eq!(probe.round_trip(at(499)), Some(499 * MILLI));
        assert_eq!(probe.round_trip(at(500)), None, "too late");
        let mut interrupted = probe.clone();
        interrupted.postpone(20 * MILLI);
        assert_eq!(interrupted.round_trip(at(510)), None, "it may have waited in the socket");
        assert_eq!(interrupted.deadline(), at(520));
        probe.go_indirect();
        assert_eq!(probe.round_trip(at(499)), None, "somebody else may have brought it");
    }

    #[test]
    fn only_missing_nacks_of_capable_relays_are_held_against_us() {
        let members = members(4);
        let mut probe = probe(members[0]);
        assert_eq!(probe.failure_delta(), 1, "nobody was asked");
        probe.asked(members[1], false);
        assert_eq!(probe.failure_delta(), 1, "nobody could have sent a nack");
        probe.asked(members[2], true);
        probe.asked(members[3], true);
        assert_eq!(probe.failure_delta(), 2);
        probe.on_nack(members[2]);
        probe.on_nack(members[2]);
        probe.on_nack(members[1]);
        probe.on_nack(members[0]);
        assert_eq!(probe.failure_delta(), 1, "repeated and uninvited nacks do not count");
        probe.on_nack(members[3]);
        assert_eq!(probe.failure_delta(), 0);
    }
}
