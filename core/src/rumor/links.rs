//! The links of the overlay: to whom rumours go, and what is known about each of them.
//!
//! Links are addresses. They are looked up in the member table each time they are used, so that no
//! second copy of a member's state can go stale: an address of nobody is skipped until somebody has
//! it, and a neighbour that died is skipped until it is back.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::member::ring::Draw;
use crate::member::table::Rtt;
use crate::member::{MemberId, Table};
use crate::time::Instant;

/// Most links of the floor: a successor and a predecessor in each of its rings.
pub(crate) const FLOOR_LINKS_MAX: usize = 2 * super::floor::RINGS_MAX;

/// A link by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(u8);

/// A set of links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkSet(u128);

const _: () = assert!(crate::config::NEIGHBORS_MAX + FLOOR_LINKS_MAX <= u128::BITS as usize);

impl LinkSet {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) const fn contains(self, link: LinkId) -> bool {
        self.0 >> link.0 & 1 == 1
    }

    pub(crate) const fn insert(&mut self, link: LinkId) {
        self.0 |= 1 << link.0;
    }

    pub(crate) const fn remove(&mut self, link: LinkId) {
        self.0 &= !(1 << link.0);
    }

    pub(crate) const fn without(mut self, link: Option<LinkId>) -> Self {
        if let Some(link) = link {
            self.remove(link);
        }
        self
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Takes out the first one.
    pub(crate) fn pop(&mut self) -> Option<LinkId> {
        let first = u8::try_from(self.0.trailing_zeros()).ok().filter(|_| self.0 != 0)?;
        self.0 &= self.0 - 1;
        Some(LinkId(first))
    }

    pub(crate) fn iter(mut self) -> impl Iterator<Item = LinkId> {
        core::iter::from_fn(move || self.pop())
    }
}

/// Where a link comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From the list of the configuration.
    Static,
    /// Computed from the members: it holds the cluster together where the list does not.
    Floor,
}

/// One link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) addr: SocketAddr,
    pub(crate) kind: Kind,
    /// Whether somebody alive was there at the last look.
    pub(crate) up: bool,
    /// It did not answer, though nobody has condemned it yet.
    pub(crate) silent: bool,
    pub(crate) heard_at: Option<Instant>,
    awaits: Awaits,
    rtt: Rtt,
}

/// What was sent along a link since it was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Nothing,
    /// A payload that came in time.
    Payload,
    /// One that came late.
    LatePayload,
    /// And an id that asks for an answer.
    Answer,
}

/// Whether a rumour came later than trees bring it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late(pub(crate) bool);

/// The time to wait for an answer over a link that was not measured yet. Who does not answer is
/// asked once more, so twice this is what a round trip may take.
const ANSWER_UNMEASURED: Duration = Duration::from_millis(500);

/// What a round trip is taken for that was not measured, when a payload is asked for: too short a time
/// costs a second copy, not a link.
const RTT_UNMEASURED: Duration = Duration::from_millis(250);

/// What is waited for a payload beyond a round trip and its jitter.
const SUPPLY_MARGIN: Duration = Duration::from_millis(20);

/// Least time to wait for an answer: below it lies what a busy process needs.
const ANSWER_MIN: Duration = Duration::from_millis(200);

/// Least time to wait for a payload whose id came along another link.
const GRAFT_MIN: Duration = Duration::from_millis(30);

/// After so much silence one payload finds out whether anybody is there; those that come before the
/// answer are announced.
const QUIET: Duration = Duration::from_secs(1);

impl Link {
    fn new(addr: SocketAddr, kind: Kind) -> Self {
        let (heard_at, rtt) = (None, Rtt::default());
        Self { addr, kind, up: false, silent: false, heard_at, awaits: Awaits::Nothing, rtt }
    }

    pub(crate) const fn hear(&mut self, now: Instant) {
        self.heard_at = Some(now);
        self.begin_anew();
    }

