//! One epidemic, in cycles.
//!
//! What Demers et al. 1987 leave open and their figures decide:
//!
//! - A cycle is synchronous. Who knows the rumour is asked of its *beginning*: a contact was of use if
//!   the other side was ignorant then, even if somebody else told it in the same cycle; who is told in
//!   a cycle tells from the next one on.
//! - Push: each infective site contacts one other site. Pull and both ways: *every* site does, for it
//!   cannot know whether there is anything to ask for.
//! - A site counts once per cycle in which it told anybody, by [`Epidemic::cools`]: the cycle was of
//!   use if anyone told was ignorant, in vain if all knew, and a useful one sets the counter back. With
//!   push that is one contact; with pull several may ask the same site, and counting each of them makes
//!   twice as large a residue as published (k = 1).
//! - Traffic is every copy told, in vain or not.

use rumormill::{Epidemic, Exchange};
use rumormill_sim::chance::Chance;

/// What became of one rumour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// Sites that it never reached.
    pub(super) missed: u32,
    /// Copies of it that were sent.
    pub(super) sent: u64,
    /// The cycles in which sites were told, added up. The origin knew it before the first.
    pub(super) arrivals: u64,
    /// The cycle in which the last site was told.
    pub(super) last: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    Ignorant,
    /// Knows it and tells, with its count.
    Infective(u8),
    Removed,
}

/// What a site's tellings of a cycle were worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    None,
    Vain,
    Useful,
}

struct World {
    sites: Vec<Site>,
    worth: Vec<Worth>,
    infective: Vec<u32>,
    /// Those who are told in this cycle, some of them several times.
    told: Vec<u32>,
}

/// Spreads a rumour from one of `sites` until nobody tells it any more.
pub(super) fn spread(epidemic: Epidemic, sites: u32, chance: &mut Chance) -> Course {
    let mut world = World::new(sites);
    let mut course = Course { missed: sites.saturating_sub(1), ..Course::default() };
    let mut cycle = 0;
    while !world.infective.is_empty() {
        cycle += 1;
        course.sent += world.contacts(epidemic.exchange, chance);
        world.lose_interest(epidemic, chance);
        let reached = world.infect();
        if reached > 0 {
            course.missed -= reached;
            course.arrivals += u64::from(reached) * u64::from(cycle);
            course.last = cycle;
        }
    }
    course
}

impl World {
    fn new(sites: u32) -> Self {
        let count = sites as usize;
        let mut sites = vec![Site::Ignorant; count];
        sites[0] = Site::Infective(0);
        Self { sites, worth: vec![Worth::None; count], infective: vec![0], told: Vec::new() }
    }

    /// All contacts of a cycle; returns how many copies they carried.
    fn contacts(&mut self, exchange: Exchange, chance: &mut Chance) -> u64 {
        let mut sent = 0;
        if exchange == Exchange::Push {
            for index in 0..self.infective.len() {
                let site = self.infective[index];
                let other = self.another(site, chance);
                sent += self.tell(site, other);
            }
            return sent;
        }
        for site in 0..u32::try_from(self.sites.len()).unwrap_or(u32::MAX) {
            let other = self.another(site, chance);
            sent += self.tell(other, site);
            if exchange == Exchange::PushPull {
                sent += self.tell(site, other);
            }
        }
        sent
    }

    /// Any site but this one.
    fn another(&self, site: u32, chance: &mut Chance) -> u32 {
        let other = chance.below(self.sites.len() as u64 - 1);
        let other = u32::try_from(other).unwrap_or(u32::MAX);
        other + u32::from(other >= site)
    }

    /// Has `teller` tell, if it does at all; returns how many copies that took.
    fn tell(&mut self, teller: u32, listener: u32) -> u64 {
        if !matches!(self.sites[teller as usize], Site::Infective(_)) {
            return 0;
        }
        let is_useful = self.sites[listener as usize] == Site::Ignorant;
        if is_useful {
            self.told.push(listener);
        }
        let worth = &mut self.worth[teller as usize];
        *worth = (*worth).max(if is_useful { Worth::Useful } else { Worth::Vain });
        1
    }

