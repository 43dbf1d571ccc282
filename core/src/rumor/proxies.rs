//! Plain memberlist members do not take part in the overlay. Two of ours bring each of them what is
//! meant for them: those whose agreed hash with its name is highest (rendezvous hashing), so that
//! nobody has to say so.
//!
//! Proxies die unnoticed at first. As long as one is left that has brought a member everything, that
//! is no loss. Otherwise the one that has served it longest owes it what came before; everybody keeps
//! the same books, so nobody has to say that either.

use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::hash;
use crate::member::{MemberId, Record, Table};
use crate::time::Instant;

/// How many bring a plain member its rumours.
pub(crate) const PROXIES: usize = 2;

fn weight(proxy: &[u8], plain: &[u8]) -> u128 {
    let len = u8::try_from(proxy.len()).unwrap_or(u8::MAX);
    hash::agreed(&[b"proxy", &[len], proxy, plain])
}

/// One of ours that brings a plain member its rumours.
#[derive(Clone, Copy, Debug)]
struct Proxy {
    id: MemberId,
    /// What came before that it has not brought; `None`: it has brought everything.
    since: Option<Instant>,
}

/// The heaviest first.
type Pair = SmallVec<[Proxy; PROXIES]>;

/// A plain member to which this node is to bring what came before then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) client: MemberId,
    pub(crate) before: Instant,
}

/// Who stands in for each live plain member, at the last look at the table.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    /// In the order of ids, as the next.
    of: Vec<(MemberId, Pair)>,
    /// Those of ours that were alive, this node among them.
    ours: Vec<MemberId>,
}

impl Proxies {
    /// Looks at the table. Returns what this node owes. All pairs of members are weighed once; later
    /// looks weigh newcomers and replacements of the dead alone.
    pub(crate) fn follow(&mut self, table: &Table, me: MemberId, now: Instant) -> Vec<Owed> {
        let is_ours = |id: MemberId, record: &Record| id == me || record.takes_envelopes();
        let live = || table.iter().filter(|(_, record)| record.state.is_live());
        let mut plain = live().filter(|&(id, record)| !is_ours(id, record)).peekable();
        if plain.peek().is_none() {
            *self = Self::default();
            return Vec::new();
        }
        let ours = live().filter(|&(id, record)| is_ours(id, record));
        let ours: Vec<MemberId> = ours.map(|(id, _)| id).collect();
        let is_new = |id: &&MemberId| self.ours.binary_search(id).is_err();
        let newcomers: Vec<MemberId> = ours.iter().filter(is_new).copied().collect();
        let mut owed = Vec::new();
        let of = plain.map(|(client, record)| {
            let before = self.before(client);
            let whole = before
                .filter(|pair| pair.iter().all(|proxy| ours.binary_search(&proxy.id).is_ok()));
            let name = record.name.as_bytes();
            let heaviest = match whole {
                Some(pair) => {
                    let stay = pair.iter().map(|proxy| proxy.id);
                    heaviest(stay.chain(newcomers.iter().copied()), name, table)
                }
                None => heaviest(ours.iter().copied(), name, table),
            };
            let mut pair: Pair = heaviest.into_iter().map(|id| succeed(id, before, now)).collect();
            let before = settle(&mut pair, me);
            owed.extend(before.map(|before| Owed { client, before }));
            (client, pair)
        });
        (self.of, self.ours) = (of.collect(), ours);
        owed
    }

    fn before(&self, client: MemberId) -> Option<&Pair> {
        let place = self.of.binary_search_by_key(&client, |&(id, _)| id).ok()?;
        Some(&self.of[place].1)
    }

    /// The plain members that `me` brings rumours to, in the order of ids.
    pub(crate) fn clients(&self, me: MemberId) -> Vec<MemberId> {
        let mine = self.of.iter().filter(|(_, pair)| pair.iter().any(|proxy| proxy.id == me));
        mine.map(|&(id, _)| id).collect()
    }

