//! Members: what one is, and which statement about it overrides which.
//!
//! Read SWIM §4.2 and the protocol page §4.4-4.6 first. The precedence table lives here and
//! nowhere else; [`table`] owns the records, `node` acts on the verdicts.

pub(crate) mod ring;
pub(crate) mod table;

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use thiserror::Error;

use crate::identity::{Incarnation, NAME_LEN_MAX, NodeName};
use crate::node::Reach;
use crate::time::Instant;
use crate::wire::META_LEN_MAX;
use crate::wire::message::{Alive, NodeAddr, Versions};
use crate::wire::tags::Advert;
pub(crate) use table::{Keep, MemberId, Order, Record, Rtt, Table};

/// What a node believes about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// Answers probes, or nobody has found otherwise.
    Alive,
    /// Did not answer; it has some time to refute.
    Suspect,
    /// Condemned: the suspicion ended without a refutation.
    Dead,
    /// Said goodbye.
    Left,
}

impl MemberState {
    /// Whether it still counts as a member: alive or suspect.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        })
    }
}

/// A member as this node sees it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a NodeName,
    /// Where to reach it.
    pub addr: SocketAddr,
    /// What this node believes about it.
    pub state: MemberState,
    /// When it came into that state.
    pub since: Instant,
    /// Its last known incarnation.
    pub incarnation: Incarnation,
    /// The application's bytes about it, with our tag among them if it has one.
    pub meta: &'a [u8],
    /// The protocol versions it speaks.
    pub versions: Versions,
    /// Its boot epoch and capabilities, if it runs Rumormill and says so.
    pub advert: Option<Advert>,
    /// What gets through to it from here.
    pub reach: Reach,
    /// The round trip of this node's probes of it, smoothed by 7/8; `None` until one was measured
    /// at its present address in its present life. Includes what both runtimes let a datagram wait.
    pub rtt: Option<Duration>,
}

/// An alive statement whose fields make sense; the rules of the protocol page §9.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) addr: NodeAddr,
    pub(crate) incarnation: Incarnation,
    pub(crate) meta: &'a [u8],
    pub(crate) versions: Versions,
}

/// A claim that outlives its packet.
#[derive(Clone, Debug)]
pub(crate) struct OwnedClaim {
    pub(crate) name: NodeName,
    pub(crate) addr: NodeAddr,
    pub(crate) incarnation: Incarnation,
    pub(crate) meta: Arc<[u8]>,
    pub(crate) versions: Versions,
}

impl OwnedClaim {
    /// `None` for a name that no node can have, which a checked claim has not.
    pub(crate) fn copy(claim: &Claim<'_>) -> Option<Self> {
        let Claim { name, addr, incarnation, meta, versions } = *claim;
        let name = NodeName::new(name).ok()?;
        Some(Self { name, addr, incarnation, meta: meta.into(), versions })
    }

    pub(crate) fn as_claim(&self) -> Claim<'_> {
        let Self { name, addr, incarnation, meta, versions } = self;
        Claim {
            name: name.as_bytes(),
            addr: *addr,
            incarnation: *incarnation,
            meta,
            versions: *versions,
        }
    }
}

/// Why an alive statement makes no sense. It is dropped and counted; nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadClaim {
    #[error("the name has 0 or more than {NAME_LEN_MAX} bytes")]
    Name,
    #[error("the address has neither 4 nor 16 bytes")]
    Address,
    #[error("the meta has more than {META_LEN_MAX} bytes")]
    Meta,
    #[error("the version bytes are missing or contradict each other")]
    Versions,
}

impl<'a> Claim<'a> {
    /// Checks what a peer sent. `own_port` stands in for a port of 0, as protocol 1 has it.
    pub(crate) fn check(alive: &'a Alive<'_>, own_port: u16) -> Result<Self, BadClaim> {
        if alive.node.is_empty() || alive.node.len() > NAME_LEN_MAX {
            return Err(BadClaim::Name);
        }
        if alive.meta.len() > META_LEN_MAX {
            return Err(BadClaim::Meta);
        }
        let port = if alive.port == 0 { own_port } else { alive.port };
        let addr = NodeAddr::from_wire(&alive.addr, port).ok_or(BadClaim::Address)?;
        let versions = Versions::from_wire(&alive.vsn).ok_or(BadClaim::Versions)?;
        check_versions(versions)?;
        let incarnation = alive.incarnation;
        Ok(Self { name: &alive.node, addr, incarnation, meta: &alive.meta, versions })
    }
}

