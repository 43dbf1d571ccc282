//! Members that die, come and go, stand still, or come back as somebody else.

use std::collections::BTreeSet;

use rumormill_sim::Link;

use crate::cast::{Cast, MS, REPAIR, SECOND, addr, id, seeds};
use crate::graphs::{Graph, bus, cube, is_whole, regular, ring};

/// Half of all members die and come back per minute while others talk.
#[test]
fn churn_of_50_percent_per_minute() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, regular(32, seed));
        let origins = [0, 1, 2];
        cast.warm(&origins);
        let mut down: Vec<usize> = Vec::new();
        let (mut words, mut deaths) = (0, 0);
        // Sixteen of 32 in 60 s, four words a second.
        let said = cast.talk_while(&origins, 60 * SECOND, 250 * MS, |cast| {
            words += 1;
            match words % 15 {
                0 => {
                    let victim = 3 + cast.chance.index_below(29);
                    cast.crash(victim);
                    down.push(victim);
                    deaths += 1;
                }
                8 => down.drain(..).for_each(|victim| cast.restart(victim)),
                _ => {}
            }
        });
        assert_eq!(deaths, 16);
        down.drain(..).for_each(|victim| cast.restart(victim));
        cast.assert_repaired(said);
        assert!(cast.meet(30 * SECOND));
        cast.assert_whole(&origins);
    }
}

/// An inner member of the tree stands still for five seconds.
#[test]
fn an_inner_member_stands_still_for_5_s() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let slow = cast.busiest(cast.said.len() - 1);
        cast.world.pause(id(slow));
        let said = cast.talk(&[0], 5 * SECOND, 200 * MS);
        let delayed = said.clone().map(|number| {
            let others = cast.running().filter(|&index| index != slow && index != 0);
            let at = cast.said[number].at;
            let late = others.filter_map(|index| cast.receipt(number, index));
            late.map(|receipt| receipt.at.saturating_since(at)).max().unwrap()
        });
        let slowest = delayed.max().unwrap();
        assert!(slowest < SECOND, "seed {seed}: the others wait {slowest:?}");
        cast.world.resume(id(slow));
        cast.assert_repaired(said);
        cast.assert_whole(&[0]);
    }
}

/// When a member dies, as seen from what it is to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    /// One of those below it got it, or nobody if it is one only.
    During,
    After,
}

/// A member dies through which all that is said has to go on its way along the list.
fn cut_vertex(moment: Moment, graph: impl Fn() -> Graph, vertex: usize) {
    for seed in seeds() {
        let mut cast = Cast::new(seed, graph());
        let origins = part(&mut cast, moment, vertex);
        cast.assert_whole(&origins);
        assert_told_truly(&cast);
    }
}

/// The same without the floor, whose links would lead around it: the neighbours of the dead one learn of
/// the parts, because what is said comes from elsewhere.
fn cut_vertex_of_a_list_alone(graph: impl Fn() -> Graph, vertex: usize) {
    for seed in seeds() {
        let mut cast = Cast::with(seed, graph(), |_, config| config.floor = false);
        part(&mut cast, Moment::Before, vertex);
        let told = &cast.world.watch().degraded;
        assert!(!told.is_empty(), "seed {seed}: somebody tells that the list has fallen apart");
        assert!(told.iter().all(|(_, lost)| *lost == [addr(vertex)]), "seed {seed}: {told:?}");
        assert_told_truly(&cast);
        // Two trees with digests between them are not one again, but sound.
        cast.assert_sound();
    }
}

/// Has a member die among warm trees, and those talk who had them grown.
fn part(cast: &mut Cast, moment: Moment, vertex: usize) -> [usize; 2] {
    let origins = [0, cast.size() - 1];
    cast.warm(&origins);
    assert!(!is_whole(&cast.graph, &BTreeSet::from([vertex])), "it parts the list");
    assert_eq!(cast.world.watch().degraded, [], "nobody is dead yet");
    let number = pass_on_and_die(cast, moment, vertex);
    cast.assert_repaired(number..number + 1);
    let said = cast.talk(&origins, 3 * SECOND, 200 * MS);
    cast.assert_repaired(said);
    origins
}

/// Asserts that whoever told that its list has fallen apart named neighbours that are dead.
fn assert_told_truly(cast: &Cast) {
    for (who, lost) in &cast.world.watch().degraded {
        let is_dead = |index: &usize| cast.world.node(id(*index)).is_none();
        let dead: Vec<_> = cast.graph[who.index()].iter().copied().filter(is_dead).collect();
        let is_true = lost.iter().all(|lost| dead.iter().any(|&index| addr(index) == *lost));
        assert!(!lost.is_empty() && is_true, "{who:?} told {lost:?} of {dead:?}");
    }
}

/// Node 0 says something, and `victim` dies around the time at which it would pass it on.
fn pass_on_and_die(cast: &mut Cast, moment: Moment, victim: usize) -> usize {
    let before = cast.say(0);
    cast.run(2 * SECOND);
    let below = cast.children(before, victim);
    assert!(!below.is_empty(), "it passes on what comes by");
    if moment == Moment::Before {
        cast.crash(victim);
        return cast.say(0);
    }
    if moment == Moment::During {
        for &child in below.iter().skip(usize::from(below.len() > 1)) {
            cast.world.set_link(id(victim), id(child), Link::Cut);
        }
    }
    let number = cast.say(0);
    // It confirms after 20 ms, and does not live to do so.
    let has_it = cast.world.run_until(5 * SECOND, |world| world.watch().has(id(victim), number));
    assert!(has_it, "it comes by");
    cast.crash(victim);
    cast.world.open_links();
    number
}