    pub(crate) fn check(&self) {
        assert!(self.of.is_sorted_by_key(|&(id, _)| id), "plain members are found by their ids");
        assert!(self.ours.is_sorted(), "and so are ours");
        for (_, pair) in &self.of {
            // Of whoever leaves as the last of ours nobody takes over.
            let served = pair.is_empty() || pair.iter().any(|proxy| proxy.since.is_none());
            assert!(served, "somebody has brought each plain member everything, or is about to");
        }
    }
}

fn heaviest(
    of: impl Iterator<Item = MemberId>,
    plain: &[u8],
    table: &Table,
) -> SmallVec<[MemberId; PROXIES]> {
    let mut best: SmallVec<[(u128, MemberId); PROXIES + 1]> = SmallVec::new();
    for id in of {
        let Some(record) = table.get(id) else { continue };
        let weight = weight(record.name.as_bytes(), plain);
        let place = best.partition_point(|&(other, _)| other >= weight);
        if place < PROXIES {
            best.insert(place, (weight, id));
            best.truncate(PROXIES);
        }
    }
    best.into_iter().map(|(_, id)| id).collect()
}

/// A proxy after another look; `before` are those of the last one. A plain member that was not
/// there then is owed nothing.
fn succeed(id: MemberId, before: Option<&Pair>, now: Instant) -> Proxy {
    let since = before.and_then(|pair| {
        let stayed = pair.iter().find(|proxy| proxy.id == id);
        stayed.map_or(Some(now), |proxy| proxy.since)
    });
    Proxy { id, since }
}