/// A zero or contradictory version in one record makes Go peers refuse every push/pull with
/// whoever holds it (protocol page §4.9), so such a record must never enter the table. Nor must one
/// that [`can_exchange`] refuses.
fn check_versions(versions: Versions) -> Result<(), BadClaim> {
    let [pmin, pmax, pcur] = versions.protocol();
    let [dmin, dmax, dcur] = versions.delegate();
    if pmin == 0 || pmin > pcur || pcur > pmax || dmin > dcur || dcur > dmax {
        return Err(BadClaim::Versions);
    }
    Ok(())
}

/// Whether two nodes can exchange state: each speaks what the other understands (protocol page
/// §4.9). One record that fails this with us makes every push/pull fail, with whomever.
pub(crate) fn can_exchange(one: Versions, other: Versions) -> bool {
    understands(one, other) && understands(other, one)
}

fn understands(listener: Versions, speaker: Versions) -> bool {
    let within = |[min, max, _]: [u8; 3], [_, _, spoken]: [u8; 3]| min <= spoken && spoken <= max;
    within(listener.protocol(), speaker.protocol())
        && within(listener.delegate(), speaker.delegate())
}

/// Nobody can state a higher incarnation than the highest, so a peer's accusation of that one could
/// never be refuted. To state it of oneself is fine: it refutes the accusation of the one below.
pub(crate) fn is_refutable(incarnation: Incarnation) -> bool {
    incarnation.0 < u32::MAX
}

/// Who a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// This node itself.
    Me,
    /// Somebody else.
    Other,
}

/// What to do about an alive statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliveVerdict {
    /// Nothing new.
    Stale,
    /// A member that we did not know.
    Insert,
    /// Newer than what we knew, or a name that is free to be taken over.
    Update,
    /// About us, and not what we said.
    Refute,
    /// Takes over a name that left or died so recently that its owner may yet contradict that.
    Doubtful {
        /// When it will have had the time.
        until: Instant,
    },
    /// Two nodes use one name.
    Conflict,
}

/// When a name is free for another address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reclaim {
    /// After it died; `None` never.
    pub(crate) dead_after: Option<Duration>,
    /// After it left. memberlist frees it at once; but anybody can forge a goodbye, and then the
    /// address with it, before the owner hears of either.
    pub(crate) left_after: Duration,
}

/// Precedence of alive (protocol page §4.4, rules 5-14).
pub(crate) fn judge_alive(
    known: Option<&Record>,
    subject: Subject,
    claim: &Claim<'_>,
    reclaim: Reclaim,
    now: Instant,
) -> AliveVerdict {
    let Some(known) = known else {
        // Incarnation 0 would leave a phantom that no later statement of 0 could revive.
        let real = claim.incarnation > Incarnation(0);
        return if real { AliveVerdict::Insert } else { AliveVerdict::Stale };
    };
    let moved = known.addr != claim.addr;
    if moved && let Some(verdict) = judge_takeover(known, claim.incarnation, reclaim, now) {
        return verdict;
    }
    match subject {
        Subject::Other
            if (moved && !known.is_buried()) || claim.incarnation > known.incarnation =>
        {
            AliveVerdict::Update
        }
        Subject::Other => AliveVerdict::Stale,
        Subject::Me if claim.incarnation < known.incarnation || repeats(known, claim) => {
            AliveVerdict::Stale
        }
        Subject::Me => AliveVerdict::Refute,
    }
}

/// The shortest time.
const MOMENT: Duration = Duration::from_micros(1);

