//! Losses, cuts, reordering, ticks at one instant.

use rumormill::Stagger;
use rumormill_sim::{Link, Ratio};

use crate::cast::{Cast, MS, SECOND, id, seeds};
use crate::graphs::{Graph, bus, cube, regular, ring};

/// Members talk for six seconds while this share of all datagrams is lost.
fn loss(percent: u32, graph: impl Fn(u64) -> Graph) {
    for seed in seeds() {
        let mut cast = Cast::new(seed, graph(seed));
        let origins = [0, cast.size() / 2, cast.size() - 1];
        cast.warm(&origins);
        cast.world.network_mut().loss = Ratio::percent(percent);
        let said = cast.talk(&origins, 6 * SECOND, 100 * MS);
        assert!(cast.world.stats().lost > 0, "something is lost");
        cast.world.network_mut().loss = Ratio::ZERO;
        cast.assert_repaired(said);
        cast.assert_whole(&origins);
        assert_eq!(cast.world.watch().degraded, [], "seed {seed}: nobody is dead");
    }
}

#[test]
fn a_loss_of_1_percent_on_a_bus() {
    loss(1, |_| bus(24));
}

#[test]
fn a_loss_of_5_percent_on_a_ring() {
    loss(5, |_| ring(32));
}

#[test]
fn a_loss_of_5_percent_on_a_cube() {
    loss(5, |_| cube(5));
}

#[test]
fn a_loss_of_20_percent_on_a_bus() {
    loss(20, |_| bus(24));
}

#[test]
fn a_loss_of_20_percent_on_a_random_graph() {
    loss(20, |seed| regular(32, seed));
}

/// A link of the tree of node 0, of one whose lower end passes rumours on: its upper and lower end.
fn inner_edge(cast: &mut Cast) -> (usize, usize) {
    cast.warm(&[0]);
    let last = cast.said.len() - 1;
    let lower = cast.busiest(last);
    (cast.parent(last, lower).unwrap(), lower)
}

/// One direction of a link of the tree is cut for four seconds.
fn one_way_cut(graph: impl Fn(u64) -> Graph, is_downwards: bool) {
    for seed in seeds() {
        let mut cast = Cast::new(seed, graph(seed));
        let (upper, lower) = inner_edge(&mut cast);
        let (from, to) = if is_downwards { (upper, lower) } else { (lower, upper) };
        cast.world.set_link(id(from), id(to), Link::Cut);
        let said = cast.talk(&[0], 4 * SECOND, 100 * MS);
        assert!(cast.world.stats().cut > 0);
        cast.world.open_links();
        cast.assert_repaired(said);
        cast.assert_whole(&[0]);
    }
}

#[test]
fn payloads_pass_and_what_is_said_about_them_does_not_on_a_cube() {
    one_way_cut(|_| cube(5), false);
}

#[test]
fn payloads_pass_and_what_is_said_about_them_does_not_on_a_bus() {
    one_way_cut(|_| bus(24), false);
}

#[test]
fn payloads_do_not_pass_and_what_is_said_about_them_does_on_a_random_graph() {
    one_way_cut(|seed| regular(32, seed), true);
}

#[test]
fn payloads_do_not_pass_and_what_is_said_about_them_does_on_a_bus() {
    one_way_cut(|_| bus(24), true);
}

/// Half of a cube loses sight of the other; both talk.
fn region_cut(is_condemned: bool) {
    for seed in seeds() {
        let mut cast = Cast::with(seed, cube(5), |_, config| {
            // So that they meet again while the payloads are kept.
            config.heal_interval = Some(2 * SECOND);
        });
        let origins = [0, 31];
        cast.warm(&origins);
        let (some, others): (Vec<_>, Vec<_>) = (0..32).partition(|&index| index < 16);
        cast.part(&some, &others, Link::Cut);
        let length = if is_condemned { 15 * SECOND } else { 3 * SECOND };
        let said = cast.talk(&origins, length, 250 * MS);
        assert_eq!(cast.sees(0, 31), !is_condemned);
        cast.world.open_links();
        assert!(cast.meet(10 * SECOND), "they meet again");
        cast.assert_repaired(said);
        cast.assert_whole(&origins);
    }
}

#[test]
fn a_region_cut_off_for_a_moment_with_both_sides_active() {
    region_cut(false);
}

#[test]
fn a_region_cut_off_until_each_side_condemned_the_other() {
    region_cut(true);
}

#[test]
fn four_fifths_of_the_datagrams_of_one_member_are_lost() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let victim = cast.busiest(cast.said.len() - 1);
        cast.world.set_loss(id(victim), Ratio::percent(80));
        let said = cast.talk(&[0, victim], 6 * SECOND, 200 * MS);
        cast.world.set_loss(id(victim), Ratio::ZERO);
        assert!(cast.meet(60 * SECOND), "nobody is lost in the end");
        cast.assert_repaired(said);
        cast.assert_whole(&[0]);
    }
}

#[test]
fn nothing_reaches_one_member_for_20_s_out_of_40() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, cube(5));
        cast.warm(&[0]);
        let victim = cast.busiest(cast.said.len() - 1);
        let others: Vec<usize> = (0..32).filter(|&index| index != victim).collect();
        for _ in 0..2 {
            for &other in &others {
                cast.world.set_link(id(other), id(victim), Link::Cut);
            }
            let said = cast.talk(&[0], 20 * SECOND, 500 * MS);
            cast.world.open_links();
            assert!(cast.meet(60 * SECOND), "nobody is lost in the end");
            let kept = cast.kept(said);
            assert!(!kept.is_empty(), "they meet in time");
            cast.assert_repaired(kept);
            cast.talk(&[0], 20 * SECOND, 500 * MS);
        }
        cast.assert_whole(&[0]);
    }
}

#[test]
fn payloads_and_what_is_said_about_them_overtake_each_other() {
    for seed in seeds() {
        let mut cast = Cast::new(seed, regular(32, seed));
        let origins = [0, 9, 30];
        cast.warm(&origins);
        let network = cast.world.network_mut();
        (network.reordering, network.held_back) = (Ratio::percent(30), 60 * MS);
        let said = cast.talk(&origins, 6 * SECOND, 40 * MS);
        assert!(cast.world.stats().held_back > 0);
        cast.world.network_mut().reordering = Ratio::ZERO;
        cast.assert_repaired(said);
        cast.assert_whole(&origins);
    }
}

#[test]
fn ticks_at_one_instant_everywhere() {
    for seed in seeds() {
        let mut cast = Cast::with(seed, ring(32), |_, config| config.stagger = Stagger::Start);
        cast.warm(&[0, 16]);
        cast.world.network_mut().loss = Ratio::percent(5);
        let said = cast.talk(&[0, 16], 6 * SECOND, 100 * MS);
        cast.world.network_mut().loss = Ratio::ZERO;
        cast.assert_repaired(said);
        cast.assert_whole(&[0, 16]);
    }
}
