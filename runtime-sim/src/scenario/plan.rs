//! What happens in the first phase, and when: drawn before it begins, each kind of fault from its
//! own source, so that masking one leaves all others as they were.

use core::net::SocketAddr;
use core::time::Duration;

use rumormill::Delivery;

use super::Scenario;
use super::class::Class;
use super::holds::Turn;
use crate::chance::{Chance, Part};
use crate::world::{Bandwidth, Link};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// How long a process that has said goodbye goes on answering.
const LINGER: Duration = Duration::from_secs(6);
/// Links that a swizzle stops at most.
const SWIZZLED_MAX: usize = 24;
/// Bytes of the shortest payload that no datagram holds.
const LONG: usize = 2_000;
/// Payloads near the limit of a datagram lack fewer bytes than this.
const NEARLY: usize = 200;
/// Different keys that broadcasts have.
const KEYS: u64 = 3;

/// Something that is done to the cluster, or by its users. Processes are given by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Broadcast(usize),
    /// A broadcast of some size, which replaces those before it with the same key, if it has one.
    Tell(usize, Size, Option<u64>),
    Send(usize, usize, Delivery, Size),
    /// What the others see about a process changes: the seed of its tags.
    Meta(usize, u64),
    Crash(usize),
    Restart(usize),
    RestartAt(usize, SocketAddr),
    Leave(usize),
    Pause(usize),
    Resume(usize),
    Lag(Vec<usize>, Duration, Turn),
    /// How these links are closed.
    Links(Vec<(usize, usize)>, Link, Turn),
    Bandwidth(usize, Bandwidth, Turn),
    /// Forged things, drawn from a seed of their own.
    Attack(u64),
}

/// How long a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Short of the most that a datagram holds by so many bytes, or not quite.
    Datagram(usize),
    /// Long enough for a stream, where the mode takes such.
    Bytes(usize),
}

/// A deed with its time since the beginning and the kind of fault that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) at: Duration,
    pub(super) class: Option<Class>,
    pub(super) deed: Deed,
}

struct Plan<'a> {
    scenario: &'a Scenario,
    planned: Vec<Planned>,
}

/// Everything that a scenario plans, in order.
pub(super) fn plan(scenario: &Scenario) -> Vec<Planned> {
    let mut plan = Plan { scenario, planned: Vec::new() };
    plan.broadcasts();
    plan.errands();
    for class in scenario.faults.iter() {
        plan.class(class);
    }
    let mut planned = plan.planned;
    planned.sort_by_key(|planned| planned.at);
    planned
}