/// Whether another address may have the name; `None` if it may. That of a buried member is free; what
/// is said of it is old news unless it is newer than its death.
fn judge_takeover(
    known: &Record,
    claimed: Incarnation,
    reclaim: Reclaim,
    now: Instant,
) -> Option<AliveVerdict> {
    if known.is_buried() {
        return None;
    }
    let gone_for = now.saturating_since(known.since);
    match known.state {
        MemberState::Left if gone_for < reclaim.left_after => {
            Some(AliveVerdict::Doubtful { until: known.since + reclaim.left_after })
        }
        MemberState::Left => None,
        // Whoever moves and is told of its death contradicts it: what is older is nobody's new life.
        MemberState::Dead => match reclaim.dead_after {
            Some(after) if gone_for > after => None,
            Some(after) if claimed > known.incarnation => {
                Some(AliveVerdict::Doubtful { until: known.since + after + MOMENT })
            }
            Some(_) | None => Some(AliveVerdict::Conflict),
        },
        MemberState::Alive | MemberState::Suspect => Some(AliveVerdict::Conflict),
    }
}

/// Whether the statement is our own one coming back.
fn repeats(known: &Record, claim: &Claim<'_>) -> bool {
    claim.incarnation == known.incarnation
        && *claim.meta == *known.meta()
        && claim.versions == known.versions
}

/// What to do about an accusation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccusationVerdict {
    /// Nothing new.
    Stale,
    /// A suspicion runs already: one more accuser.
    Confirm,
    /// About us.
    Refute,
    /// Believe it.
    Accept,
}

/// Precedence of suspect (protocol page §4.5).
pub(crate) fn judge_suspect(
    known: &Record,
    subject: Subject,
    incarnation: Incarnation,
) -> AccusationVerdict {
    if incarnation < known.incarnation {
        return AccusationVerdict::Stale;
    }
    match (known.state, subject) {
        (MemberState::Suspect, _) => AccusationVerdict::Confirm,
        (MemberState::Dead | MemberState::Left, _) => AccusationVerdict::Stale,
        (MemberState::Alive, Subject::Me) => AccusationVerdict::Refute,
        (MemberState::Alive, Subject::Other) => AccusationVerdict::Accept,
    }
}

