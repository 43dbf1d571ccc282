//! A whole configuration drawn from a seed, and what must hold in it.
//!
//! A scenario has two phases. In the first one everything goes wrong that the seed draws: links
//! lose, double, reorder, cut and clog, processes crash, stand still, move and lie about the time,
//! strangers forge, and users broadcast. Whatever happens, the rules of [`check`](crate::check) must
//! hold at every step, and every node must keep its own books in order, at which builds with debug
//! assertions and small clusters look. Then everything heals and everybody is up: now all nodes must
//! come to see all nodes, alike, within a bound, and to know the same broadcasts, those among them
//! that start from here; and a goodbye must be seen as what it is.
//!
//! Broadcasts are told as rumours, and what a node has heard rides in its push/pulls, as the state of
//! any application should: rumours alone miss somebody now and then, by design.
//!
//! | file | says |
//! |---|---|
//! | `mod` | what a seed decides |
//! | `class` | the kinds of faults |
//! | `plan` | what happens when |
//! | `holds` | faults that overlap |
//! | `play` | the two phases |
//! | `listener` | the application of every process |
//! | `adversary` | somebody who forges |
//! | `caps` | limits that are reached |

mod adversary;
mod caps;
mod class;
mod holds;
mod listener;
mod plan;
mod play;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;

use rumormill::{Config, Instant, Key, Keyring, Mode, Params, Stagger};
use thiserror::Error;

use crate::chance::{Chance, Part, Ratio};
use crate::check::Breach;
use crate::network::{Latency, Network, PIECE_LEN, Streams};
use crate::trace::{Hash, Tracer};
use crate::world::{Spawn, WorldStats};

use caps::Caps;
pub use class::{Class, Classes, Fired, UnknownClass};

/// Most nodes that a seed draws.
pub const NODES_DRAWN_MAX: usize = 64;
/// Most nodes that may be asked for. Each of them holds a record of each, and sends all of them to
/// another one every second: memory and time grow with the square.
pub const NODES_MAX: usize = 1_000;
/// Most crashes that may be asked for.
pub const CRASHES_MAX: u64 = 1_000;
/// Most broadcasts that may be asked for: whoever has heard them tells all of them in each of its
/// push/pulls.
pub const BROADCASTS_MAX: u64 = 1_000;
/// What users do beside short broadcasts is done less often than this.
const ERRANDS_MAX: u64 = 30;
/// Groups of nodes, if there are any.
const GROUPS: usize = 4;
/// How often a node that is cut off is probed, asked or met before the bound runs out.
const CONTACTS: u32 = 40;
/// How long a name that died stays bound to its address, where addresses change.
const RECLAIM_AFTER: Duration = Duration::from_secs(5);
/// How soon the dead are forgotten where nobody points nodes at the seed, and how often one that is
/// missing is called: the mean pause between calls of a part is a third of it.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
const HEAL_EVERY: Duration = Duration::from_secs(3);

/// What a seed decides, each part of which may be replaced. Prints as `name = value` lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How rumours spread.
    pub mode: Mode,
    /// Links of the matching modes: each node has those at these distances along a ring.
    pub strides: Vec<usize>,
    /// Whether rumours ride on probes.
    pub piggyback: bool,
    /// What links do in the first phase.
    pub network: Network,
    /// How long the first phase lasts.
    pub faults_for: Duration,
    /// How many times a process crashes in it and starts anew.
    pub crashes: u64,
    /// How many broadcasts start in it.
    pub broadcasts: u64,
    /// How often users do something else in it: change what others see of a node, tell something
    /// long, or something that replaces what they told before, or tell it to one node alone.
    pub errands: u64,
    /// What goes wrong in it.
    pub faults: Classes,
    /// What datagrams and streams are wrapped in.
    pub guard: Guard,
    /// Whether operators point all nodes at the seed again once links are healed. If not, whoever
    /// lost the others must find them by itself, long after the dead were forgotten. Where processes
    /// move there are operators: nobody can find those whose addresses nobody knows.
    pub operators: bool,
}

/// What datagrams and streams are wrapped in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// The cluster's label.
    pub label: &'static str,
    /// Whether they are encrypted.
    pub is_encrypted: bool,
    /// Whether they are compressed.
    pub is_compressed: bool,
}