    /// Nothing speaks against its other end any more.
    pub(crate) const fn begin_anew(&mut self) {
        (self.silent, self.awaits) = (false, Awaits::Nothing);
    }

    /// Whether a payload is on its way to somebody who has been quiet for so long that nobody may be
    /// there, if it, or this one, came late: that tells of deaths around here.
    fn is_doubtful(&self, now: Instant, Late(late): Late) -> bool {
        let is_tried = match self.awaits {
            Awaits::Nothing => false,
            Awaits::Payload => late,
            Awaits::LatePayload | Awaits::Answer => true,
        };
        is_tried && self.heard_at.is_none_or(|at| now.saturating_since(at) > QUIET)
    }

    pub(crate) fn measure(&mut self, sample: Duration) {
        self.rtt.measure(sample);
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.get()
    }

    /// How long an answer to a payload may take.
    pub(crate) fn answer_within(&self) -> Duration {
        self.rtt().map_or(ANSWER_UNMEASURED, |rtt| (rtt * 4).max(ANSWER_MIN))
    }

    /// How long a payload may take that was asked for along a link, or of somebody else, if the
    /// round trip is so long.
    pub(crate) fn supplied_within(rtt: Option<Duration>) -> Duration {
        let rtt = rtt.unwrap_or(RTT_UNMEASURED);
        rtt + rtt * 3 / 20 + SUPPLY_MARGIN
    }

    /// How long a payload may take after its id came along this link.
    pub(crate) fn payload_within(&self) -> Duration {
        self.rtt().map_or(GRAFT_MIN, |rtt| (rtt * 2).max(GRAFT_MIN))
    }
}

/// The links of this node: the static ones first, then places for those of the floor.
#[derive(Debug)]
pub(crate) struct Links {
    links: Vec<Option<Link>>,
    statics: usize,
}

