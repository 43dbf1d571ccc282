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
//!
//! The [`Partner`] rule is ours, not the tables'. It bars sites from being told: whoever makes a contact in
//! order to tell draws from the others only, and whoever is asked by a barred one says nothing. Of what
//! was not sent nobody hears whether it was of use, so it counts for no interest. Who is ignorant asks
//! anybody: it has no rumour whose ways it could know.

use rumormill::{Epidemic, Exchange};
use rumormill_sim::chance::Chance;

use super::{Partner, Policy};

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
    partner: Partner,
    /// By site, whom it does not tell, in ascending order. Empty: nobody but itself.
    barred: Vec<Vec<u32>>,
    /// Who tells whom in this cycle, some of them several times.
    told: Vec<Telling>,
}

#[derive(Clone, Copy, Debug)]
struct Telling {
    teller: u32,
    listener: u32,
}

/// Spreads a rumour from one of `sites` until nobody tells it any more.
pub(super) fn spread(policy: Policy, sites: u32, chance: &mut Chance) -> Course {
    let Policy { epidemic, partner } = policy;
    let mut world = World::new(sites, partner);
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
    fn new(sites: u32, partner: Partner) -> Self {
        let count = sites as usize;
        let mut sites = vec![Site::Ignorant; count];
        sites[0] = Site::Infective(0);
        let mut barred = vec![Vec::new(); count];
        if partner != Partner::Any {
            barred[0].push(0);
        }
        let worth = vec![Worth::None; count];
        Self { sites, worth, infective: vec![0], partner, barred, told: Vec::new() }
    }

    /// All contacts of a cycle; returns how many copies they carried.
    fn contacts(&mut self, exchange: Exchange, chance: &mut Chance) -> u64 {
        let mut sent = 0;
        if exchange == Exchange::Push {
            for index in 0..self.infective.len() {
                let site = self.infective[index];
                if let Some(other) = self.another(self.barred(&site), chance) {
                    sent += self.tell(site, other);
                }
            }
            return sent;
        }
        for site in 0..u32::try_from(self.sites.len()).unwrap_or(u32::MAX) {
            // Who only asks may ask anybody.
            let barred = match exchange {
                Exchange::PushPull => self.barred(&site),
                Exchange::Push | Exchange::Pull => std::slice::from_ref(&site),
            };
            let Some(other) = self.another(barred, chance) else { continue };
            sent += self.tell(other, site);
            if exchange == Exchange::PushPull {
                sent += self.tell(site, other);
            }
        }
        sent
    }

    /// Whom a site does not tell, itself among them; ascending.
    fn barred<'a>(&'a self, site: &'a u32) -> &'a [u32] {
        let barred = &self.barred[*site as usize];
        if barred.is_empty() { std::slice::from_ref(site) } else { barred }
    }

    /// Any site but the barred ones, which ascend; `None` if there is no other.
    fn another(&self, barred: &[u32], chance: &mut Chance) -> Option<u32> {
        let free = self.sites.len() - barred.len();
        let nth = (free > 0).then(|| chance.below(free as u64))?;
        let nth = u32::try_from(nth).unwrap_or(u32::MAX);
        Some(barred.iter().fold(nth, |other, &barred| other + u32::from(other >= barred)))
    }

    /// Has a site not tell another one from now on.
    fn bar(&mut self, site: u32, other: u32) {
        let barred = &mut self.barred[site as usize];
        if let Err(at) = barred.binary_search(&other) {
            barred.insert(at, other);
        }
    }

    /// Has `teller` tell, if it does at all; returns how many copies that took.
    fn tell(&mut self, teller: u32, listener: u32) -> u64 {
        let is_barred = self.barred[teller as usize].binary_search(&listener).is_ok();
        if is_barred || !matches!(self.sites[teller as usize], Site::Infective(_)) {
            return 0;
        }
        if self.partner == Partner::Unsent {
            self.bar(teller, listener);
        }
        let is_useful = self.sites[listener as usize] == Site::Ignorant;
        if is_useful {
            self.told.push(Telling { teller, listener });
        }
        let worth = &mut self.worth[teller as usize];
        *worth = (*worth).max(if is_useful { Worth::Useful } else { Worth::Vain });
        1
    }

    fn lose_interest(&mut self, epidemic: Epidemic, chance: &mut Chance) {
        let Self { sites, worth, infective, barred, .. } = self;
        let count = sites.len();
        infective.retain(|&site| {
            let barred = &mut barred[site as usize];
            let worth = std::mem::replace(&mut worth[site as usize], Worth::None);
            let Site::Infective(contacts) = &mut sites[site as usize] else { return false };
            let one_in = |k: u8| chance.below(k.into()) == 0;
            let cools =
                worth != Worth::None && epidemic.cools(contacts, worth == Worth::Useful, one_in);
            let ends = cools || barred.len() == count;
            if ends {
                sites[site as usize] = Site::Removed;
                *barred = Vec::new();
            }
            !ends
        });
    }

    /// Those who were told know it now; returns how many they are.
    fn infect(&mut self) -> u32 {
        let mut reached = 0;
        for Telling { teller, listener: site } in std::mem::take(&mut self.told) {
            if self.sites[site as usize] == Site::Ignorant {
                self.sites[site as usize] = Site::Infective(0);
                self.infective.push(site);
                reached += 1;
                if self.partner != Partner::Any {
                    self.bar(site, site);
                    self.bar(site, teller);
                }
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

    /// What becomes of a rumour among two.
    fn course(epidemic: Epidemic, partner: Partner) -> Course {
        spread(Policy { epidemic, partner }, 2, &mut chance())
    }

    fn cycle(world: &mut World, epidemic: Epidemic) -> u32 {
        world.lose_interest(epidemic, &mut chance());
        world.infect()
    }

    #[test]
    fn two_sites_tell_each_other_and_cool() {
        // Cycle 1 is of use; in cycle 2 both tell in vain.
        let told = Course { missed: 0, sent: 3, arrivals: 1, last: 1 };
        assert_eq!(course(COUNTER, Partner::Any), told);
        // Pull: in cycle 2 both are asked in vain.
        let pull = Epidemic { exchange: Exchange::Pull, ..COUNTER };
        assert_eq!(course(pull, Partner::Any), told);
        // Blind: the origin is done after its only contact.
        let blind = Epidemic { feedback: false, ..COUNTER };
        assert_eq!(course(blind, Partner::Any), Course { sent: 2, ..told });
        // Both ways: each of the two contacts carries it, and it is news in each.
        let both = Epidemic { exchange: Exchange::PushPull, ..COUNTER };
        assert_eq!(course(both, Partner::Any), Course { sent: 6, ..told });
    }

    #[test]
    fn who_was_ignorant_when_the_cycle_began_was_worth_telling_twice() {
        let mut world = World::new(4, Partner::Any);
        world.sites[1] = Site::Infective(0);
        world.infective.push(1);
        assert_eq!(world.tell(0, 2) + world.tell(1, 2), 2);
        assert_eq!(cycle(&mut world, COUNTER), 1, "one site is reached");
        assert_eq!(world.infective, [0, 1, 2], "and nobody was in vain");
    }

    #[test]
    fn who_is_told_tells_from_the_next_cycle_on() {
        let mut world = World::new(3, Partner::Any);
        world.tell(0, 1);
        assert_eq!(world.tell(1, 2), 0, "not yet");
        cycle(&mut world, COUNTER);
        assert_eq!(world.tell(1, 2), 1);
    }

    #[test]
    fn one_listener_of_several_who_needed_it_makes_the_cycle_useful() {
        let mut world = World::new(4, Partner::Any);
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
        let (world, mut chance) = (World::new(5, Partner::Any), chance());
        for site in 0..5 {
            let mut others: Vec<u32> =
                (0..200).filter_map(|_| world.another(&[site], &mut chance)).collect();
            others.sort_unstable();
            others.dedup();
            assert_eq!(others, (0..5).filter(|&other| other != site).collect::<Vec<_>>());
        }
    }

    #[test]
    fn who_is_barred_is_never_drawn_and_everybody_else_is_possible() {
        let (world, mut chance) = (World::new(6, Partner::Any), chance());
        for (barred, free) in [(&[0, 2, 3][..], &[1, 4, 5][..]), (&[4, 5], &[0, 1, 2, 3])] {
            let mut others: Vec<u32> =
                (0..200).filter_map(|_| world.another(barred, &mut chance)).collect();
            others.sort_unstable();
            others.dedup();
            assert_eq!(others, free);
        }
        assert_eq!(world.another(&[0, 1, 2, 3, 4, 5], &mut chance), None);
    }

    #[test]
    fn nobody_tells_back_and_who_has_nobody_left_loses_interest() {
        let once = Course { missed: 0, sent: 1, arrivals: 1, last: 1 };
        // The second of two has nobody to tell; the first tells it in vain once more.
        assert_eq!(course(COUNTER, Partner::NotBack), Course { sent: 2, ..once });
        // Nobody is told twice: not even a k that is never reached keeps them going.
        let stubborn = Epidemic { stop: Stop::Counter(255), ..COUNTER };
        for exchange in [Exchange::Push, Exchange::Pull, Exchange::PushPull] {
            let told = course(Epidemic { exchange, ..stubborn }, Partner::Unsent);
            assert_eq!(told, once, "{exchange:?}");
        }
    }

    #[test]
    fn the_first_of_several_tellers_is_the_one_that_is_not_told_back() {
        let mut world = World::new(4, Partner::NotBack);
        world.tell(0, 1);
        cycle(&mut world, COUNTER);
        assert_eq!(world.tell(1, 0), 0, "not back");
        assert_eq!((world.tell(1, 2), world.tell(0, 2)), (1, 1));
        cycle(&mut world, COUNTER);
        assert_eq!((world.tell(2, 1), world.tell(2, 0)), (0, 1), "to the second it does");
        assert_eq!(world.tell(0, 1), 1, "and again to whom it told before");
    }

    #[test]
    fn what_was_not_sent_counts_for_no_interest() {
        let mut world = World::new(4, Partner::Unsent);
        world.tell(0, 1);
        cycle(&mut world, COUNTER);
        assert_eq!(world.tell(0, 1), 0, "asked once more, it says nothing");
        cycle(&mut world, COUNTER);
        assert_eq!(world.sites[0], Site::Infective(0), "and is none the wiser");
    }

    #[test]
    fn unsent_tells_no_site_twice_and_none_that_told_it() {
        for exchange in [Exchange::Push, Exchange::Pull, Exchange::PushPull] {
            let epidemic = Epidemic { exchange, feedback: false, stop: Stop::Counter(9) };
            let (mut world, mut chance) = (World::new(12, Partner::Unsent), chance());
            let (mut sent, mut cycles) = (0, 0);
            let mut tellings = std::collections::BTreeSet::new();
            while !world.infective.is_empty() {
                let before = world.barred.clone();
                let copies = world.contacts(exchange, &mut chance);
                sent += copies;
                for (teller, (barred, before)) in world.barred.iter().zip(&before).enumerate() {
                    let new = barred.iter().filter(|other| !before.contains(other));
                    tellings.extend(new.map(|&listener| (teller, listener)));
                }
                world.lose_interest(epidemic, &mut chance);
                world.infect();
                cycles += 1;
            }
            assert!(cycles > 2 && sent > 11);
            assert_eq!(tellings.len() as u64, sent, "{exchange:?}: each copy goes another way");
        }
    }
}