/// Precedence of dead and left (protocol page §4.6). A node that is leaving accepts its own.
pub(crate) fn judge_dead(
    known: &Record,
    subject: Subject,
    incarnation: Incarnation,
) -> AccusationVerdict {
    if incarnation < known.incarnation {
        return AccusationVerdict::Stale;
    }
    match (known.state, subject) {
        // A dead member never turns into one that left.
        (MemberState::Dead | MemberState::Left, _) => AccusationVerdict::Stale,
        (MemberState::Alive | MemberState::Suspect, Subject::Me) => AccusationVerdict::Refute,
        (MemberState::Alive | MemberState::Suspect, Subject::Other) => AccusationVerdict::Accept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::msgpack::Blob;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn record(state: MemberState, incarnation: u32) -> Record {
        let mut record = Record::sample("m", 1);
        record.set_meta(b"old");
        record.incarnation = Incarnation(incarnation);
        record.state = state;
        record
    }

    fn alive(known: &Record, port: u16, incarnation: u32) -> AliveVerdict {
        about(known, Subject::Other, port, incarnation, b"old", Some(Duration::from_secs(10)))
    }

    fn about(
        known: &Record,
        subject: Subject,
        port: u16,
        incarnation: u32,
        meta: &[u8],
        reclaim_after: Option<Duration>,
    ) -> AliveVerdict {
        let claim = Claim {
            name: b"m",
            addr: NodeAddr::from_wire(&[10, 0, 0, 1], port).unwrap(),
            incarnation: Incarnation(incarnation),
            meta,
            versions: known.versions,
        };
        let now = Instant::ZERO + Duration::from_secs(10);
        let reclaim = Reclaim { dead_after: reclaim_after, left_after: Duration::from_secs(10) };
        judge_alive(Some(known), subject, &claim, reclaim, now)
    }

    /// The table as a picture: rows = what is known, columns = what is said at an incarnation
    /// below, equal to and above the known one. `.` stale, `!` believed, `+` confirms.
    #[test]
    fn precedence_is_the_table_of_the_protocol_page() {
        let mut picture = String::new();
        for state in
            [MemberState::Alive, MemberState::Suspect, MemberState::Dead, MemberState::Left]
        {
            let known = record(state, 5);
            let mut row = Vec::new();
            for incarnation in 4..=6 {
                row.push(match alive(&known, 1, incarnation) {
                    AliveVerdict::Update => '!',
                    AliveVerdict::Stale => '.',
                    other => panic!("{other:?}"),
                });
            }
            let accusations = [judge_suspect, judge_dead];
            for (accuse, incarnation) in
                accusations.iter().flat_map(|accuse| (4..=6).map(move |at| (accuse, at)))
            {
                row.push(match accuse(&known, Subject::Other, Incarnation(incarnation)) {
                    AccusationVerdict::Accept => '!',
                    AccusationVerdict::Confirm => '+',
                    AccusationVerdict::Stale => '.',
                    AccusationVerdict::Refute => '?',
                });
            }
            for (index, mark) in row.into_iter().enumerate() {
                if index % 3 == 0 {
                    picture.push(' ');
                }
                picture.push(mark);
            }
            picture.push('\n');
        }
        let expected = concat!(
            // alive suspect dead
            " ..! .!! .!!\n", // known alive
            " ..! .++ .!!\n", // known suspect
            " ..! ... ...\n", // known dead
            " ..! ... ...\n", // known left
        );
        assert_eq!(picture, expected);
    }

    #[test]
    fn statements_about_us_are_refuted_unless_old_or_our_own() {
        let me = record(MemberState::Alive, 5);
        let say = |incarnation, meta| about(&me, Subject::Me, 1, incarnation, meta, None);
        assert_eq!(say(4, b"new"), AliveVerdict::Stale);
        assert_eq!(say(5, b"old"), AliveVerdict::Stale);
        assert_eq!(say(5, b"new"), AliveVerdict::Refute);
        assert_eq!(say(6, b"old"), AliveVerdict::Refute);
        for (incarnation, verdict) in [
            (4, AccusationVerdict::Stale),
            (5, AccusationVerdict::Refute),
            (6, AccusationVerdict::Refute),
        ] {
            let incarnation = Incarnation(incarnation);
            assert_eq!(judge_suspect(&me, Subject::Me, incarnation), verdict);
            assert_eq!(judge_dead(&me, Subject::Me, incarnation), verdict);
        }
    }

    #[test]
    fn another_address_is_a_conflict_unless_the_name_is_free() {
        let elsewhere = 2;
        for incarnation in [1, 5, 9] {
            let verdict = |state| alive(&record(state, 5), elsewhere, incarnation);
            assert_eq!(verdict(MemberState::Alive), AliveVerdict::Conflict);
            assert_eq!(verdict(MemberState::Suspect), AliveVerdict::Conflict);
            assert_eq!(verdict(MemberState::Left), AliveVerdict::Update);
            // Ten seconds dead is not longer than ten seconds.
            let until = Instant::ZERO + Duration::from_secs(10) + MOMENT;
            let held = AliveVerdict::Doubtful { until };
            let dead = if incarnation > 5 { held } else { AliveVerdict::Conflict };
            assert_eq!(verdict(MemberState::Dead), dead);
        }
        let mut left = record(MemberState::Left, 5);
        left.since = Instant::from_micros(1);
        let until = left.since + Duration::from_secs(10);
        assert_eq!(alive(&left, elsewhere, 9), AliveVerdict::Doubtful { until });
        let dead = record(MemberState::Dead, 5);
        let after = |limit| about(&dead, Subject::Other, elsewhere, 1, b"", limit);
        let long = Duration::from_millis(10_001);
        assert_eq!(after(Some(long)), AliveVerdict::Conflict, "old news");
        assert_eq!(after(None), AliveVerdict::Conflict);
        let until = dead.since + long + MOMENT;
        let newer = about(&dead, Subject::Other, elsewhere, 6, b"", Some(long));
        assert_eq!(newer, AliveVerdict::Doubtful { until });
        assert_eq!(about(&dead, Subject::Other, elsewhere, 6, b"", None), AliveVerdict::Conflict);
    }

    #[test]
    fn an_unknown_member_needs_an_incarnation_above_zero() {
        let known = record(MemberState::Alive, 1);
        let mut claim = Claim {
            name: b"m",
            addr: known.addr,
            incarnation: Incarnation(0),
            meta: b"",
            versions: known.versions,
        };
        let reclaim = Reclaim { dead_after: None, left_after: Duration::ZERO };
        let judge =
            |claim: &Claim<'_>| judge_alive(None, Subject::Other, claim, reclaim, Instant::ZERO);
        assert_eq!(judge(&claim), AliveVerdict::Stale);
        claim.incarnation = Incarnation(1);
        assert_eq!(judge(&claim), AliveVerdict::Insert);
    }

    fn good_alive() -> Alive<'static> {
        Alive {
            incarnation: Incarnation(1),
            node: Blob::Borrowed(b"m"),
            addr: Blob::Borrowed(&[127, 0, 0, 1]),
            port: 7_946,
            meta: Blob::Nil,
            vsn: Blob::Borrowed(&[1, 5, 2, 0, 0, 0]),
        }
    }

    fn refused(change: impl FnOnce(&mut Alive<'static>)) -> Option<BadClaim> {
        let mut alive = good_alive();
        change(&mut alive);
        Claim::check(&alive, 1).err()
    }

    #[test]
    fn claims_that_make_no_sense_are_named() {
        static LONG: [u8; 600] = [b'x'; 600];
        let long = |len| Blob::Borrowed(&LONG[..len]);
        assert_eq!(refused(|_| {}), None);
        assert_eq!(refused(|a| a.node = Blob::Nil), Some(BadClaim::Name));
        assert_eq!(refused(|a| a.node = long(255)), None);
        assert_eq!(refused(|a| a.node = long(256)), Some(BadClaim::Name));
        assert_eq!(refused(|a| a.meta = long(512)), None);
        assert_eq!(refused(|a| a.meta = long(513)), Some(BadClaim::Meta));
        assert_eq!(refused(|a| a.addr = long(16)), None);
        assert_eq!(refused(|a| a.addr = long(5)), Some(BadClaim::Address));
        assert_eq!(refused(|a| a.incarnation.0 = u32::MAX), None);
        for (vsn, verdict) in [
            (&[1, 5, 2, 0, 0][..], Some(BadClaim::Versions)),
            (&[1, 5, 2, 2, 5, 4, 9], None),
            (&[0, 5, 2, 0, 0, 0], Some(BadClaim::Versions)),
            (&[1, 5, 6, 0, 0, 0], Some(BadClaim::Versions)),
            (&[3, 5, 2, 0, 0, 0], Some(BadClaim::Versions)),
            (&[1, 5, 2, 1, 1, 0], Some(BadClaim::Versions)),
        ] {
            let vsn: &'static [u8] = Vec::leak(vsn.to_vec());
            assert_eq!(refused(|a| a.vsn = Blob::Borrowed(vsn)), verdict, "{vsn:?}");
        }
    }

    #[test]
    fn two_nodes_exchange_state_if_each_speaks_what_the_other_understands() {
        let versions = |bytes: [u8; 6]| Versions::from_wire(&bytes).unwrap();
        let ours = [1, 5, 2, 0, 0, 0];
        let serf = [1, 5, 2, 2, 5, 4];
        for (one, other, can) in [
            (ours, ours, true),
            (ours, [1, 4, 3, 0, 0, 0], true),
            (ours, [2, 9, 5, 0, 0, 0], true),
            (ours, [1, 7, 6, 0, 0, 0], false),
            (ours, [3, 5, 3, 0, 0, 0], false),
            (ours, [1, 5, 2, 0, 5, 0], true),
            (ours, [1, 5, 2, 0, 5, 1], false),
            (ours, serf, false),
            (serf, [1, 5, 2, 2, 5, 2], true),
            (serf, [1, 5, 2, 2, 5, 5], true),
            (serf, [1, 5, 2, 5, 5, 5], false),
        ] {
            let (one, other) = (versions(one), versions(other));
            assert_eq!(can_exchange(one, other), can, "{one:?} {other:?}");
            assert_eq!(can_exchange(other, one), can, "{other:?} {one:?}");
        }
    }

    #[test]
    fn port_zero_means_the_receivers_own() {
        let mut alive = good_alive();
        alive.port = 0;
        assert_eq!(Claim::check(&alive, 7_946).unwrap().addr.port, 7_946);
    }
}
