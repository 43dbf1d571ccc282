//! The one owner of members: a slab, an index by name, an index by address, counters.

mod graves;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use hashbrown::HashTable;

use super::{Claim, Member, MemberState};
use crate::hash::Keyed;
use crate::identity::{Incarnation, NodeName};
use crate::node::Reach;
use crate::rng::Rng;
use crate::suspicion::Suspicion;
use crate::time::Instant;
use crate::wire::message::{NodeAddr, Versions};
use crate::wire::tags::{Advert, CAPABILITY_ENVELOPE};
pub(crate) use graves::Keep;

/// A handle on a member that goes stale, rather than wrong, when the member is reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId {
    index: u32,
    generation: u32,
}

impl MemberId {
    /// A number for ordered maps: unique among members, past ones included.
    pub(crate) const fn as_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }
}

/// What is stored about a member. There may be thousands of it: a byte here is one for each, and
/// what only a few have at a time, the table keeps elsewhere.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: NodeName,
    pub(crate) addr: NodeAddr,
    meta: Box<[u8]>,
    pub(crate) versions: Versions,
    pub(crate) incarnation: Incarnation,
    pub(crate) state: MemberState,
    pub(crate) since: Instant,
    marks: Marks,
    pub(crate) rtt: Rtt,
    /// That of its slot, from the table.
    generation: u32,
}

/// Two truths in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks(u8);

impl Marks {
    /// What its tag says, so that the meta need not be read for each message.
    const TAKES_ENVELOPES: u8 = 1;
    /// It has been dead for so long that it is no part of the cluster any more.
    const BURIED: u8 = 2;

    const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    fn set(&mut self, mark: u8, is_true: bool) {
        self.0 = if is_true { self.0 | mark } else { self.0 & !mark };
    }
}

/// A smoothed round trip in microseconds; 0 while nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rtt(u32);

impl Rtt {
    /// Takes a measurement into account: an eighth of the difference, rounded, as TCP's estimate
    /// does (RFC 6298 §2).
    pub(crate) fn measure(&mut self, sample: Duration) {
        let sample = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX).max(1);
        let smoothed = match self.0 {
            0 => sample.into(),
            old => (u64::from(old) * 7 + u64::from(sample) + 4) / 8,
        };
        self.0 = u32::try_from(smoothed).unwrap_or(u32::MAX);
    }

    pub(crate) fn get(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_micros(self.0.into()))
    }
}

// What a record takes is most of what a member takes, and none of these bytes is to spare.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Record>() <= 80 && size_of::<Slot>() <= 80);

impl Record {
    /// A member as it states itself, alive since `now`.
    pub(crate) fn alive(name: NodeName, claim: &Claim<'_>, now: Instant) -> Self {
        let mut record = Self {
            name,
            addr: claim.addr,
            meta: Box::default(),
            versions: claim.versions,
            incarnation: claim.incarnation,
            state: MemberState::Alive,
            since: now,
            marks: Marks(0),
            rtt: Rtt::default(),
            generation: 0,
        };
        record.set_meta(claim.meta);
        record
    }

    pub(crate) const fn is_buried(&self) -> bool {
        self.marks.has(Marks::BURIED)
    }

    pub(crate) fn meta(&self) -> &[u8] {
        &self.meta
    }

    pub(crate) fn set_meta(&mut self, meta: &[u8]) {
        self.meta = meta.into();
        let advert = self.advert();
        let takes_envelopes =
            advert.is_some_and(|advert| advert.capabilities & CAPABILITY_ENVELOPE != 0);
        self.marks.set(Marks::TAKES_ENVELOPES, takes_envelopes);
    }

    /// Our tag in its meta, read anew each time.
    pub(crate) fn advert(&self) -> Option<Advert> {
        Advert::find(&self.meta)
    }