#[test]
fn a_cut_vertex_of_a_bus_dies_before_it_forwards() {
    cut_vertex(Moment::Before, || bus(24), 11);
}

#[test]
fn a_cut_vertex_of_a_bus_dies_while_it_forwards() {
    cut_vertex(Moment::During, || bus(24), 11);
}

#[test]
fn a_cut_vertex_of_a_bus_dies_after_it_forwarded() {
    cut_vertex(Moment::After, || bus(24), 11);
}

#[test]
fn a_cut_vertex_of_a_bus_without_a_floor_is_named_by_its_neighbours() {
    cut_vertex_of_a_list_alone(|| bus(24), 11);
}

/// Two cubes that share one link, and so have two cut vertices.
fn two_cubes() -> Graph {
    let half = cube(4);
    let mut graph = half.clone();
    graph.extend(half.iter().map(|neighbors| neighbors.iter().map(|other| other + 16).collect()));
    graph[15].insert(16);
    graph[16].insert(15);
    graph
}

#[test]
fn a_cut_vertex_between_two_cubes_dies_while_it_forwards() {
    cut_vertex(Moment::During, two_cubes, 15);
}

#[test]
fn a_cut_vertex_between_two_cubes_without_a_floor_is_named_by_its_neighbours() {
    cut_vertex_of_a_list_alone(two_cubes, 15);
}

/// So many of 64 die at once, undetected; one at least.
fn crash(percent: usize) {
    for seed in seeds() {
        let mut cast = Cast::new(seed, regular(64, seed));
        let origins = [0, 1];
        cast.warm(&origins);
        let mut victims: Vec<usize> = (2..64).collect();
        cast.chance.shuffle(&mut victims);
        victims.truncate((64 * percent / 100).max(1));
        for &victim in &victims {
            cast.crash(victim);
        }
        let first = cast.say(0);
        cast.assert_repaired(first..first + 1);
        let others = cast.talk(&origins, 3 * SECOND, 200 * MS);
        cast.assert_repaired(others);
        cast.assert_whole(&origins);
        assert_told_truly(&cast);
    }
}

#[test]
fn a_crash_of_1_percent() {
    crash(1);
}

#[test]
fn a_crash_of_5_percent() {
    crash(5);
}

#[test]
fn a_crash_of_20_percent() {
    crash(20);
}

#[test]
fn a_crash_of_50_percent() {
    crash(50);
}

/// Half of a long list die at once, undetected, and the messages of the next seconds are on their way
/// through what is left at the same time. The floor's links lead around the dead, or else digests; each
/// of the dead costs those around it one copy, not one of everything.
fn half_of_a_long_list(graph: impl Fn() -> Graph) {
    for seed in seeds() {
        let mut cast = Cast::new(seed, graph());
        cast.talk(&[0], 20 * SECOND, SECOND);
        let mut victims: Vec<usize> = (1..cast.size()).collect();
        cast.chance.shuffle(&mut victims);
        victims.truncate(cast.size() / 2);
        victims.iter().for_each(|&victim| cast.crash(victim));
        let said = cast.talk(&[0], 4 * SECOND, SECOND);
        cast.assert_repaired(said.clone());
        let costs: Vec<f64> = said.map(|number| cast.rmr(number)).collect();
        assert!(costs[2..].iter().all(|&cost| cost < 0.1), "seed {seed}: {costs:?}");
        cast.assert_whole(&[0]);
        // Some have lost all their neighbours, and say so whatever the floor does.
        assert!(!cast.world.watch().degraded.is_empty(), "seed {seed}");
        assert_told_truly(&cast);
    }
}

#[test]
fn half_of_a_bus_of_128_dies() {
    half_of_a_long_list(|| bus(128));
}

#[test]
fn half_of_a_ring_of_128_dies() {
    half_of_a_long_list(|| ring(128));
}

/// Whoever is condemned gets nothing along links any more, whatever lists and floors say.
#[test]
fn no_link_leads_to_a_ghost() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, ring(24));
        cast.warm(&[0]);
        cast.crash(12);
        let said = cast.talk(&[0], 4 * SECOND, 200 * MS);
        assert!(cast.meet(60 * SECOND), "it is condemned");
        cast.run(SECOND);
        let before = cast.world.watch().along_links[&addr(12)].0;
        cast.assert_repaired(said);
        cast.assert_whole(&[0]);
        assert_eq!(cast.world.watch().along_links[&addr(12)].0, before, "seed {seed}");
    }
}

/// A member restarts before anybody misses it: nobody hears that it was down.
#[test]
fn a_restart_under_the_same_name_that_nobody_noticed() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let victim = cast.busiest(cast.said.len() - 1);
        cast.warm(&[0, victim]);
        cast.crash(victim);
        cast.restart(victim);
        let said = cast.talk(&[0, victim], 3 * SECOND, 200 * MS);
        cast.assert_repaired(said);
        cast.assert_whole(&[0, victim]);
    }
}

/// A member comes back at an address that is on nobody's list.
#[test]
fn a_restart_at_another_address() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let victim = cast.busiest(cast.said.len() - 1);
        cast.crash(victim);
        let said = cast.talk(&[0], 2 * SECOND, 200 * MS);
        cast.restart_at(victim, addr(100));
        cast.assert_repaired(said);
        assert!(cast.meet(60 * SECOND), "it is back");
        cast.run(SECOND);
        let before = cast.world.watch().along_links[&addr(victim)].0;
        let said = cast.talk(&[0, victim], 4 * SECOND, 200 * MS);
        cast.run(REPAIR);
        cast.assert_heard(said, "at its new address");
        cast.assert_whole(&[0, victim]);
        let after = cast.world.watch().along_links[&addr(victim)].0;
        assert_eq!(after, before, "seed {seed}: nothing goes to the old address");
    }
}