/// Where none is left that has brought everything, the one that serves longest does. If that is
/// `me`, it owes what came before then.
fn settle(pair: &mut Pair, me: MemberId) -> Option<Instant> {
    if pair.iter().any(|proxy| proxy.since.is_none()) {
        return None;
    }
    let longest = pair.iter_mut().min_by_key(|proxy| proxy.since)?;
    longest.since.take().filter(|_| longest.id == me)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    use crate::identity::BootEpoch;
    use crate::member::MemberState;
    use crate::wire::tags::{Advert, CAPABILITY_ENVELOPE};

    /// A table of `size` members of which the first are ours.
    fn mixed(size: u16, ours: u16) -> (Table, Vec<MemberId>) {
        let (mut table, _) = Table::sample(size);
        let advert = Advert { capabilities: CAPABILITY_ENVELOPE, epoch: BootEpoch(1), zone: 0 };
        let ids: Vec<MemberId> =
            (0..ours).map(|n| table.find(alloc::format!("{n}").as_bytes()).unwrap()).collect();
        for &id in &ids {
            table.get_mut(id).unwrap().set_meta(&advert.add_to(b"").unwrap());
        }
        (table, ids)
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    /// The books of all of ours.
    struct Books {
        table: Table,
        ours: Vec<MemberId>,
        books: Vec<Proxies>,
    }

    impl Books {
        fn new(size: u16, ours: u16) -> Self {
            let (table, ours) = mixed(size, ours);
            let books = ours.iter().map(|_| Proxies::default()).collect();
            let mut new = Self { table, ours, books };
            assert!(new.look(0).is_empty(), "newcomers are owed nothing");
            new
        }

        /// Everybody who lives looks; who owes what.
        fn look(&mut self, secs: u64) -> Vec<(MemberId, Owed)> {
            let mut owed = Vec::new();
            for (&me, books) in self.ours.iter().zip(&mut self.books) {
                if self.table.get(me).unwrap().state.is_live() {
                    let mine = books.follow(&self.table, me, at(secs));
                    books.check();
                    owed.extend(mine.into_iter().map(|owed| (me, owed)));
                }
            }
            owed
        }

        /// Who brings rumours to a plain member, as they see it themselves.
        fn proxies(&self, plain: MemberId) -> Vec<MemberId> {
            let books = self.ours.iter().zip(&self.books);
            let live = books.filter(|&(&me, _)| self.table.get(me).unwrap().state.is_live());
            let mine = live.filter(|&(&me, books)| books.clients(me).contains(&plain));
            mine.map(|(&me, _)| me).collect()
        }

        fn kill(&mut self, id: MemberId, secs: u64) {
            self.table.set_state(id, MemberState::Dead, at(secs));
        }

        fn plain(&self) -> Vec<MemberId> {
            let plain = self.table.iter().filter(|(_, record)| !record.takes_envelopes());
            plain.map(|(id, _)| id).collect()
        }
    }

    #[test]
    fn each_plain_member_has_two_proxies_and_they_are_shared_out() {
        let books = Books::new(40, 10);
        for plain in books.plain() {
            assert_eq!(books.proxies(plain).len(), PROXIES);
        }
        let shares =
            books.ours.iter().zip(&books.books).map(|(&me, books)| books.clients(me).len());
        let most = shares.max();
        assert!(most < Some(20), "nobody has them all: {most:?}");
    }

    #[test]
    fn one_of_ours_alone_serves_all() {
        let books = Books::new(5, 1);
        assert_eq!(books.books[0].clients(books.ours[0]).len(), 4);
    }

    #[test]
    fn looks_at_changes_find_what_a_first_look_finds() {
        let mut books = Books::new(30, 10);
        for (secs, dead) in [(1, 3), (2, 0), (3, 7)] {
            books.kill(books.ours[dead], secs);
            books.look(secs);
        }
        books.table.set_state(books.ours[0], MemberState::Alive, at(4));
        books.look(4);
        let plain = books.plain();
        let found: Vec<_> = plain.iter().map(|&plain| books.proxies(plain)).collect();
        books.books.iter_mut().for_each(|books| *books = Proxies::default());
        books.look(5);
        assert!(plain.iter().map(|&plain| books.proxies(plain)).eq(found));
    }

    #[test]
    fn nothing_is_owed_while_a_proxy_lives_that_brought_everything() {
        let mut books = Books::new(12, 8);
        let plain = books.plain()[0];
        let stays = books.proxies(plain)[0];
        for secs in 1..=5 {
            let proxies = books.proxies(plain);
            let goes = proxies.iter().find(|&&id| id != stays).unwrap();
            books.kill(*goes, secs);
            let owed = books.look(secs);
            assert!(owed.iter().all(|(_, owed)| owed.client != plain), "{owed:?}");
        }
    }

    #[test]
    fn when_both_proxies_are_found_dead_one_of_the_next_brings_what_came_before() {
        let mut books = Books::new(12, 8);
        let plain = books.plain()[0];
        for dead in books.proxies(plain) {
            books.kill(dead, 9);
        }
        let owed = books.look(10);
        let mine: Vec<_> = owed.iter().filter(|(_, owed)| owed.client == plain).collect();
        let [(me, Owed { before, .. })] = mine[..] else { panic!("one owes: {owed:?}") };
        assert!(books.proxies(plain).contains(me));
        assert_eq!(*before, at(10));
        assert!(books.look(11).is_empty(), "it is brought once");
    }

    #[test]
    fn when_they_are_found_dead_one_after_the_other_what_came_between_is_not_brought_again() {
        let mut books = Books::new(12, 8);
        let plain = books.plain()[0];
        let [first, second] = books.proxies(plain)[..] else { panic!("two") };
        books.kill(first, 9);
        let owed = books.look(10);
        assert!(owed.iter().all(|(_, owed)| owed.client != plain), "the second may live");
        books.kill(second, 14);
        let owed = books.look(15);
        let mine: Vec<_> = owed.iter().filter(|(_, owed)| owed.client == plain).collect();
        assert!(matches!(mine[..], [(_, Owed { before, .. })] if *before == at(10)), "{owed:?}");
    }
}