    fn lose_interest(&mut self, epidemic: Epidemic, chance: &mut Chance) {
        let Self { sites, worth, infective, .. } = self;
        infective.retain(|&site| {
            let worth = std::mem::replace(&mut worth[site as usize], Worth::None);
            let Site::Infective(count) = &mut sites[site as usize] else { return false };
            let one_in = |k: u8| chance.below(k.into()) == 0;
            let cools =
                worth != Worth::None && epidemic.cools(count, worth == Worth::Useful, one_in);
            if cools {
                sites[site as usize] = Site::Removed;
            }
            !cools
        });
    }

    /// Those who were told know it now; returns how many they are.
    fn infect(&mut self) -> u32 {
        let mut reached = 0;
        for site in self.told.drain(..) {
            if self.sites[site as usize] == Site::Ignorant {
                self.sites[site as usize] = Site::Infective(0);
                self.infective.push(site);
                reached += 1;
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumormill::Stop;
    use rumormill_sim::chance::Part;

    const COUNTER: Epidemic =
        Epidemic { exchange: Exchange::Push, feedback: true, stop: Stop::Counter(1) };

    fn chance() -> Chance {
        Chance::child(1, Part::Workload)
    }

    fn cycle(world: &mut World, epidemic: Epidemic) -> u32 {
        world.lose_interest(epidemic, &mut chance());
        world.infect()
    }

    #[test]
    fn two_sites_tell_each_other_and_cool() {
        // Cycle 1 is of use; in cycle 2 both tell in vain.
        let told = Course { missed: 0, sent: 3, arrivals: 1, last: 1 };
        assert_eq!(spread(COUNTER, 2, &mut chance()), told);
        // Pull: in cycle 2 both are asked in vain.
        let pull = Epidemic { exchange: Exchange::Pull, ..COUNTER };
        assert_eq!(spread(pull, 2, &mut chance()), told);
        // Blind: the origin is done after its only contact.
        let blind = Epidemic { feedback: false, ..COUNTER };
        assert_eq!(spread(blind, 2, &mut chance()), Course { sent: 2, ..told });
        // Both ways: each of the two contacts carries it, and it is news in each.
        let both = Epidemic { exchange: Exchange::PushPull, ..COUNTER };
        assert_eq!(spread(both, 2, &mut chance()), Course { sent: 6, ..told });
    }

    #[test]
    fn who_was_ignorant_when_the_cycle_began_was_worth_telling_twice() {
        let mut world = World::new(4);
        world.sites[1] = Site::Infective(0);
        world.infective.push(1);
        assert_eq!(world.tell(0, 2) + world.tell(1, 2), 2);
        assert_eq!(cycle(&mut world, COUNTER), 1, "one site is reached");
        assert_eq!(world.infective, [0, 1, 2], "and nobody was in vain");
    }

    #[test]
    fn who_is_told_tells_from_the_next_cycle_on() {
        let mut world = World::new(3);
        world.tell(0, 1);
        assert_eq!(world.tell(1, 2), 0, "not yet");
        cycle(&mut world, COUNTER);
        assert_eq!(world.tell(1, 2), 1);
    }

    #[test]
    fn one_listener_of_several_who_needed_it_makes_the_cycle_useful() {
        let mut world = World::new(4);
        let two = Epidemic { stop: Stop::Counter(2), ..COUNTER };
        world.sites[1] = Site::Removed;
        world.sites[2] = Site::Removed;
        world.tell(0, 1);
        world.tell(0, 2);
        cycle(&mut world, two);
        assert_eq!(world.sites[0], Site::Infective(1), "two in vain in a cycle count once");
        world.tell(0, 3);
        world.tell(0, 1);
        cycle(&mut world, two);
        assert_eq!(world.sites[0], Site::Infective(0), "set back");
        cycle(&mut world, Epidemic { feedback: false, ..COUNTER });
        assert_eq!(world.sites[0], Site::Infective(0), "a cycle without contact counts nothing");
    }

    #[test]
    fn nobody_contacts_itself_and_everybody_else_is_possible() {
        let (world, mut chance) = (World::new(5), chance());
        for site in 0..5 {
            let mut others: Vec<u32> = (0..200).map(|_| world.another(site, &mut chance)).collect();
            others.sort_unstable();
            others.dedup();
            assert_eq!(others, (0..5).filter(|&other| other != site).collect::<Vec<_>>());
        }
    }
}