impl Scenario {
    /// The configuration that a seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::child(seed, Part::Scenario);
        // Clusters of a few are cases of their own, and large ones take long.
        let size_max = *chance.pick(&[4, 16, NODES_DRAWN_MAX]);
        let nodes = 2 + chance.index_below(size_max - 1);
        // Not `ThesisClassic`: it queues every duplicate again, so that no rumour of it ever ends.
        let mode = *chance.pick(&[Mode::ThesisMatching, Mode::Classic, Mode::Matching]);
        let strides = match chance.below(3) {
            0 => vec![1],
            1 => vec![1, 2],
            _ => vec![1, 2 + chance.index_below(6), 8 + chance.index_below(8)],
        };
        let piggyback = chance.below(2) == 0;
        let latency = drawn_latency(&mut chance, nodes);
        let jitter = Duration::from_micros(chance.below(20_000));
        let network = Network { latency, jitter, ..Network::default() };
        let faults_for = Duration::from_secs(10 + chance.below(50));
        let crashes = 1 + chance.below(nodes as u64 / 2 + 1);
        let broadcasts = chance.below(30);
        let guard = Guard {
            label: if chance.below(2) == 0 { "" } else { "blue" },
            is_encrypted: chance.below(3) == 0,
            is_compressed: chance.below(4) == 0,
        };
        let faults = Classes::draw(seed);
        let operators = chance.below(2) == 0 || faults.has(Class::Move);
        let errands = chance.below(ERRANDS_MAX);
        Self {
            seed,
            nodes,
            mode,
            strides,
            piggyback,
            network: troubled(network, seed),
            faults_for,
            crashes,
            broadcasts,
            errands,
            faults,
            guard,
            operators,
        }
        .without(Class::ALL.iter().copied().collect::<Classes>().without(faults))
    }

    /// The same configuration without some faults. All others happen as before.
    #[must_use]
    pub fn without(mut self, masked: Classes) -> Self {
        self.faults = self.faults.without(masked);
        let quiet = Network::default();
        let network = &mut self.network;
        for class in masked.iter() {
            match class {
                Class::Loss => network.loss = quiet.loss,
                Class::Duplication => network.duplication = quiet.duplication,
                Class::Reordering => network.reordering = quiet.reordering,
                Class::Corruption => network.corruption = quiet.corruption,
                Class::Split => network.streams.piece_max = quiet.streams.piece_max,
                Class::Reset => network.streams.resets = quiet.streams.resets,
                Class::BlackHole => network.streams.black_holes = quiet.streams.black_holes,
                Class::Crash => self.crashes = 0,
                _ => {}
            }
        }
        self
    }

    /// The same configuration with another number of nodes: as many groups as before, which grow or
    /// shrink.
    #[must_use]
    pub const fn with_nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        if let Latency::Groups { size, .. } = &mut self.network.latency {
            *size = group_size(nodes);
        }
        self
    }

    /// How long after the healing everything must have come together: enough contacts of every
    /// node with others, at memberlist's pace, for a node that everybody believed dead to be heard.
    /// Names that moved and members that never were must first be found dead.
    #[must_use]
    pub fn heals_within(&self) -> Duration {
        let config = self.config(0);
        let exchange = config.push_pull_interval.unwrap_or_default();
        let probe = config.probe_interval.unwrap_or_default();
        let round = self.network.held_back + self.network.jitter + 4 * self.longest_latency();
        let ghosts = self.faults.has(Class::Ghosts) || self.faults.has(Class::Replay);
        let burial = if ghosts || self.are_names_led_astray() {
            // Those for whom there is no room are heard of again when the strangers are forgotten.
            let turns = if self.faults.has(Class::FewMembers) { 2 } else { 1 };
            (self.buries_within(&config) + FORGOTTEN_AFTER) * turns - FORGOTTEN_AFTER
        } else {
            Duration::ZERO
        };
        (exchange + probe + round) * CONTACTS + burial
    }

    /// How long one node alone may believe in an address where nobody is. Its probes come by there
    /// once in a round, and from the first place of one round to the last of the next are two rounds;
    /// then the longest suspicion passes, `mult * log10(nodes) * max_mult` intervals, for nobody
    /// confirms it; then the name is bound for a while. With 45 nodes: 90 s + 48 s + 5 s.
    fn buries_within(&self, config: &Config) -> Duration {
        let probe = config.probe_interval.unwrap_or_default();
        let nodes = u32::try_from(self.nodes).unwrap_or(u32::MAX);
        let suspicion = config.suspicion_mult * config.suspicion_max_mult * (nodes.ilog10() + 1);
        let bound = config.reclaim_after.unwrap_or_default();
        probe * (2 * nodes + suspicion) + bound
    }

    /// Whether a name may come to stand for an address where its owner is not: because it moved, or
    /// somebody said so, or a byte changed.
    fn are_names_led_astray(&self) -> bool {
        self.faults.has(Class::Move) || self.faults.has(Class::Hijack) || self.is_garbling()
    }

    /// Whether links change bytes and not every layer notices: answers to probes have no checksum,
    /// as those of memberlist have none, and carry statements.
    fn is_garbling(&self) -> bool {
        !self.guard.is_encrypted && self.faults.has(Class::Corruption)
    }

    fn longest_latency(&self) -> Duration {
        match self.network.latency {
            Latency::Uniform(delay) => delay,
            Latency::Groups { inside, between, .. } => inside.max(between),
        }
    }

    /// Nodes meet at least once a second, so that a scenario heals while one can watch.
    fn config(&self, index: usize) -> Config {
        let mut config = Config::lan();
        config.rumor_mode = self.mode;
        config.rumor_piggyback = self.piggyback;
        config.push_pull_interval = Some(Duration::from_secs(1));
        config.join_retry_max = Duration::from_secs(2);
        config.stagger = Stagger::Random;
        // Where nothing else is said, the dead are remembered until the end of the scenario. In a small
        // table they must make room.
        let forgets = !self.operators || self.faults.has(Class::FewMembers);
        config.gossip_to_dead = if forgets { FORGOTTEN_AFTER } else { Duration::from_secs(3_600) };
        if !self.operators {
            config.heal_interval = Some(HEAL_EVERY);
        }
        Caps::of(self).apply(&mut config);
        config.neighbors = self.links(index).map(|end| numbered(end).addr).collect();
        // In memberlist a name comes free when the dead are forgotten, which is not so above.
        config.reclaim_after = self.are_names_led_astray().then_some(RECLAIM_AFTER);
        config.label = self.guard.label.into();
        config.compression = self.guard.is_compressed;
        if self.guard.is_encrypted {
            config.keyring = keyring(self.seed);
        }
        config
    }

    /// The ends of a node's links, each once.
    fn links(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let nodes = self.nodes;
        let ends = self.strides.iter().flat_map(|stride| {
            let stride = stride % nodes;
            [(index + stride) % nodes, (index + nodes - stride) % nodes]
        });
        let ends: BTreeSet<usize> = ends.filter(|&end| end != index).collect();
        ends.into_iter()
    }

    /// Runs the scenario: what came of it, or what did not hold, and the tracer back, which has the
    /// hash in either case.
    pub fn run(&self, tracer: Tracer) -> (Result<Outcome, Violation>, Tracer) {
        play::run(self, tracer)
    }
}