    pub(crate) fn view(&self) -> Member<'_> {
        Member {
            name: &self.name,
            addr: self.addr.socket_addr(),
            state: self.state,
            since: self.since,
            incarnation: self.incarnation,
            meta: &self.meta,
            versions: self.versions,
            advert: self.advert(),
            // The table does not know.
            reach: Reach::default(),
            rtt: self.rtt.get(),
        }
    }

    /// An alive member at `10.0.0.1:port`, for tests.
    #[cfg(test)]
    pub(crate) fn sample(name: &str, port: u16) -> Self {
        let claim = Claim {
            name: name.as_bytes(),
            addr: NodeAddr::from_wire(&[10, 0, 0, 1], port).unwrap(),
            incarnation: Incarnation(1),
            meta: b"",
            versions: Versions::new([1, 5, 2], [0; 3]),
        };
        Self::alive(NodeName::new(name).unwrap(), &claim, Instant::ZERO)
    }

    /// Whether it understands our envelope.
    pub(crate) fn takes_envelopes(&self) -> bool {
        self.marks.has(Marks::TAKES_ENVELOPES)
    }
}

/// A place for a record. The generation tells apart those that took it one after another.
#[derive(Debug)]
enum Slot {
    Taken(Record),
    Free { generation: u32 },
}

impl Slot {
    fn record(&self) -> Option<&Record> {
        match self {
            Self::Taken(record) => Some(record),
            Self::Free { .. } => None,
        }
    }

    fn record_mut(&mut self) -> Option<&mut Record> {
        match self {
            Self::Taken(record) => Some(record),
            Self::Free { .. } => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slots of all members but the buried ones, in the order in which they are probed.
    order: Vec<u32>,
    /// Those of the buried ones, in the order in which they were buried.
    graves: VecDeque<u32>,
    by_name: HashTable<u32>,
    by_addr: HashTable<u32>,
    /// By slot: the suspicions of those members, and only those, whose state is suspect.
    suspicions: BTreeMap<u32, Suspicion>,
    name_hash: Keyed,
    addr_hash: Keyed,
    live: usize,
    members_max: usize,
    /// Counts changes of who is live and where.
    version: u64,
}

/// All members but the buried ones, in the order in which they are probed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a>(&'a Table);

impl Order<'_> {
    pub(crate) fn len(self) -> usize {
        self.0.order.len()
    }

    pub(crate) fn get(self, place: usize) -> Option<MemberId> {
        self.0.order.get(place).map(|&index| self.0.id_of(index))
    }
}

/// The table holds as many members as it may, in all or at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// Most members at one address. An honest one has one live name and perhaps a few that are dead;
/// each more makes every message from there cost a longer search.
pub(crate) const MEMBERS_PER_ADDR_MAX: usize = 16;

impl Table {
    pub(crate) fn new(rng_seed: [u8; 32], members_max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            graves: VecDeque::new(),
            by_name: HashTable::new(),
            by_addr: HashTable::new(),
            suspicions: BTreeMap::new(),
            name_hash: Keyed::new(rng_seed, 0),
            addr_hash: Keyed::new(rng_seed, 1),
            live: 0,
            members_max,
            version: 0,
        }
    }

    /// All members, dead and left ones too unless they are buried: the cluster size that memberlist's
    /// formulas use.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// All records, those of the buried too.
    pub(crate) fn records(&self) -> usize {
        self.order.len() + self.graves.len()
    }

    /// Alive and suspect members, this node included.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Another number than before whenever somebody came, went, moved, or said something else about
    /// itself.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What a member says about itself was changed in its record.
    pub(crate) fn note_change(&mut self) {
        self.version += 1;
    }

    pub(crate) fn get(&self, id: MemberId) -> Option<&Record> {
        let record = self.slots.get(id.index as usize)?.record();
        record.filter(|record| record.generation == id.generation)
    }

