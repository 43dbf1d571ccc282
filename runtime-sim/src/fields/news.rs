//! What reaches everybody, and when it is quiet again.

use core::time::Duration;
use std::collections::BTreeMap;

use rumormill::{Channel, Config, Event, Fact, Mode};

use super::cast::{
    MS, SECOND, STATE, Witness, all_see, among, broadcast, cluster, id, join, names, params, part,
    reconfigure, sum, time_until,
};
use super::{Contrast, DEFAULTS, Field, Figure, Verdict};
use crate::chance::{Chance, Part, Ratio};
use crate::world::{App, Ctl, Link, Spawn, World};

const CHANNEL: Channel = Channel(7);
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) const CHURN: Field = Field {
    name: "churn",
    reports: "memberlist #299",
    story: "news of 32 members fill every datagram while users broadcast",
    measure: "deliveries missing after 10 s",
    run: |seed| {
        let (updates, ours) = churn(seed);
        Verdict {
            arose: ("news of members that waited", updates),
            with: DEFAULTS,
            ours,
            bar: Figure::Share(1, 100),
            contrast: Contrast::PeerOnly {
                because: "memberlist fills datagrams with news of members first, ours never does",
            },
        }
    },
};

fn churn(seed: u64) -> (u64, Figure) {
    let (nodes, broadcasts) = (32, 40);
    let mut world: World<Witness> = cluster(seed, nodes, &Config::lan());
    let mut chance = Chance::child(seed, Part::Workload);
    let mut waiting = 0;
    for number in 0..broadcasts {
        renew(&mut world, nodes, number);
        let from = id(chance.index_below(nodes));
        // A channel that members hear who advertise nothing, for lack of room in their meta. And too
        // long for what two pieces of news leave of a datagram.
        broadcast(&mut world, from, Channel::BARE, number, 600);
        world.run_for(250 * MS);
        waiting += updates_waiting(&world);
    }
    for number in broadcasts..broadcasts + 40 {
        renew(&mut world, nodes, number);
        world.run_for(250 * MS);
    }
    let heard = sum(&world, |app| app.heard.len() as u64);
    let due = broadcasts * nodes as u64;
    (waiting, Figure::Share(due - heard, due))
}

/// Every process says something new about itself, and a lot of it.
fn renew(world: &mut World<Witness>, nodes: usize, number: u64) {
    let mut meta = vec![0; 400];
    meta[..8].copy_from_slice(&number.to_be_bytes());
    for process in (0..nodes).map(id).filter(|&id| world.node(id).is_some()).collect::<Vec<_>>() {
        let set = world.act(process, |ctl, _| ctl.act(|node, now| node.set_meta(now, &meta)));
        set.expect("it fits");
    }
}

fn updates_waiting<A: App>(world: &World<A>) -> u64 {
    let nodes = world.ids().filter_map(|id| world.node(id));
    nodes.map(|node| node.updates_waiting() as u64).sum()
}

pub(super) const MISSED: Field = Field {
    name: "missed",
    reports: "ask 45",
    story: "rumours end by themselves, and on a lossy network some node never hears one",
    measure: "deliveries missing a minute later",
    run: |seed| {
        let (lost, ours) = missed(seed, &Config::lan());
        let (_, theirs) = missed(seed, &Config { push_pull_interval: None, ..Config::lan() });
        Verdict {
            arose: ("datagrams lost", lost),
            with: "what was heard rides in push/pulls",
            ours,
            bar: Figure::Count(0),
            contrast: Contrast::Run {
                with: "`push_pull_interval: None`: rumours without anti-entropy",
                figure: theirs,
            },
        }
    },
};

fn missed(seed: u64, config: &Config) -> (u64, Figure) {
    let (nodes, broadcasts) = (32, 200);
    let mut world: World<Witness> = cluster(seed, nodes, &Config::lan());
    reconfigure(&mut world, config);
    for process in world.ids() {
        world.act(process, |_, app| app.tells_state = true);
    }
    world.network_mut().loss = Ratio::percent(25);
    let mut chance = Chance::child(seed, Part::Workload);
    for number in 0..broadcasts {
        let from = id(chance.index_below(nodes));
        broadcast(&mut world, from, CHANNEL, number, 0);
        world.run_for(250 * MS);
    }
    world.run_for(60 * SECOND);
    let heard = sum(&world, |app| app.heard.len() as u64);
    (world.stats().lost, Figure::Count(broadcasts * nodes as u64 - heard))
}

