//! Who meets whom again: partitions, restarts, moves, returns.

use core::net::SocketAddr;
use core::time::Duration;

use rumormill::{Config, MemberState};

use super::cast::{
    CALENDAR, SECOND, Witness, all_see, cluster, cluster_of, id, join, params, part, reconfigure,
    sees, sum, time_until,
};
use super::{Contrast, DEFAULTS, Field, Figure, Verdict};
use crate::world::{Clock, Link, ProcessId, Spawn, World};

/// Longest time that is looked whether something comes to pass.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) const PARTITION: Field = Field {
    name: "partition",
    reports: "memberlist #222, ask 10",
    story: "3 of 8 nodes are cut off for two minutes; both sides believe each other dead, and gossip no more to the dead",
    measure: "until all see all again",
    run: |seed| {
        let (dead, ours) = partition(seed, &Config::lan());
        let (_, theirs) = partition(seed, &Config { heal_interval: None, ..Config::lan() });
        Verdict {
            arose: ("deaths told", dead),
            with: DEFAULTS,
            ours,
            bar: Figure::Time(Some(60 * SECOND)),
            contrast: Contrast::Run { with: "`heal_interval: None`", figure: theirs },
        }
    },
};

fn partition(seed: u64, config: &Config) -> (u64, Figure) {
    let mut world: World<Witness> = cluster(seed, 8, config);
    part(&mut world, &[0, 1, 2], &[3, 4, 5, 6, 7], Link::Cut);
    world.run_for(120 * SECOND);
    world.open_links();
    let healed = time_until(&mut world, PATIENCE, |world| all_see(world, 8));
    (sum(&world, |app| app.failed.len() as u64), Figure::Time(healed))
}

pub(super) const MASS_RESTART: Field = Field {
    name: "mass-restart",
    reports: "memberlist #311, ask 20",
    story: "half of 16 nodes die and start anew with incarnations below those that they died with; \
            exchanges of state are as rare as among 4 500 nodes",
    measure: "who does not see whom after 10 s",
    run: |seed| {
        // The healer would tell them too that they are believed dead.
        let config =
            Config { push_pull_interval: Some(RARE), heal_interval: None, ..Config::lan() };
        let (dead, ours) = mass_restart(seed, &config);
        Verdict {
            arose: ("deaths told", dead),
            with: "clocks that begin anew, `heal_interval: None`",
            ours,
            bar: Figure::Share(1, 100),
            contrast: Contrast::PeerOnly {
                because: "memberlist answers probes of one that it believes dead without telling it",
            },
        }
    },
};

/// The pause between exchanges of state in a cluster of 4 500 nodes, where this was reported.
const RARE: Duration = Duration::from_secs(270);

/// Clocks show the calendar in the first life, and nothing of it in the second.
fn mass_restart(seed: u64, config: &Config) -> (u64, Figure) {
    let spawn = |index| Spawn {
        clock: Clock::new(CALENDAR, 0),
        ..Spawn::numbered(index, params(Config::lan()))
    };
    let mut world: World<Witness> = cluster_of(seed, 16, &Config::lan(), spawn);
    reconfigure(&mut world, config);
    for process in (8..16).map(id) {
        world.crash(process);
    }
    time_until(&mut world, PATIENCE, |world| all_see(world, 8));
    let dead = sum(&world, |app| app.failed.len() as u64);
    // What is to be gossiped about them has been gossiped.
    world.run_for(5 * SECOND);
    for index in 8..16 {
        let process = id(index);
        world.set_clock(process, Clock::default());
        world.restart(process, params(config.clone()), Witness::default());
        // The first one hears of deaths before it knows of those who died.
        join(&mut world, process, if index == 8 { id(0) } else { id(8) });
        world.run_for(SECOND / 5);
    }
    world.run_for(10 * SECOND);
    let pairs = world.ids().flat_map(|from| (0..16).map(move |to| (from, id(to))));
    let unseen = pairs.filter(|&(from, to)| !sees(&world, from, to)).count();
    (dead, Figure::Share(unseen as u64, 16 * 16))
}

pub(super) const REVIVAL: Field = Field {
    name: "revival",
    reports: "memberlist #312, ask 14",
    story: "a member dies while a node is off the network for longer than gossip goes to the dead; \
            that node comes back, joins as if it had never been in, and still tells of it",
    measure: "nodes told that it is back",
    run: |seed| {
        let short = Config { remember_dead: Duration::ZERO, ..Config::lan() };
        let (known, ours) = revival(seed, &Config::lan());
        let (_, theirs) = revival(seed, &short);
        Verdict {
            arose: ("nodes that still knew it", known),
            with: DEFAULTS,
            ours,
            bar: Figure::Count(0),
            contrast: Contrast::Run {
                with: "`remember_dead: 0 s`: forgotten after 30 s, as by memberlist",
                figure: theirs,
            },
        }
    },
};

fn revival(seed: u64, config: &Config) -> (u64, Figure) {
    let mut world: World<Witness> = cluster(seed, 8, config);
    let (dead, sleeper) = (id(6), id(7));
    let name = world.name(dead).clone();
    // Nothing waits for the sleeper: its machine is off the network.
    part(&mut world, &[7], &[0, 1, 2, 3, 4, 5, 6], Link::Cut);
    world.pause(sleeper);
    world.crash(dead);
    world.run_for(120 * SECOND);
    let known = u64::from(sees(&world, sleeper, dead));
    let joined = |world: &World<Witness>| {
        sum(world, |app| app.joined.iter().filter(|joined| **joined == name).count() as u64)
    };
    let before = joined(&world);
    world.open_links();
    world.resume(sleeper);
    // Else it might itself find the member dead before its turn comes to exchange state.
    join(&mut world, sleeper, id(0));
    world.run_for(120 * SECOND);
    (known, Figure::Count(joined(&world) - before))
}

pub(super) const MOVED: Field = Field {
    name: "moved",
    reports: "ask 18",
    story: "a node dies and starts under its name at another address when all know that it died",
    measure: "until all see it there",
    run: |seed| {
        let (_, ours) = moved(seed, &Config::lan());
        let (conflicts, theirs) = moved(seed, &Config { reclaim_after: None, ..Config::lan() });
        Verdict {
            arose: ("conflicts as reported", conflicts),
            with: DEFAULTS,
            ours,
            bar: Figure::Time(Some(10 * SECOND)),
            contrast: Contrast::Run {
                with: "`reclaim_after: None`, memberlist's default",
                figure: theirs,
            },
        }
    },
};

fn moved(seed: u64, config: &Config) -> (u64, Figure) {
    let mut world: World<Witness> = cluster(seed, 8, config);
    let mover = id(7);
    world.crash(mover);
    time_until(&mut world, PATIENCE, |world| all_see(world, 7));
    world.run_for(2 * SECOND);
    let addr = SocketAddr::from(([10, 9, 9, 9], 7_946));
    world.restart_at(mover, addr, params(config.clone()), Witness::default());
    join(&mut world, mover, id(0));
    let there = |world: &World<Witness>, from: ProcessId| {
        let member = world.node(from).and_then(|node| node.member(world.name(mover).as_bytes()));
        member.is_some_and(|member| (member.addr, member.state) == (addr, MemberState::Alive))
    };
    let arrived = time_until(&mut world, PATIENCE, |world| {
        world.ids().all(|from| there(world, from)) && all_see(world, 8)
    });
    let conflicts = world.ids().filter_map(|id| world.node(id)).map(|node| node.stats().conflicts);
    (conflicts.sum(), Figure::Time(arrived))
}