    /// For fields that no index or counter covers; the others have setters below.
    pub(crate) fn get_mut(&mut self, id: MemberId) -> Option<&mut Record> {
        let record = self.slots.get_mut(id.index as usize)?.record_mut();
        record.filter(|record| record.generation == id.generation)
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<MemberId> {
        let found = self
            .by_name
            .find(self.name_hash.bytes(name), |&index| self.record(index).name.as_bytes() == name);
        found.map(|&index| self.id_of(index))
    }

    /// The member at an address. Where a dead and a live one share it, the live one; among equals
    /// the one that was here first.
    pub(crate) fn find_addr(&self, addr: SocketAddr) -> Option<MemberId> {
        self.all_at(addr)
            .min_by_key(|&index| (!self.record(index).state.is_live(), index))
            .map(|index| self.id_of(index))
    }

    fn all_at(&self, addr: SocketAddr) -> impl Iterator<Item = u32> + '_ {
        let candidates = self.by_addr.iter_hash(self.addr_hash.addr(addr)).copied();
        candidates.filter(move |&index| self.record(index).addr.socket_addr() == addr)
    }

    fn check_room_at(&self, addr: NodeAddr) -> Result<(), NoRoom> {
        if self.all_at(addr.socket_addr()).count() >= MEMBERS_PER_ADDR_MAX {
            return Err(NoRoom);
        }
        Ok(())
    }