impl Plan<'_> {
    fn broadcasts(&mut self) {
        let mut chance = Chance::child(self.scenario.seed, Part::Workload);
        for _ in 0..self.scenario.broadcasts {
            let (at, teller) = (self.moment(&mut chance), self.somebody(&mut chance));
            self.planned.push(Planned { at, class: None, deed: Deed::Broadcast(teller) });
        }
    }

    /// What users do beside short broadcasts.
    fn errands(&mut self) {
        let mut chance = Chance::child(self.scenario.seed, Part::Errands);
        for _ in 0..self.scenario.errands {
            let (at, who) = (self.moment(&mut chance), self.somebody(&mut chance));
            let size = match chance.below(3) {
                0 => Size::Bytes(LONG + chance.index_below(3 * LONG)),
                _ => Size::Datagram(chance.index_below(NEARLY)),
            };
            let deed = match chance.below(4) {
                0 => Deed::Meta(who, chance.below(u64::MAX)),
                1 => Deed::Tell(who, size, None),
                2 => Deed::Tell(who, size, Some(chance.below(KEYS))),
                _ => {
                    let kinds = [Delivery::BestEffort, Delivery::Reliable];
                    Deed::Send(who, self.somebody(&mut chance), *chance.pick(&kinds), size)
                }
            };
            self.planned.push(Planned { at, class: None, deed });
        }
    }

    fn class(&mut self, class: Class) {
        let mut chance = class.chance(self.scenario.seed);
        // What `Classes::draw` has used.
        chance.below(1);
        match class {
            Class::Crash => self.times(class, self.scenario.crashes, &mut chance, Self::crash),
            Class::Delay => self.some(class, 4, &mut chance, Self::lag),
            Class::Cut => self.some(class, 4, &mut chance, Self::cut),
            Class::Partition => self.some(class, 3, &mut chance, Self::partition),
            Class::Swizzle => self.some(class, 2, &mut chance, Self::swizzle),
            Class::Bandwidth => self.some(class, 4, &mut chance, Self::narrow),
            Class::Pause => self.some(class, 4, &mut chance, Self::pause),
            Class::Move => self.some(class, 3, &mut chance, Self::move_away),
            Class::Leave => self.some(class, 3, &mut chance, Self::leave),
            Class::Replay => self.some(class, 40, &mut chance, Self::attack),
            Class::Reflect
            | Class::Ghosts
            | Class::Slowloris
            | Class::WrongKey
            | Class::Incarnation
            | Class::Hijack
            | Class::Suspects => self.some(class, 4, &mut chance, Self::attack),
            // What links do to datagrams and streams, clocks, disks: no deeds.
            _ => {}
        }
    }

    fn some(
        &mut self,
        class: Class,
        most: u64,
        chance: &mut Chance,
        draw: fn(&mut Self, Class, &mut Chance),
    ) {
        let times = 1 + chance.below(most);
        self.times(class, times, chance, draw);
    }

    fn times(
        &mut self,
        class: Class,
        times: u64,
        chance: &mut Chance,
        draw: fn(&mut Self, Class, &mut Chance),
    ) {
        for _ in 0..times {
            draw(self, class, chance);
        }
    }

    fn push(&mut self, at: Duration, class: Class, deed: Deed) {
        self.planned.push(Planned { at, class: Some(class), deed });
    }

    fn moment(&self, chance: &mut Chance) -> Duration {
        chance.below_duration(self.scenario.faults_for)
    }

    fn somebody(&self, chance: &mut Chance) -> usize {
        chance.index_below(self.scenario.nodes)
    }

    /// Some processes, at least one.
    fn some_of_them(&self, chance: &mut Chance) -> Vec<usize> {
        let mut all: Vec<_> = (0..self.scenario.nodes).collect();
        chance.shuffle(&mut all);
        all.truncate(1 + chance.index_below(all.len().div_ceil(2)));
        all
    }

    fn crash(&mut self, class: Class, chance: &mut Chance) {
        let (at, victim) = (self.moment(chance), self.somebody(chance));
        self.push(at, class, Deed::Crash(victim));
        self.push(at + chance.below_duration(20 * SECOND), class, Deed::Restart(victim));
    }

    fn move_away(&mut self, class: Class, chance: &mut Chance) {
        let (at, victim) = (self.moment(chance), self.somebody(chance));
        let [high, low] = u16::try_from(victim).unwrap_or(u16::MAX).to_be_bytes();
        let again = u8::try_from(100 + chance.below(150)).unwrap_or(u8::MAX);
        let addr = SocketAddr::from(([10, again, high, low], 7_946));
        // It has moved when it is back.
        self.planned.push(Planned { at, class: None, deed: Deed::Crash(victim) });
        self.push(at + chance.below_duration(10 * SECOND), class, Deed::RestartAt(victim, addr));
    }

    fn leave(&mut self, class: Class, chance: &mut Chance) {
        let (at, leaver) = (self.moment(chance), self.somebody(chance));
        let away = LINGER + chance.below_duration(10 * SECOND);
        self.push(at, class, Deed::Leave(leaver));
        self.planned.push(Planned { at: at + LINGER, class: None, deed: Deed::Crash(leaver) });
        self.push(at + away, class, Deed::Restart(leaver));
    }

    fn pause(&mut self, class: Class, chance: &mut Chance) {
        let (at, victim) = (self.moment(chance), self.somebody(chance));
        self.push(at, class, Deed::Pause(victim));
        self.push(at + chance.between(300 * MS, 12 * SECOND), class, Deed::Resume(victim));
    }

    fn lag(&mut self, class: Class, chance: &mut Chance) {
        let (at, victims) = (self.moment(chance), self.some_of_them(chance));
        let lag = chance.between(50 * MS, 2 * SECOND);
        let end = at + chance.between(SECOND, 10 * SECOND);
        self.push(at, class, Deed::Lag(victims.clone(), lag, Turn::Begins));
        self.push(end, class, Deed::Lag(victims, lag, Turn::Ends));
    }

    fn closed(&mut self, class: Class, links: Vec<(usize, usize)>, at: Duration, end: Duration) {
        self.push(at, class, Deed::Links(links.clone(), Link::Cut, Turn::Begins));
        self.push(end, class, Deed::Links(links, Link::Cut, Turn::Ends));
    }

    /// One link, or all that lead to somebody, or all that lead away.
    fn cut(&mut self, class: Class, chance: &mut Chance) {
        let (at, victim, other) =
            (self.moment(chance), self.somebody(chance), self.somebody(chance));
        let others = (0..self.scenario.nodes).filter(|&other| other != victim);
        let links = match chance.below(3) {
            0 => vec![(victim, other)],
            1 => others.map(|other| (victim, other)).collect(),
            _ => others.map(|other| (other, victim)).collect(),
        };
        self.closed(class, links, at, at + chance.between(SECOND, 15 * SECOND));
    }

    fn partition(&mut self, class: Class, chance: &mut Chance) {
        let (at, side) = (self.moment(chance), self.some_of_them(chance));
        let one_way = chance.below(3) == 0;
        let mut links = Vec::new();
        let others = (0..self.scenario.nodes).filter(|index| !side.contains(index));
        for other in others {
            links.extend(side.iter().map(|&here| (here, other)));
            if !one_way {
                links.extend(side.iter().map(|&here| (other, here)));
            }
        }
        self.closed(class, links, at, at + chance.between(SECOND, 30 * SECOND));
    }

    fn swizzle(&mut self, class: Class, chance: &mut Chance) {
        let (at, ends) = (self.moment(chance), self.some_of_them(chance));
        let mut links: Vec<_> = ends
            .iter()
            .flat_map(|&end| (0..self.scenario.nodes).map(move |other| (end, other)))
            .flat_map(|(one, other)| [(one, other), (other, one)])
            .filter(|(one, other)| one != other)
            .collect();
        chance.shuffle(&mut links);
        links.truncate(SWIZZLED_MAX);
        let stopped = at + chance.between(SECOND, 8 * SECOND);
        for link in links {
            let stop = at + chance.below_duration(stopped - at);
            let resume = stopped + chance.below_duration(8 * SECOND);
            self.push(stop, class, Deed::Links(vec![link], Link::Clogged, Turn::Begins));
            self.push(resume, class, Deed::Links(vec![link], Link::Clogged, Turn::Ends));
        }
    }

    fn narrow(&mut self, class: Class, chance: &mut Chance) {
        let (at, victim) = (self.moment(chance), self.somebody(chance));
        let bandwidth = Bandwidth {
            bytes_per_second: 5_000 + chance.below(95_000),
            queue_bytes_max: 5_000 + chance.below(60_000),
        };
        let end = at + chance.between(2 * SECOND, 20 * SECOND);
        self.push(at, class, Deed::Bandwidth(victim, bandwidth, Turn::Begins));
        self.push(end, class, Deed::Bandwidth(victim, bandwidth, Turn::Ends));
    }

    fn attack(&mut self, class: Class, chance: &mut Chance) {
        let at = self.moment(chance);
        let deed = Deed::Attack(chance.below(u64::MAX));
        self.push(at, class, deed);
    }
}