pub(super) const STORM: Field = Field {
    name: "join-storm",
    reports: "ask 47",
    story: "16 nodes join 8 at once, each telling everybody; then 8 die",
    measure: "until nobody has anything left to say",
    run: |seed| {
        let (told, ours) = storm(seed, Mode::Classic);
        let (_, theirs) = storm(seed, Mode::ThesisClassic);
        Verdict {
            arose: ("announcements heard", told),
            with: "`Mode::Classic`",
            ours,
            bar: Figure::Time(Some(30 * SECOND)),
            contrast: Contrast::Run {
                with: "`Mode::ThesisClassic`: what is heard again is told again",
                figure: theirs,
            },
        }
    },
};

fn storm(seed: u64, mode: Mode) -> (u64, Figure) {
    // A queue that never drains must not grow for ever.
    let config = Config { rumor_mode: mode, rumor_queue_bytes_max: 1 << 16, ..Config::lan() };
    let mut world: World<Witness> = cluster(seed, 8, &config);
    for index in 8..24 {
        let process =
            world.spawn(Spawn::numbered(index, params(config.clone())), Witness::default());
        join(&mut world, process, id(index % 8));
    }
    time_until(&mut world, PATIENCE, |world| all_see(world, 24));
    for index in 8..24 {
        broadcast(&mut world, id(index), Channel::BARE, index as u64, 600);
    }
    world.run_for(SECOND);
    for index in 16..24 {
        world.crash(id(index));
    }
    let quiet = time_until(&mut world, PATIENCE, |world| {
        let mut nodes = world.ids().filter_map(|id| world.node(id));
        all_see(world, 16) && nodes.all(|node| node.rumors_waiting() + node.updates_waiting() == 0)
    });
    (sum(&world, |app| app.heard.len() as u64), Figure::Time(quiet))
}

pub(super) const LEAVERS: Field = Field {
    name: "leavers",
    reports: "ask 51",
    story: "32 of 48 nodes leave one after another while news of members fill every datagram",
    measure: "goodbyes not seen as such",
    run: |seed| {
        let (said, ours) = leavers(seed, true);
        let (_, theirs) = leavers(seed, false);
        Verdict {
            arose: ("goodbyes said while news waited", said),
            with: "processes that end at `LeaveDone`",
            ours,
            bar: Figure::Share(1, 100),
            contrast: Contrast::Run {
                with: "processes that end without waiting for `LeaveDone`",
                figure: theirs,
            },
        }
    },
};

fn leavers(seed: u64, waits: bool) -> (u64, Figure) {
    let (nodes, staying) = (48, 16);
    let mut world: World<Witness> = cluster(seed, nodes, &Config::lan());
    let leavers = names(&world, staying..nodes);
    let mut said = 0;
    for index in staying..nodes {
        renew(&mut world, nodes, index as u64);
        let process = id(index);
        world.act(process, |ctl, _| ctl.act(rumormill::Node::leave));
        if waits {
            time_until(&mut world, PATIENCE, |world| {
                world.app(process).is_some_and(|app| app.has_said_goodbye)
            });
        }
        let has_said = world.app(process).is_some_and(|app| app.has_said_goodbye);
        said += u64::from(has_said && updates_waiting(&world) > 0);
        world.crash(process);
    }
    world.run_for(60 * SECOND);
    let seen = sum(&world, |app| among(&app.left, &leavers));
    let due = (leavers.len() * staying) as u64;
    (said, Figure::Share(due - seen.min(due), due))
}

pub(super) const ZOMBIE: Field = Field {
    name: "returning-zombie",
    reports: "ask 14",
    story: "in a small store that this scenario brings along, a value is deleted and its deletion forgotten \
            while one node is cut off; the node comes back with the value",
    measure: "nodes that hold it 2 minutes later",
    run: |seed| {
        let (held, ours) = zombie(seed, true);
        let (_, theirs) = zombie(seed, false);
        Verdict {
            arose: ("nodes that come back with it", held),
            with: "state that tells the floor under which deletions are forgotten",
            ours,
            bar: Figure::Count(0),
            contrast: Contrast::Run {
                with: "state that tells no floor under which deletions are forgotten",
                figure: theirs,
            },
        }
    },
};