    /// The members in probe order.
    pub(crate) fn order(&self) -> Order<'_> {
        Order(self)
    }

    /// The records in the order in which they were first seen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MemberId, &Record)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| {
            let record = slot.record()?;
            Some((MemberId { index, generation: record.generation }, record))
        })
    }

    /// Adds a member at a random place of the probe order, so that newcomers are not all probed
    /// last.
    pub(crate) fn insert(&mut self, record: Record, rng: &mut Rng) -> Result<MemberId, NoRoom> {
        debug_assert!(self.find(record.name.as_bytes()).is_none(), "names are unique");
        if self.records() >= self.members_max {
            return Err(NoRoom);
        }
        self.check_room_at(record.addr)?;
        self.live += usize::from(record.state.is_live());
        self.version += 1;
        let id = self.occupy(record);
        self.index_name(id.index);
        self.index_addr(id.index);
        self.append_to_order(id.index);
        let last = self.order.len() - 1;
        self.order.swap(last, rng.below(last + 1));
        Ok(id)
    }

    fn append_to_order(&mut self, index: u32) {
        grow_gently(&mut self.order);
        self.order.push(index);
    }

    /// Brings a member into a state other than suspect; a suspicion ends with it.
    pub(crate) fn set_state(&mut self, id: MemberId, state: MemberState, now: Instant) {
        debug_assert!(state != MemberState::Suspect, "a suspect has a suspicion");
        let Some(record) = self.get_mut(id) else { return };
        let was_live = record.state.is_live();
        record.state = state;
        record.since = now;
        self.suspicions.remove(&id.index);
        self.live = self.live + usize::from(state.is_live()) - usize::from(was_live);
        if state.is_live() {
            self.unbury(id);
        }
        self.version += u64::from(was_live != state.is_live());
    }

    /// Makes a live member a suspect.
    pub(crate) fn suspect(&mut self, id: MemberId, suspicion: Suspicion, now: Instant) {
        let Some(record) = self.get_mut(id) else { return };
        debug_assert!(record.state.is_live(), "the dead are beyond suspicion");
        record.state = MemberState::Suspect;
        record.since = now;
        self.suspicions.insert(id.index, suspicion);
    }

    /// Brings a member into any state.
    #[cfg(test)]
    pub(crate) fn put_in_state(&mut self, id: MemberId, state: MemberState, at: Instant) {
        if state == MemberState::Suspect {
            let none = Duration::ZERO;
            let bounds = crate::suspicion::Bounds { min: none, max: none, expected: 0 };
            self.suspect(id, Suspicion::start(at, bounds, None), at);
        } else {
            self.set_state(id, state, at);
        }
    }

    /// The suspicion under which a member stands.
    pub(crate) fn suspicion(&self, id: MemberId) -> Option<&Suspicion> {
        self.get(id).and_then(|_| self.suspicions.get(&id.index))
    }

    pub(crate) fn suspicion_mut(&mut self, id: MemberId) -> Option<&mut Suspicion> {
        self.get(id)?;
        self.suspicions.get_mut(&id.index)
    }

    /// All suspicions that run.
    pub(crate) fn suspicions(&self) -> impl Iterator<Item = (MemberId, &Suspicion)> {
        self.suspicions.iter().map(|(&index, suspicion)| (self.id_of(index), suspicion))
    }

    pub(crate) fn set_addr(&mut self, id: MemberId, addr: NodeAddr) -> Result<(), NoRoom> {
        let Some(old) = self.get(id).map(|record| record.addr) else { return Ok(()) };
        if old == addr {
            return Ok(());
        }
        self.check_room_at(addr)?;
        self.unindex_addr(id.index, old);
        if let Some(record) = self.get_mut(id) {
            record.addr = addr;
        }
        self.version += 1;
        self.index_addr(id.index);
        Ok(())
    }

    fn occupy(&mut self, mut record: Record) -> MemberId {
        let index = self.free.pop().unwrap_or_else(|| {
            // `members_max` is below 2^24.
            let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            grow_gently(&mut self.slots);
            self.slots.push(Slot::Free { generation: 0 });
            index
        });
        let slot = &mut self.slots[index as usize];
        let Slot::Free { generation } = *slot else { unreachable!("the slot was free") };
        record.generation = generation;
        *slot = Slot::Taken(record);
        MemberId { index, generation }
    }

    fn remove(&mut self, id: MemberId) -> Option<Record> {
        let addr = self.get(id)?.addr;
        self.unindex_addr(id.index, addr);
        let hash = self.name_hash.bytes(self.get(id)?.name.as_bytes());
        if let Ok(entry) = self.by_name.find_entry(hash, |&index| index == id.index) {
            entry.remove();
        }
        let free = Slot::Free { generation: id.generation.wrapping_add(1) };
        let slot = core::mem::replace(&mut self.slots[id.index as usize], free);
        let Slot::Taken(record) = slot else { return None };
        self.suspicions.remove(&id.index);
        self.live -= usize::from(record.state.is_live());
        self.version += 1;
        self.free.push(id.index);
        Some(record)
    }

    fn record(&self, index: u32) -> &Record {
        occupied(&self.slots, index)
    }

    fn id_of(&self, index: u32) -> MemberId {
        MemberId { index, generation: self.record(index).generation }
    }

    fn index_name(&mut self, index: u32) {
        let hash = self.name_hash.bytes(self.record(index).name.as_bytes());
        let (slots, hasher) = (&self.slots, &self.name_hash);
        self.by_name.insert_unique(hash, index, |&other| {
            hasher.bytes(occupied(slots, other).name.as_bytes())
        });
    }

    fn index_addr(&mut self, index: u32) {
        let hash = self.addr_hash.addr(self.record(index).addr.socket_addr());
        let (slots, hasher) = (&self.slots, &self.addr_hash);
        self.by_addr.insert_unique(hash, index, |&other| {
            hasher.addr(occupied(slots, other).addr.socket_addr())
        });
    }

    fn unindex_addr(&mut self, index: u32, addr: NodeAddr) {
        let hash = self.addr_hash.addr(addr.socket_addr());
        if let Ok(entry) = self.by_addr.find_entry(hash, |&other| other == index) {
            entry.remove();
        }
    }

    /// Members `0` to `size - 1` at the ports of their numbers, for tests.
    #[cfg(test)]
    pub(crate) fn sample(size: u16) -> (Self, Rng) {
        let mut rng = Rng::child([5; 32], crate::rng::Stream::Membership);
        let mut table = Self::new([1; 32], 10_000);
        for port in 0..size {
            table.insert(Record::sample(&alloc::format!("{port}"), port), &mut rng).unwrap();
        }
        (table, rng)
    }

    /// What the counters and indexes claim, checked against the records themselves.
    pub(crate) fn check(&self) {
        let records = self.iter().count();
        assert_eq!(
            records,
            self.records(),
            "every member has a place in the probe order, or a grave"
        );
        self.check_graves();
        assert_eq!(records, self.by_name.len(), "every member has a name");
        assert_eq!(records, self.by_addr.len(), "every member has an address");
        let live = self.iter().filter(|(_, record)| record.state.is_live()).count();
        assert_eq!(live, self.live, "the count of live members is kept");
        for (id, record) in self.iter() {
            assert_eq!(self.find(record.name.as_bytes()), Some(id), "the name finds the member");
            let suspect = record.state == MemberState::Suspect;
            assert_eq!(suspect, self.suspicion(id).is_some(), "suspects and only they run out");
        }
        let suspects = self.iter().filter(|(_, record)| record.state == MemberState::Suspect);
        assert_eq!(suspects.count(), self.suspicions.len(), "no suspicion outlives its member");
    }
}