impl Links {
    /// Repeated addresses count once: the original's files list a neighbour of a four-ring twice
    /// where two nodes share it.
    pub(crate) fn new(neighbors: &[SocketAddr]) -> Self {
        let mut links: Vec<Option<Link>> = Vec::with_capacity(neighbors.len());
        for &addr in neighbors {
            if !links.iter().flatten().any(|link| link.addr == addr) {
                links.push(Some(Link::new(addr, Kind::Static)));
            }
        }
        let statics = links.len();
        Self { links, statics }
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Link> {
        self.links.get(usize::from(link.0))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Link> {
        self.links.get_mut(usize::from(link.0))?.as_mut()
    }

    /// All links with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        (0..).zip(&self.links).filter_map(|(place, link)| Some((LinkId(place), link.as_ref()?)))
    }

    pub(crate) fn find(&self, addr: SocketAddr) -> Option<LinkId> {
        self.iter().find(|(_, link)| link.addr == addr).map(|(id, _)| id)
    }

    /// The links of the list.
    pub(crate) fn statics(&self) -> LinkSet {
        self.of_kind(Kind::Static)
    }

    fn of_kind(&self, kind: Kind) -> LinkSet {
        let mut set = LinkSet::EMPTY;
        self.iter().filter(|(_, link)| link.kind == kind).for_each(|(id, _)| set.insert(id));
        set
    }

    /// The live member at the other end.
    pub(crate) fn member(&self, link: LinkId, table: &Table, me: MemberId) -> Option<MemberId> {
        let id = table.find_addr(self.get(link)?.addr)?;
        let live = table.get(id).is_some_and(|record| record.state.is_live());
        (live && id != me).then_some(id)
    }

    /// The links with somebody alive at the other end.
    pub(crate) fn live(&self, table: &Table, me: MemberId) -> LinkSet {
        let mut set = LinkSet::EMPTY;
        let ids = self.iter().map(|(id, _)| id);
        ids.filter(|&id| self.member(id, table, me).is_some()).for_each(|id| set.insert(id));
        set
    }

    /// Those of them that did not fail to answer.
    pub(crate) fn answering(&self) -> LinkSet {
        let mut set = LinkSet::EMPTY;
        self.iter().filter(|(_, link)| !link.silent).for_each(|(id, _)| set.insert(id));
        set
    }

    /// Those that may lead to nobody, as far as a payload is to tell that is on its way.
    pub(crate) fn doubtful(&self, now: Instant, late: Late) -> LinkSet {
        let mut set = LinkSet::EMPTY;
        let doubtful = self.iter().filter(|(_, link)| link.is_doubtful(now, late));
        doubtful.for_each(|(id, _)| set.insert(id));
        set
    }

    /// A payload is sent along these.
    pub(crate) fn sent(&mut self, links: LinkSet, Late(late): Late) {
        for id in links.iter() {
            let Some(link) = self.get_mut(id) else { continue };
            if late {
                link.awaits = Awaits::LatePayload;
            } else if link.awaits == Awaits::Nothing {
                link.awaits = Awaits::Payload;
            }
        }
    }

    /// An id is sent along one that is in doubt; `true`: it is the first since something was heard.
    pub(crate) fn asks(&mut self, link: LinkId) -> bool {
        let Some(link) = self.get_mut(link) else { return false };
        core::mem::replace(&mut link.awaits, Awaits::Answer) != Awaits::Answer
    }

    /// The members at the other ends of the list, in its order, `me` left out.
    pub(crate) fn members(&self, table: &Table, me: MemberId) -> Draw {
        let ends = self.iter().filter_map(|(_, link)| table.find_addr(link.addr));
        ends.filter(|&id| id != me).collect()
    }

    /// Puts the floor's links behind the others. Returns the places that lost their member, for
    /// what was known about them.
    pub(crate) fn set_floor(&mut self, wanted: &[SocketAddr]) -> LinkSet {
        let is_static = |addr| self.links[..self.statics].iter().flatten().any(|l| l.addr == addr);
        let mut wanted: Vec<SocketAddr> =
            wanted.iter().copied().filter(|&addr| !is_static(addr)).collect();
        let mut changed = LinkSet::EMPTY;
        for place in self.statics..self.links.len() {
            let Some(link) = &self.links[place] else { continue };
            match wanted.iter().position(|&addr| addr == link.addr) {
                Some(kept) => drop(wanted.swap_remove(kept)),
                None => {
                    self.links[place] = None;
                    changed.insert(place_id(place));
                }
            }
        }
        for addr in wanted {
            let free = (self.statics..self.links.len()).find(|&place| self.links[place].is_none());
            let place = free.unwrap_or(self.links.len());
            if place == self.links.len() {
                self.links.push(None);
            }
            self.links[place] = Some(Link::new(addr, Kind::Floor));
            changed.insert(place_id(place));
        }
        changed
    }

    pub(crate) fn check(&self) {
        assert!(self.links.len() <= self.statics + FLOOR_LINKS_MAX, "the floor keeps its degree");
        for (id, link) in self.iter() {
            assert_eq!(self.find(link.addr), Some(id), "no two links lead to one address");
        }
    }
}

fn place_id(place: usize) -> LinkId {
    LinkId(u8::try_from(place).expect("there are at most 128 links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::member::MemberState;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn ends(links: &Links, table: &Table, me: MemberId) -> Vec<u16> {
        let live = links.live(table, me);
        live.iter().map(|id| links.get(id).unwrap().addr.port()).collect()
    }

    #[test]
    fn links_lead_to_live_members_but_oneself() {
        let (mut table, _) = Table::sample(4);
        let id = |name: &[u8]| table.find(name).unwrap();
        let (me, one, two) = (id(b"0"), id(b"1"), id(b"2"));
        let links = Links::new(&[addr(2), addr(9), addr(1), addr(2), addr(0)]);
        assert_eq!(ends(&links, &table, me), [2, 1]);
        assert_eq!(*links.members(&table, me), [two, one]);
        table.set_state(two, MemberState::Dead, Instant::ZERO);
        assert_eq!(ends(&links, &table, me), [1]);
        assert_eq!(*links.members(&table, me), [two, one], "the dead stay listed for the tick");
    }

    #[test]
    fn the_floor_keeps_its_places_and_never_doubles_the_list() {
        let mut links = Links::new(&[addr(1), addr(2)]);
        let changed = links.set_floor(&[addr(2), addr(3), addr(4)]);
        links.check();
        assert_eq!(changed.len(), 2, "one of the three is a neighbour anyway");
        let four = links.find(addr(4)).unwrap();
        let changed = links.set_floor(&[addr(5), addr(4)]);
        links.check();
        assert_eq!((links.find(addr(4)), changed.contains(four)), (Some(four), false));
        assert_eq!((links.find(addr(3)), changed.len()), (None, 1));
        assert_eq!(links.set_floor(&[]).len(), 2);
        assert_eq!(links.iter().count(), 2);
    }

    #[test]
    fn a_set_gives_back_what_was_put_in() {
        let mut set = LinkSet::EMPTY;
        for place in [127, 0, 64] {
            set.insert(LinkId(place));
        }
        assert_eq!(set.len(), 3);
        assert!(set.iter().eq([LinkId(0), LinkId(64), LinkId(127)]));
        set.remove(LinkId(64));
        assert!(!set.contains(LinkId(64)) && set.contains(LinkId(127)));
        assert!(set.without(Some(LinkId(0))).iter().eq([LinkId(127)]));
    }

    #[test]
    fn a_quiet_link_is_in_doubt_from_the_first_late_payload_until_it_is_heard() {
        let mut links = Links::new(&[addr(1), addr(2)]);
        let one = links.find(addr(1)).unwrap();
        let only_one = links.statics().without(links.find(addr(2)));
        let (late, young, none) = (Late(true), Late(false), LinkSet::EMPTY);
        let at = |micros| Instant::ZERO + QUIET + Duration::from_micros(micros);
        assert_eq!(links.doubtful(at(9), late), none, "nothing was sent");
        links.sent(only_one, late);
        assert_eq!(links.doubtful(at(0), late), only_one, "it was never heard");
        links.get_mut(one).unwrap().hear(Instant::ZERO);
        assert_eq!(links.doubtful(at(1), late), none);
        links.sent(only_one, late);
        assert_eq!(links.doubtful(at(0), late), none, "a second ago");
        assert_eq!(links.doubtful(at(1), late), only_one);
        assert_eq!(links.doubtful(at(1), young), only_one, "what is late tells of deaths");
        assert_eq!((links.asks(one), links.asks(one)), (true, false), "one answer is enough");
        assert_eq!(links.doubtful(at(1), young), only_one);
        links.get_mut(one).unwrap().begin_anew();
        assert_eq!(links.doubtful(at(1), late), none, "somebody else is there");
    }

    #[test]
    fn what_comes_in_time_casts_no_doubt_on_a_link() {
        let mut links = Links::new(&[addr(1)]);
        let at = Instant::ZERO + QUIET * 2;
        links.sent(links.statics(), Late(false));
        assert_eq!(links.doubtful(at, Late(false)), LinkSet::EMPTY);
        assert_eq!(links.doubtful(at, Late(true)), links.statics());
        links.sent(links.statics(), Late(true));
        links.sent(links.statics(), Late(false));
        assert_eq!(links.doubtful(at, Late(false)), links.statics(), "the late one is still there");
    }

    #[test]
    fn answers_are_awaited_four_round_trips_and_never_less_than_a_busy_process_needs() {
        let mut link = Link::new(addr(1), Kind::Static);
        assert_eq!(link.answer_within(), Duration::from_millis(500), "nothing is known yet");
        link.measure(Duration::from_millis(1));
        assert_eq!(link.answer_within(), Duration::from_millis(200));
        assert_eq!(link.payload_within(), Duration::from_millis(30));
        for _ in 0..200 {
            link.measure(Duration::from_millis(500));
        }
        assert!(link.answer_within() > Duration::from_millis(1_900));
        assert!(link.payload_within() > Duration::from_millis(950));
    }
}
