//! Who is wrongly believed dead: starved nodes, tiny clusters, links of one direction, sleepers,
//! networks that carry one kind of traffic only.

use core::time::Duration;
use std::collections::BTreeSet;

use rumormill::{Config, MemberState, Node, NodeName, Reach};

use super::cast::{MS, SECOND, Witness, all_see, among, cluster, id, names, part, sum, time_until};
use super::{Contrast, DEFAULTS, Field, Figure, Verdict};
use crate::chance::{Chance, Part, Ratio};
use crate::world::{Link, World};

/// Failure detection as it was before Lifeguard.
fn plain_swim(config: Config) -> Config {
    Config { awareness_max: 1, suspicion_max_mult: 1, ..config }
}

pub(super) const STARVED: Field = Field {
    name: "starved",
    reports: "ask 1",
    story: "3 of 16 nodes are so starved that they lose most of what is sent to them, and condemn \
            healthy ones",
    measure: "healthy members told dead in 5 minutes",
    run: |seed| {
        // Calls would get through in time: a process that is starved of CPU answers none.
        let config = Config { stream_pings: false, ..Config::lan() };
        let (suspected, ours) = starved(seed, &config);
        let (_, theirs) = starved(seed, &plain_swim(config));
        Verdict {
            arose: ("suspicions of healthy members", suspected),
            with: "`stream_pings: false`",
            ours,
            bar: Figure::Count(12),
            contrast: Contrast::Run {
                with: "`awareness_max: 1, suspicion_max_mult: 1`: SWIM without Lifeguard",
                figure: theirs,
            },
        }
    },
};

const STARVED_LOSS: Ratio = Ratio::percent(80);

fn starved(seed: u64, config: &Config) -> (u64, Figure) {
    let (nodes, victims) = (16, 13..16);
    let mut world: World<Witness> = cluster(seed, nodes, config);
    let healthy = names(&world, 0..13);
    let mut chance = Chance::child(seed, Part::Workload);
    for _ in 0..3_000 {
        for (from, to) in victims.clone().flat_map(|to| (0..nodes).map(move |from| (from, to))) {
            let lost = chance.happens(STARVED_LOSS);
            world.set_link(id(from), id(to), if lost { Link::Cut } else { Link::Open });
        }
        world.run_for(100 * MS);
    }
    told_about(&world, &healthy)
}

/// How often members were suspected, and told dead.
fn told_about(world: &World<Witness>, members: &BTreeSet<NodeName>) -> (u64, Figure) {
    let suspected = sum(world, |app| among(&app.suspected, members));
    let failed = sum(world, |app| among(&app.failed, members));
    (suspected, Figure::Count(failed))
}

pub(super) const SMALL_CLUSTER: Field = Field {
    name: "small-cluster",
    reports: "ask 3",
    story: "2, 3 and 4 nodes lose a fifth of all datagrams; nobody is there to confirm a suspicion",
    measure: "members told dead in 3 hours",
    run: |seed| {
        let (unanswered, ours) = small_clusters(seed, &Config::lan());
        let silent = Config { stream_pings: false, ..Config::lan() };
        let (suspected, theirs) = small_clusters(seed, &silent);
        Verdict {
            arose: ("probes without an ack, suspicions", unanswered.min(suspected)),
            with: DEFAULTS,
            ours,
            bar: Figure::Count(0),
            contrast: Contrast::Run {
                with: "`stream_pings: false`, as transports set it that use streams only",
                figure: theirs,
            },
        }
    },
};

/// How many probes no datagram answered, which without streams are as many suspicions, and how many
/// members were told dead.
fn small_clusters(seed: u64, config: &Config) -> (u64, Figure) {
    let (mut unanswered, mut failed) = (0, 0);
    for nodes in 2..=4 {
        let mut world: World<Witness> = cluster(seed, nodes, config);
        world.network_mut().loss = Ratio::percent(20);
        world.run_for(3_600 * SECOND);
        let stats = world.ids().filter_map(|id| world.node(id)).map(Node::stats);
        unanswered += stats.map(|stats| stats.probes_by_stream_only).sum::<u64>();
        unanswered += sum(&world, |app| app.suspected.len() as u64);
        failed += sum(&world, |app| app.failed.len() as u64);
    }
    (unanswered, Figure::Count(failed))
}

pub(super) const ONE_WAY: Field = Field {
    name: "one-way",
    reports: "ask 7",
    story: "one of 16 nodes is heard by all and hears nobody: it accuses everybody",
    measure: "datagrams of the others, in % of before",
    run: |seed| {
        let (accused, ours) = one_way(seed, &Config::lan());
        let (_, theirs) = one_way(seed, &plain_swim(Config::lan()));
        Verdict {
            arose: ("accusations", accused),
            with: DEFAULTS,
            ours,
            bar: Figure::Share(2, 1),
            contrast: Contrast::Run {
                with: "`awareness_max: 1, suspicion_max_mult: 1`: SWIM without Lifeguard",
                figure: theirs,
            },
        }
    },
};