fn occupied(slots: &[Slot], index: u32) -> &Record {
    slots[index as usize].record().expect("the indexes name occupied slots only")
}

/// Makes room for more, a 32nd at a time: doubling would leave up to half of a large table empty.
/// An element is moved some thirty times in its life, which is little beside its arrival.
fn grow_gently<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 32 + 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use crate::suspicion::Bounds;
    use alloc::format;

    fn rng() -> Rng {
        Rng::child([3; 32], Stream::Membership)
    }

    fn record(name: &str, port: u16) -> Record {
        Record::sample(name, port)
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn members_are_found_by_name_and_address() {
        let (mut table, mut rng) = (Table::new([1; 32], 100), rng());
        for port in 1..=50 {
            table.insert(record(&format!("node-{port}"), port), &mut rng).unwrap();
        }
        let id = table.find(b"node-7").unwrap();
        assert_eq!(table.find_addr(addr(7)), Some(id));
        table.set_addr(id, NodeAddr::from(addr(1_007))).unwrap();
        assert_eq!(table.find_addr(addr(7)), None);
        assert_eq!(table.find_addr(addr(1_007)), Some(id));
        table.check();
    }

    #[test]
    fn a_live_member_is_preferred_at_a_shared_address() {
        let (mut table, mut rng) = (Table::new([1; 32], 100), rng());
        let old = table.insert(record("old", 1), &mut rng).unwrap();
        let new = table.insert(record("new", 1), &mut rng).unwrap();
        assert_eq!(table.find_addr(addr(1)), Some(old));
        table.set_state(old, MemberState::Dead, Instant::ZERO);
        assert_eq!(table.find_addr(addr(1)), Some(new));
    }

    #[test]
    fn a_handle_of_a_reaped_member_finds_nobody_even_when_its_slot_is_reused() {
        let (mut table, mut rng) = (Table::new([1; 32], 100), rng());
        let me = table.insert(record("me", 9), &mut rng).unwrap();
        let gone = table.insert(record("gone", 1), &mut rng).unwrap();
        table.set_state(me, MemberState::Left, Instant::ZERO);
        table.set_state(gone, MemberState::Left, Instant::ZERO);
        let later = Instant::ZERO + Duration::from_secs(31);
        let mut names = Vec::new();
        let keep = Keep { gossip: Duration::from_secs(30), graves: Duration::ZERO };
        table.reap_and_shuffle(me, later, keep, &mut rng, |_, name| names.push(name));
        assert_eq!(names, [NodeName::new("gone").unwrap()]);
        let new = table.insert(record("new", 2), &mut rng).unwrap();
        assert_eq!((new.index, table.len(), table.live()), (gone.index, 2, 1));
        assert!(table.get(gone).is_none());
        table.check();
    }

    #[test]
    fn a_suspicion_lasts_as_long_as_the_state() {
        let (mut table, mut rng) = (Table::new([1; 32], 100), rng());
        let id = table.insert(record("a", 1), &mut rng).unwrap();
        let bounds = Bounds { min: Duration::ZERO, max: Duration::ZERO, expected: 0 };
        for next in [MemberState::Alive, MemberState::Dead] {
            table.suspect(id, Suspicion::start(Instant::ZERO, bounds, None), Instant::ZERO);
            assert_eq!((table.get(id).unwrap().state, table.live()), (MemberState::Suspect, 1));
            assert!(table.suspicion(id).is_some() && table.suspicion_mut(id).is_some());
            assert_eq!(table.suspicions().map(|(id, _)| id).collect::<Vec<_>>(), [id]);
            table.check();
            table.set_state(id, next, Instant::ZERO);
            assert!(table.suspicion(id).is_none());
            table.check();
        }
        assert_eq!(table.live(), 0);
    }

    #[test]
    fn the_recently_dead_are_kept() {
        let (mut table, mut rng) = (Table::new([1; 32], 100), rng());
        let me = table.insert(record("me", 9), &mut rng).unwrap();
        let dead = table.insert(record("dead", 1), &mut rng).unwrap();
        table.set_state(dead, MemberState::Dead, Instant::ZERO);
        let keep = Keep { gossip: Duration::from_secs(30), graves: Duration::ZERO };
        let now = Instant::ZERO + keep.gossip;
        table.reap_and_shuffle(me, now, keep, &mut rng, |_, _| panic!("too early"));
        assert_eq!((table.len(), table.live()), (2, 1));
    }

    #[test]
    fn a_member_beyond_the_limit_is_refused() {
        let (mut table, mut rng) = (Table::new([1; 32], 2), rng());
        assert!(table.insert(record("a", 1), &mut rng).is_ok());
        assert!(table.insert(record("b", 2), &mut rng).is_ok());
        assert_eq!(table.insert(record("c", 3), &mut rng), Err(NoRoom));
        table.check();
    }

    #[test]
    fn members_at_one_address_are_limited() {
        let (mut table, mut rng) = (Table::new([1; 32], 100), rng());
        for index in 0..MEMBERS_PER_ADDR_MAX {
            assert!(table.insert(record(&format!("{index}"), 1), &mut rng).is_ok());
        }
        assert_eq!(table.insert(record("one more", 1), &mut rng), Err(NoRoom));
        let elsewhere = table.insert(record("elsewhere", 2), &mut rng).unwrap();
        assert_eq!(table.set_addr(elsewhere, NodeAddr::from(addr(1))), Err(NoRoom));
        assert_eq!(table.find_addr(addr(2)), Some(elsewhere));
        let first = table.find(b"0").unwrap();
        assert_eq!(table.set_addr(first, NodeAddr::from(addr(3))), Ok(()));
        assert_eq!(table.set_addr(elsewhere, NodeAddr::from(addr(1))), Ok(()));
        table.check();
    }

    #[test]
    fn newcomers_land_anywhere_in_the_probe_order() {
        let (mut table, mut rng) = (Table::new([1; 32], 1_000), rng());
        for port in 1..=100 {
            table.insert(record(&format!("{port}"), port), &mut rng).unwrap();
        }
        let last = table.find(b"100").unwrap();
        let first = table.find(b"1").unwrap();
        let order = table.order();
        assert!(order.get(0) != Some(first) || order.get(99) != Some(last));
    }

    #[test]
    fn of_nine_members_only_the_long_gone_are_reaped() {
        let (mut table, mut rng) = (Table::new([1; 32], 100), rng());
        let now = Instant::ZERO + Duration::from_secs(100);
        let states = [
            ("me", MemberState::Alive, 90),
            ("long dead", MemberState::Dead, 20),
            ("alive", MemberState::Alive, 20),
            ("just dead", MemberState::Dead, 10),
            ("long left", MemberState::Left, 20),
            ("suspect", MemberState::Suspect, 20),
            ("just left", MemberState::Left, 10),
            ("dead for the whole time", MemberState::Dead, 15),
            ("young", MemberState::Alive, 1),
        ];
        let mut ids = Vec::new();
        for (port, (name, state, seconds)) in (1..).zip(states) {
            let id = table.insert(record(name, port), &mut rng).unwrap();
            let at = Instant::from_micros(now.as_micros() - seconds * 1_000_000);
            table.put_in_state(id, state, at);
            ids.push(id);
        }
        let (mut names, keep) =
            (Vec::new(), Keep { gossip: Duration::from_secs(15), graves: Duration::ZERO });
        table.reap_and_shuffle(ids[0], now, keep, &mut rng, |_, name| names.push(name));
        names.sort();
        assert_eq!(names, ["long dead", "long left"].map(|name| NodeName::new(name).unwrap()));
        assert_eq!((table.len(), table.order().len(), table.live()), (7, 7, 4));
    }
}