/// Links with all that may go wrong with datagrams and streams, as much of it as the seed draws.
fn troubled(network: Network, seed: u64) -> Network {
    let draw = |class: Class| {
        let mut chance = class.chance(seed);
        // What `Classes::draw` has used.
        chance.below(1);
        chance
    };
    let share = |class: Class, least: u32, most: u32| {
        let more = draw(class).below((most - least).into());
        Ratio::per_million(least + u32::try_from(more).unwrap_or_default())
    };
    let percent = 10_000;
    Network {
        loss: share(Class::Loss, percent, 30 * percent),
        duplication: share(Class::Duplication, percent, 10 * percent),
        reordering: share(Class::Reordering, percent, 20 * percent),
        held_back: Duration::from_millis(1 + draw(Class::Reordering).below(400)),
        corruption: share(Class::Corruption, 100, percent),
        streams: Streams {
            piece_max: 1 + draw(Class::Split).index_below(2_000).min(PIECE_LEN - 2),
            resets: share(Class::Reset, percent, 30 * percent),
            black_holes: share(Class::BlackHole, percent, 15 * percent),
        },
        ..network
    }
}

/// The key that all members of a cluster have.
fn keyring(seed: u64) -> Keyring {
    let mut ring = Keyring::new();
    let key = Key::new(&Chance::child(seed, Part::Fault(254)).node_seed());
    let installed = ring.install(key.expect("a seed has the length of a key"));
    debug_assert!(installed.is_ok(), "an empty ring has room");
    ring
}

fn drawn_latency(chance: &mut Chance, nodes: usize) -> Latency {
    let inside = Duration::from_micros(chance.below(30_000));
    match chance.below(2) {
        0 => Latency::Uniform(inside),
        _ => Latency::Groups {
            size: group_size(nodes),
            inside,
            between: inside + Duration::from_micros(chance.below(250_000)),
        },
    }
}

const fn group_size(nodes: usize) -> usize {
    nodes.div_ceil(GROUPS)
}