fn one_way(seed: u64, config: &Config) -> (u64, Figure) {
    let (nodes, deaf) = (16, 15);
    let mut world: World<Witness> = cluster(seed, nodes, config);
    world.run_for(20 * SECOND);
    let sent = |world: &World<Witness>| -> u64 {
        let nodes = (0..deaf).filter_map(|index| world.node(id(index)));
        nodes.map(|node| node.stats().packets_sent).sum()
    };
    let span = 60 * SECOND;
    let start = sent(&world);
    world.run_for(span);
    let before = sent(&world) - start;
    for index in 0..deaf {
        world.set_link(id(index), id(deaf), Link::Cut);
    }
    let start = sent(&world);
    world.run_for(span);
    let after = sent(&world) - start;
    let others = names(&world, 0..deaf);
    let (accused, _) = told_about(&world, &others);
    (accused, Figure::Share(after, before))
}

pub(super) const SLEEPER: Field = Field {
    name: "sleeper",
    reports: "ask 8",
    story: "a machine sleeps for 10 minutes just when it is about to condemn somebody, and wakes: once with \
            all that was sent to it in its socket, once with nothing of it",
    measure: "members that it tells dead, of its own or by hearsay",
    run: |seed| {
        let (mut pauses, mut told) = (u64::MAX, 0);
        for waits in [true, false] {
            let (noticed, failed) = sleeper(seed, waits);
            (pauses, told) = (pauses.min(noticed), told + failed);
        }
        Verdict {
            arose: ("pauses noticed", pauses),
            with: DEFAULTS,
            ours: Figure::Count(told),
            bar: Figure::Count(0),
            contrast: Contrast::PeerOnly {
                because: "whether a node judges by the clock alone after a standstill is no \
                          parameter of ours",
            },
        }
    },
};

/// How long before its verdict the machine falls asleep.
const BEFORE_VERDICT: Duration = Duration::from_millis(100);
const SLEEPER_ID: usize = 7;

/// A node that suspects another, which nobody reaches.
fn suspicious(seed: u64) -> World<Witness> {
    let mut world: World<Witness> = cluster(seed, 8, &Config::lan());
    part(&mut world, &[0], &[1, 2, 3, 4, 5, 6, SLEEPER_ID], Link::Cut);
    let suspects = |world: &World<Witness>| believes(world) == Some(MemberState::Suspect);
    assert!(time_until(&mut world, 60 * SECOND, suspects).is_some(), "whoever is cut off");
    world
}

fn believes(world: &World<Witness>) -> Option<MemberState> {
    let node = world.node(id(SLEEPER_ID))?;
    node.member(world.name(id(0)).as_bytes()).map(|member| member.state)
}

/// Whether what is sent to the sleeper waits for it; else its machine is off the network.
fn sleeper(seed: u64, waits: bool) -> (u64, u64) {
    // The same run without the sleep tells when the verdict falls.
    let mut twin = suspicious(seed);
    let verdict =
        time_until(&mut twin, 60 * SECOND, |world| believes(world) == Some(MemberState::Dead));
    let mut world = suspicious(seed);
    world.run_for(verdict.unwrap_or_default().saturating_sub(BEFORE_VERDICT));
    let sleeper = id(SLEEPER_ID);
    assert_eq!(believes(&world), Some(MemberState::Suspect), "the verdict has yet to fall");
    world.pause(sleeper);
    world.open_links();
    let others: Vec<_> = (0..SLEEPER_ID).collect();
    if !waits {
        part(&mut world, &[SLEEPER_ID], &others, Link::Cut);
    }
    world.run_for(600 * SECOND);
    world.open_links();
    world.resume(sleeper);
    let back = time_until(&mut world, 60 * SECOND, |world| all_see(world, 8));
    assert!(back.is_some(), "whoever wakes is met again");
    let told = world.app(sleeper).map_or(0, |app| app.failed.len() as u64);
    let pauses = world.node(sleeper).map_or(0, |node| node.stats().pauses);
    (pauses, told)
}

pub(super) const STREAMS_DOWN: Field = Field {
    name: "streams-down",
    reports: "memberlist #264",
    story: "datagrams pass, streams do not: members stay alive and nobody can exchange state",
    measure: "nodes that cannot say to whom no stream gets, and members told dead, after 90 s",
    run: |seed| {
        let (holes, ours) = streams_down(seed, &Config::lan());
        let (_, theirs) = streams_down(seed, &Config { stream_pings: false, ..Config::lan() });
        Verdict {
            arose: ("streams that carried nothing", holes),
            with: DEFAULTS,
            ours,
            bar: Figure::Count(0),
            contrast: Contrast::Run {
                with: "`stream_pings: false`: streams are tried only when state is to be exchanged",
                figure: theirs,
            },
        }
    },
};

/// A few pauses between two exchanges, and their deadline.
const UNTIL_NOTICED: Duration = Duration::from_secs(90);

fn streams_down(seed: u64, config: &Config) -> (u64, Figure) {
    let mut world: World<Witness> = cluster(seed, 8, config);
    world.run_for(10 * SECOND);
    world.network_mut().streams.black_holes = Ratio::ONE;
    world.run_for(UNTIL_NOTICED);
    let nodes = world.ids().filter_map(|id| world.node(id));
    let knows = |node: &Node| node.members().any(|member| member.reach == Reach::DatagramsOnly);
    let unaware = nodes.filter(|node| !knows(node)).count();
    let failed = sum(&world, |app| app.failed.len() as u64);
    (world.stats().black_holes, Figure::Count(unaware as u64 + failed))
}