/// How long deletions are remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A replicated map, as small as one can be that forgets its deletions: it says up to where.
#[derive(Debug, Default)]
struct Store {
    /// By key: when it was written, in microseconds, and whether it is there.
    entries: BTreeMap<u64, (u64, bool)>,
    /// What is not known and was written up to here has been deleted.
    floor: u64,
    tells_floor: bool,
}

impl Store {
    fn write(&mut self, key: u64, now: u64, is_there: bool) {
        self.entries.insert(key, (now, is_there));
    }

    fn has(&self, key: u64) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.1)
    }

    fn forget_deletions(&mut self, now: u64) {
        let until = now.saturating_sub(u64::try_from(REMEMBERED.as_micros()).unwrap_or(u64::MAX));
        let old = |written: u64, is_there: bool| !is_there && written <= until;
        let newest =
            self.entries.values().filter(|entry| old(entry.0, entry.1)).map(|entry| entry.0);
        self.floor = self.floor.max(newest.max().unwrap_or_default());
        self.entries.retain(|_, entry| !old(entry.0, entry.1));
    }

    fn encode(&self) -> Vec<u8> {
        let floor = if self.tells_floor { self.floor } else { 0 };
        let entries = self.entries.iter();
        let words = entries.flat_map(|(&key, &(at, is_there))| [key, at, u64::from(is_there)]);
        core::iter::once(floor).chain(words).flat_map(u64::to_be_bytes).collect()
    }

    fn merge(&mut self, bytes: &[u8]) {
        let mut words = bytes.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word));
        let Some(their_floor) = words.next() else { return };
        let mut theirs = BTreeMap::new();
        while let (Some(key), Some(at), Some(is_there)) = (words.next(), words.next(), words.next())
        {
            theirs.insert(key, (at, is_there == 1));
        }
        let floor = if self.tells_floor { self.floor } else { 0 };
        // What they lack below their floor was deleted there; what we lack below ours, here.
        self.entries.retain(|key, entry| entry.0 > their_floor || theirs.contains_key(key));
        for (key, entry) in theirs {
            let known = self.entries.get(&key).map(|known| known.0);
            if known.map_or(entry.0 > floor, |known| entry.0 > known) {
                self.entries.insert(key, entry);
            }
        }
        self.floor = self.floor.max(their_floor);
    }
}

impl App for Store {
    fn on_event(&mut self, _: &mut Ctl<'_>, event: Event) {
        if let Fact::PeerState { channel: STATE, bytes, .. } = event.fact {
            self.merge(&bytes);
        }
    }

    fn on_turn(&mut self, ctl: &mut Ctl<'_>) {
        self.forget_deletions(ctl.now().as_micros());
        let state = self.encode();
        ctl.act(|node, _| node.set_channel_state(STATE, state.into()));
    }
}

fn zombie(seed: u64, tells_floor: bool) -> (u64, Figure) {
    const DELETED: u64 = 1;
    const KEPT: u64 = 2;
    let nodes = 6;
    let mut world: World<Store> = cluster(seed, nodes, &Config::lan());
    for process in world.ids() {
        world.act(process, |_, app| app.tells_floor = tells_floor);
    }
    let write = |world: &mut World<Store>, key, is_there| {
        world.act(id(0), |ctl, app| app.write(key, ctl.now().as_micros(), is_there));
    };
    let holders = |world: &World<Store>, key| {
        world.ids().filter_map(|id| world.app(id)).filter(|app| app.has(key)).count() as u64
    };
    write(&mut world, DELETED, true);
    write(&mut world, KEPT, true);
    time_until(&mut world, PATIENCE, |world| holders(world, DELETED) == 6);
    part(&mut world, &[5], &[0, 1, 2, 3, 4], Link::Cut);
    write(&mut world, DELETED, false);
    world.run_for(300 * SECOND);
    let held = holders(&world, DELETED);
    world.open_links();
    world.run_for(120 * SECOND);
    let lost = nodes as u64 - holders(&world, KEPT);
    (held, Figure::Count(holders(&world, DELETED) + lost))
}
