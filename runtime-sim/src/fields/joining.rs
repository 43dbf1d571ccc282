//! Who gets in: seeds that are gone, seeds that have too much to do, members that say no.

use core::time::Duration;

use rumormill::{Config, Verdict as Answer};

use super::cast::{
    MS, SECOND, Witness, all_see, cluster, id, join, params, reconfigure, sees, time_until,
};
use super::{Contrast, DEFAULTS, Field, Figure, Verdict};
use crate::network::Latency;
use crate::world::{Link, ProcessId, Spawn, World};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const DEAD_SEEDS: Field = Field {
    name: "dead-seeds",
    reports: "memberlist #105",
    story: "a node is given 16 seeds, and the network swallows every call to 15 of them",
    measure: "until it has joined",
    run: |seed| {
        let (swallowed, ours) = dead_seeds(seed, join_all);
        let (_, theirs) = dead_seeds(seed, join_one_by_one);
        Verdict {
            arose: ("calls that nobody took", swallowed),
            with: DEFAULTS,
            ours,
            bar: Figure::Time(Some(SECOND)),
            contrast: Contrast::Run {
                with: "seeds given one after another, as memberlist's `Join` dials them",
                figure: theirs,
            },
        }
    },
};

/// A newcomer joins by these seeds and comes back when it is a member, or when all have failed.
type Joining = fn(&mut World<Witness>, ProcessId, &[ProcessId]);

fn dead_seeds(seed: u64, joining: Joining) -> (u64, Figure) {
    let (members, dead) = (3, 15);
    let mut world: World<Witness> = cluster(seed, members, &Config::lan());
    let spawn = |index| Spawn::numbered(index, params(Config::lan()));
    let gone: Vec<_> = (members..members + dead).map(id).collect();
    for &process in &gone {
        world.spawn(spawn(process.index()), Witness::default());
        world.crash(process);
    }
    let newcomer = world.spawn(spawn(members + dead), Witness::default());
    for &gone in &gone {
        // A host that is down refuses nothing: calls to it wait.
        world.set_link(newcomer, gone, Link::Cut);
    }
    let seeds: Vec<_> = gone.into_iter().chain([id(0)]).collect();
    let waited = world.stats().waited;
    let begun = world.now();
    joining(&mut world, newcomer, &seeds);
    let joined = all_see(&world, members + 1).then(|| world.now().saturating_since(begun));
    (world.stats().waited - waited, Figure::Time(joined))
}

fn join_all(world: &mut World<Witness>, newcomer: ProcessId, seeds: &[ProcessId]) {
    for &seed in seeds {
        join(world, newcomer, seed);
    }
    let members = world.ids().filter(|&id| world.node(id).is_some()).count();
    time_until(world, HOUR, |world| all_see(world, members));
}

fn join_one_by_one(world: &mut World<Witness>, newcomer: ProcessId, seeds: &[ProcessId]) {
    let failed = |world: &World<Witness>| world.app(newcomer).map_or(0, |app| app.seeds_failed);
    for &seed in seeds {
        let before = failed(world);
        join(world, newcomer, seed);
        time_until(world, HOUR, |world| {
            let waits = world.node(newcomer).is_some_and(|node| node.seeds_waiting() > 0);
            !waits || failed(world) > before
        });
        let addr = world.addr(seed);
        world.act(newcomer, |ctl, _| ctl.act(|node, _| node.forget_seeds(&[addr])));
    }
    let members = world.ids().filter(|&id| world.node(id).is_some()).count();
    time_until(world, 10 * SECOND, |world| all_see(world, members));
}

pub(super) const SEED_RUSH: Field = Field {
    name: "seed-rush",
    reports: "memberlist #259",
    story: "140 nodes join one at once over slow links: it has more exchanges of state pending than \
            it takes, and refuses the rest",
    measure: "until all see all",
    run: |seed| {
        let (refused, ours) = seed_rush(seed, &Config::lan());
        let once =
            Config { join_retry: HOUR, join_retry_max: HOUR, heal_interval: None, ..Config::lan() };
        let (_, theirs) = seed_rush(seed, &once);
        Verdict {
            arose: ("calls refused by the seed", refused),
            with: DEFAULTS,
            ours,
            bar: Figure::Time(Some(30 * SECOND)),
            contrast: Contrast::Run {
                with: "`join_retry: 1 h, heal_interval: None`: memberlist's `Join` tries once",
                figure: theirs,
            },
        }
    },
};

fn seed_rush(seed: u64, config: &Config) -> (u64, Figure) {
    let newcomers = 140;
    let mut world: World<Witness> = cluster(seed, 1, config);
    world.network_mut().latency = Latency::Uniform(100 * MS);
    for index in 1..=newcomers {
        let spawn = Spawn::numbered(index, params(config.clone()));
        let newcomer = world.spawn(spawn, Witness::default());
        join(&mut world, newcomer, id(0));
    }
    let joined = time_until(&mut world, 60 * SECOND, |world| all_see(world, newcomers + 1));
    let refused = world.node(id(0)).map_or(0, |node| node.stats().streams_refused);
    (refused, Figure::Time(joined))
}

pub(super) const REFUSED_JOIN: Field = Field {
    name: "refused-join",
    reports: "memberlist #132",
    story: "a member refuses the merge with a node that joins; if the node does not notice, it tells the \
            others of itself",
    measure: "who takes it in, or is taken in by it",
    run: |seed| {
        let strict = Config { ask_merges: true, ..Config::lan() };
        let ours = refused_join(seed, &strict);
        assert!(ours.waits, "the refused node knows that it has not joined");
        let late = Config { ask_joins: true, ..Config::lan() };
        let theirs = refused_join(seed, &late);
        Verdict {
            arose: ("refusals", ours.refused.min(theirs.refused)),
            with: "`ask_merges`",
            ours: ours.taken_in,
            bar: Figure::Count(0),
            contrast: Contrast::Run {
                with: "`ask_joins` alone: who is asked refuses when our half is out, as with memberlist",
                figure: theirs.taken_in,
            },
        }
    },
};

/// What came of a join that all members refuse.
struct RefusedJoin {
    refused: u64,
    taken_in: Figure,
    /// Whether whoever was refused still wants to join.
    waits: bool,
}

fn refused_join(seed: u64, config: &Config) -> RefusedJoin {
    let mut world: World<Witness> = cluster(seed, 3, &Config::lan());
    let members: Vec<_> = world.ids().collect();
    for &process in &members {
        world.act(process, |_, app| app.policy = Some(Answer::Refuse));
    }
    reconfigure(&mut world, config);
    let stranger = world.spawn(Spawn::numbered(3, params(Config::lan())), Witness::default());
    join(&mut world, stranger, id(0));
    world.run_for(60 * SECOND);
    let mut taken_in = members.iter().filter(|&&member| sees(&world, member, stranger)).count();
    taken_in += members.iter().filter(|&&member| sees(&world, stranger, member)).count();
    let stats = members.iter().filter_map(|&member| world.node(member)).map(rumormill::Node::stats);
    RefusedJoin {
        refused: stats.map(|stats| stats.merges_refused + stats.joins_refused).sum(),
        taken_in: Figure::Count(taken_in as u64),
        waits: world.node(stranger).is_some_and(|node| node.seeds_waiting() > 0),
    }
}