fn numbered(index: usize) -> Spawn {
    let params = Params::try_from(Config::lan()).expect("a preset is valid");
    Spawn::numbered(index, params)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Network { latency, jitter, loss, duplication, reordering, held_back, .. } =
            &self.network;
        let Streams { piece_max, resets, black_holes } = &self.network.streams;
        let Guard { label, is_encrypted, is_compressed } = &self.guard;
        writeln!(f, "seed        = {}", self.seed)?;
        writeln!(f, "nodes       = {}", self.nodes)?;
        writeln!(f, "mode        = {:?}", self.mode)?;
        writeln!(f, "strides     = {:?}", self.strides)?;
        writeln!(f, "piggyback   = {}", self.piggyback)?;
        writeln!(f, "label       = {label:?}")?;
        writeln!(f, "encryption  = {is_encrypted}")?;
        writeln!(f, "compression = {is_compressed}")?;
        writeln!(f, "latency     = {latency}")?;
        writeln!(f, "jitter      = {jitter:?}")?;
        writeln!(f, "loss        = {loss}")?;
        writeln!(f, "duplication = {duplication}")?;
        writeln!(f, "reordering  = {reordering}, held back {held_back:?}")?;
        writeln!(f, "corruption  = {}", self.network.corruption)?;
        writeln!(f, "pieces      = up to {piece_max} bytes")?;
        writeln!(f, "resets      = {resets}")?;
        writeln!(f, "black holes = {black_holes}")?;
        writeln!(f, "faults      = {}", self.faults)?;
        writeln!(f, "faults for  = {:?}", self.faults_for)?;
        writeln!(f, "crashes     = {}", self.crashes)?;
        writeln!(f, "broadcasts  = {}", self.broadcasts)?;
        writeln!(f, "errands     = {}", self.errands)?;
        writeln!(f, "limits      = {}", Caps::of(self))?;
        writeln!(f, "operators   = {}", self.operators)
    }
}

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// A rule was broken: the cluster did something that it never may do.
    #[error(transparent)]
    Broken(#[from] Breach),
    /// Links are healed, everybody is up, and not all see all.
    #[error("no convergence: {bound:?} after the healing {who}")]
    MembersApart {
        /// The time that was given.
        bound: Duration,
        /// Who sees what.
        who: String,
    },
    /// Links are healed, and not all know the same broadcasts, or not the last one.
    #[error("no convergence: after {bound:?} {reached} of {nodes} nodes know what the first knows")]
    KnowledgeApart {
        /// The time that was given.
        bound: Duration,
        /// How many know what the first one knows, itself included.
        reached: usize,
        /// How many there are.
        nodes: usize,
    },
    /// Not half of all heard something that only gossip could bring.
    #[error("no convergence: by gossip alone, {reached} of {nodes} nodes hear {what} in {bound:?}")]
    GossipSilent {
        /// The time that was given.
        bound: Duration,
        /// What was said.
        what: &'static str,
        /// How many know it, with whoever said it.
        reached: usize,
        /// How many there are.
        nodes: usize,
    },
    /// Not all have heard that somebody said goodbye.
    #[error("no convergence: after {bound:?} {reached} of {nodes} nodes know that {who} left")]
    GoodbyeUnheard {
        /// The time that was given.
        bound: Duration,
        /// Who said goodbye.
        who: String,
        /// How many know it, the leaver excluded.
        reached: usize,
        /// How many should.
        nodes: usize,
    },
}

impl Violation {
    /// What does not hold, without when, where and how much.
    #[must_use]
    pub fn rule(&self) -> String {
        match self {
            Self::Broken(breach) => breach.rule.to_string(),
            Self::MembersApart { .. } => "members apart".to_owned(),
            Self::KnowledgeApart { .. } => "knowledge apart".to_owned(),
            Self::GossipSilent { what, .. } => format!("by gossip alone: {what}"),
            Self::GoodbyeUnheard { .. } => "a goodbye unheard".to_owned(),
        }
    }

    /// Whether something happened that never may, rather than something not that should.
    #[must_use]
    pub const fn is_breach(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The run.
    pub hash: Hash,
    /// Virtual time at the end.
    pub ended_at: Instant,
    /// From the healing until all saw all.
    pub healed_after: Duration,
    /// From the last proof broadcast until all knew the same.
    pub delivered_after: Duration,
    /// How often each kind of fault really happened.
    pub fired: Fired,
    /// What happened in the world.
    pub stats: WorldStats,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorldStats { steps, datagrams, lost, duplicated, crashes, restarts, streams, .. } =
            self.stats;
        let fired = Class::ALL.iter().filter(|&&class| self.fired.times(class) > 0);
        let fired: Vec<_> =
            fired.map(|&class| format!("{class} {}", self.fired.times(class))).collect();
        writeln!(f, "healed after    {:?}", self.healed_after)?;
        writeln!(f, "delivered after {:?}", self.delivered_after)?;
        writeln!(f, "ended at        {:?}", self.ended_at)?;
        writeln!(f, "steps           {steps}")?;
        writeln!(f, "datagrams       {datagrams}, {lost} lost, {duplicated} doubled")?;
        writeln!(f, "streams         {streams}")?;
        writeln!(f, "bytes on wire   {}", self.stats.wire_bytes())?;
        writeln!(f, "crashes         {crashes}, {restarts} started anew")?;
        writeln!(f, "faults          {}", fired.join(", "))?;
        writeln!(f, "hash            {}", self.hash)
    }
}
