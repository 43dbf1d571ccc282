//! Every knob, its presets, and the check that turns a [`Config`] into [`Params`].
//!
//! Names, defaults and meanings are memberlist's where it has them (protocol page §5.1), so that
//! operators find what they know. What memberlist switches off with a zero is an [`Option`] here.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::Deref;
use core::time::Duration;

use ipnet::IpNet;
use thiserror::Error;

use crate::epidemic::{Epidemic, Stop};
use crate::wire::control::TREES;
use crate::wire::keyring::Keyring;
use crate::wire::{self, packet};

/// How user broadcasts (rumours) spread. Membership always spreads as memberlist's does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The thesis' baseline: `fanout` random members at each tick, every received copy queued
    /// again with a fresh budget, also a copy of what is known already. Kept so that its tables
    /// can be rerun; not for use.
    ThesisClassic,
    /// The thesis' improvement: `fanout` of the static neighbours at each tick, duplicates
    /// dropped.
    ThesisMatching,
    /// memberlist with duplicates dropped: the fair baseline.
    Classic,
    /// Along the overlay's links, in steps that can be switched one by one: forwarded at once
    /// ([`Config::immediate`]), along trees ([`Config::prune`]), repaired by digests
    /// ([`Config::repair`]), over links that hold when the listed ones fail ([`Config::floor`]).
    /// Duplicates are dropped.
    Matching,
}

impl Mode {
    /// Whether rumours follow the neighbour list rather than random members.
    #[must_use]
    pub const fn follows_links(self) -> bool {
        matches!(self, Self::ThesisMatching | Self::Matching)
    }

    /// Whether rumours travel as the bare user messages of the original experiment.
    #[must_use]
    pub const fn is_thesis(self) -> bool {
        matches!(self, Self::ThesisClassic | Self::ThesisMatching)
    }

    /// Whether a copy of a known rumour is dropped rather than queued again, unless
    /// [`Config::dedup`] says otherwise.
    #[must_use]
    pub const fn drops_duplicates(self) -> bool {
        !matches!(self, Self::ThesisClassic)
    }
}

/// When the periodic actions of a node begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stagger {
    /// After a uniformly random part of the interval: nodes that start together do not act
    /// together.
    Random,
    /// One whole interval after the start, as memberlist's tickers really do: its random pause
    /// runs beside the ticker and does not move it. Thesis runs use it to keep the original's
    /// phases.
    Start,
}

/// Every knob of a node. Start from a preset and change what you need:
///
/// ```
/// use rumormill::{Config, Mode, Params};
///
/// let mut config = Config::lan();
/// config.rumor_mode = Mode::Matching;
/// config.neighbors = vec!["192.0.2.7:7946".parse()?];
/// let params = Params::try_from(config)?;
/// assert_eq!(params.gossip_fanout, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// One probe of one member per interval (SWIM §3.1). Shorter finds failures sooner and costs
    /// two datagrams per probe. `None` probes nobody: this node then detects no failure itself.
    pub probe_interval: Option<Duration>,
    /// How long to wait for a direct ack before asking others; set it to the 99th percentile of
    /// the round trip. Must lie below `probe_interval`.
    pub probe_timeout: Duration,
    /// Whether a member that did not answer in time is also probed over a stream, while others are
    /// asked: it tells a network that loses datagrams from a dead member. memberlist can switch
    /// this off for single members too, for transports that cannot dial them; an address that
    /// nobody can dial is merely no contact, so this node needs no such list.
    pub stream_pings: bool,
    /// Whether each direct ack in time is told as [`Fact::Probed`](crate::Fact::Probed).
    pub probe_events: bool,
    /// How many members to ask for an indirect probe, 0 to 16. Each is one more path around a lossy
    /// link and up to four datagrams more per failed direct probe.
    pub indirect_checks: usize,
    /// Shortest suspicion in probe intervals, times log10 of the cluster size, 1 to 64. More gives
    /// a slow member longer to refute and delays the verdict.
    pub suspicion_mult: u32,
    /// Longest suspicion as a multiple of the shortest, 1 to 64: where it starts, before
    /// independent accusers shorten it (Lifeguard §IV-B).
    pub suspicion_max_mult: u32,
    /// Upper bound, exclusive, of the local health score that stretches the probe interval, 1 to 64
    /// (Lifeguard §IV-A).
    pub awareness_max: u32,

    /// Pause between two gossip ticks. `None` sends news only on probes and push/pulls.
    pub gossip_interval: Option<Duration>,
    /// How many targets a gossip tick sends to, 1 to 64. Load grows with it, delay shrinks with its
    /// logarithm.
    pub gossip_fanout: usize,
    /// Dead members hear gossip, and count as part of the cluster, for this long, so that a member that
    /// was condemned by mistake learns of it.
    pub gossip_to_dead: Duration,
    /// Dead members and those who left are remembered for this long, if that is longer, so that old
    /// news of them revives nobody. A cluster remembers as many as it has live members, at least 32 and
    /// at most 1 024. Zero is memberlist's way: forgotten after `gossip_to_dead`.
    pub remember_dead: Duration,
    /// How often each membership update is sent: this, times log10 of the cluster size, 1 to 64.
    pub retransmit_mult: u32,

    /// Pause between two exchanges of the whole state with a random member; grows with the
    /// cluster. `None` switches anti-entropy off.
    pub push_pull_interval: Option<Duration>,
    /// Pause between two attempts to meet a peer again that was believed dead, or a seed that is no
    /// member; in large clusters a node lets most of its turns pass. It heals partitions. `None`
    /// switches it off.
    pub heal_interval: Option<Duration>,
    /// How long a peer that was believed dead is tried again.
    pub heal_for: Duration,
    /// Longest life of a stream in one direction: connecting, a request, a response.
    pub stream_timeout: Duration,
    /// Pause after the first failed attempt to reach a seed; it doubles with each further one.
    pub join_retry: Duration,
    /// Longest pause between two attempts to reach a seed.
    pub join_retry_max: Duration,

    /// A dead name may come back from another address after this long, and whoever claims it earlier
    /// with a newer incarnation has it then; `None`: when it has been dead for `gossip_to_dead`. A name
    /// that left may when its owner had time to contradict the goodbye, if it did not say it itself:
    /// the shortest suspicion. memberlist's default is `None`.
    pub reclaim_after: Option<Duration>,
    /// Whether the application is asked about every newcomer, returning member and takeover of a
    /// name, as memberlist's alive delegate is: see [`Fact::AskJoin`](crate::Fact::AskJoin). Up to
    /// [`ASKED_JOINS_MAX`](crate::ASKED_JOINS_MAX) wait; others are heard of again.
    pub ask_joins: bool,
    /// Whether the application is asked before a join merges two clusters, on either side, as
    /// memberlist's merge delegate is: see [`Fact::AskMerge`](crate::Fact::AskMerge). A peer that joins
    /// gets our list after the verdict; memberlist sends its own before, so that whoever is refused
    /// there believes that it joined.
    pub ask_merges: bool,
    /// The networks that members may be in, at most [`NETWORKS_MAX`]; `None` allows all. It holds
    /// for alive statements only: for the sender of the datagram and for the address stated. An
    /// IPv4 network covers its mapped addresses too. This node itself is always a member, also
    /// outside of them: ask [`Params::allows`] first.
    pub allowed_networks: Option<Vec<IpNet>>,
    /// The protocol version that this node speaks, 1 to 5. memberlist's default is 2 everywhere.
    pub protocol_version: u8,
    /// The application's protocol as (min, max, current). All members of a cluster must be
    /// compatible; Serf agents need `[2, 5, 4]`.
    pub delegate_version: [u8; 3],
    /// Whether this node says in Serf's words that it leaves, before it says so in memberlist's:
    /// otherwise Serf agents show it as failed. The words are a user message of channel 0, spread as
    /// `rumor_mode` says.
    pub serf_intents: bool,
    /// Whether our tag sits in this node's meta. Without it members of ours treat this node as a
    /// plain memberlist one, which hears channel 0 only.
    pub advertise: bool,
    /// Name of the cluster, at most 255 bytes, on every datagram and stream. Packets with another
    /// label are refused, so that two clusters never merge by mistake. Empty: none.
    pub label: Vec<u8>,
    /// The keys to begin with; none: nothing is encrypted. A running node's keys are changed by
    /// [`Node::keyring_mut`](crate::Node::keyring_mut). With a key, chance must come from the
    /// operating system: a repeated seed repeats nonces, and gives the key away.
    pub keyring: Keyring,
    /// Whether plaintext is refused where there are keys. Off only while a running cluster
    /// changes to encryption: keys everywhere first, then `verify_outgoing`, then this.
    pub verify_incoming: bool,
    /// Whether what is sent is encrypted where there are keys.
    pub verify_outgoing: bool,
    /// Whether datagrams are compressed when that makes them shorter, and streams always. What
    /// others compress is understood anyhow. memberlist's default is on, ours is off: most
    /// datagrams are too short to gain, and compressing costs many times what composing does.
    pub compression: bool,
    /// Largest datagram in bytes of UDP payload, all layers included,
    /// 1 200 to 65 507. Stay below the path's MTU less 48.
    pub packet_size_max: usize,
    /// When periodic actions begin.
    pub stagger: Stagger,

    /// How rumours spread.
    pub rumor_mode: Mode,
    /// How often each rumour is sent by one node: this, times log10 of the number of live members,
    /// 1 to 64.
    pub rumor_retransmit_mult: u32,
    /// Whether rumours ride on pings and acks, as memberlist's do, beside the gossip tick.
    pub rumor_piggyback: bool,
    /// The static links of the matching modes, by advertised address. Addresses of nobody are kept
    /// until somebody has them. At most [`NEIGHBORS_MAX`]. Each link should be listed at both ends.
    pub neighbors: Vec<SocketAddr>,
    /// The modes that gossip at ticks: whether a copy of a known rumour is dropped rather than queued
    /// again with a fresh budget; `None`, as the mode does ([`Mode::drops_duplicates`]). `matching`
    /// always drops it. Kept to tell what a mode gains by its targets from what it gains by this.
    pub dedup: Option<bool>,
    /// `matching`: whether a new rumour is forwarded at once. Otherwise it waits for the tick.
    pub immediate: bool,
    /// `matching`: whether links that brought duplicates carry ids only, so that the others form trees:
    /// one payload per member and rumour, and nothing repeated (Plumtree). A rumour too large for a
    /// datagram is announced along every link and fetched over a stream. Needs `immediate`; all
    /// members of the mode should agree.
    pub prune: bool,
    /// `matching`: how the gossip tick repairs what the links did not bring: with digests of ids, to a
    /// neighbour and to any member. `None` switches it off.
    pub repair: Option<Epidemic>,
    /// `matching`: whether members keep links beside the listed ones that follow from their names
    /// alone, one ring of all, from 1000 members on two, until they are fewer than 800. They carry ids
    /// until the list fails.
    pub floor: bool,
    /// `matching`: how many trees there are, 1 to 64: each origin's rumours take one of them. With
    /// one, all origins share it: it forms sooner, and ways in it are up to twice as long. All members
    /// must agree.
    pub trees: u8,

    /// Most members in the table, dead ones included; a new one beyond it is refused and counted.
    pub members_max: usize,
    /// Bytes of rumours waiting to be sent; beyond it the rumours sent most often are dropped and
    /// counted.
    pub rumor_queue_bytes_max: usize,
    /// How many rumour ids are remembered to recognise duplicates; twice this in memory, 16 bytes
    /// each.
    pub seen_max: usize,
    /// How long a rumour id is remembered at least, unless `seen_max` forgets it earlier.
    pub seen_for: Duration,
    /// Bytes of recent payloads kept for members that ask for them.
    pub payload_cache_bytes_max: usize,
    /// How long a payload is kept at most.
    pub payload_cache_for: Duration,
    /// Events that wait to be polled; beyond it the oldest are dropped and a `Resync` tells so.
    pub events_max: usize,
    /// Streams open at once, both directions; further ones are refused and counted.
    pub streams_max: usize,
    /// Streams open at once from one IP address.
    pub streams_per_peer_max: usize,
    /// Bytes of one incoming stream message.
    pub stream_message_max: usize,
    /// Bytes held for all streams together, what came in part and what waits to be written; a
    /// stream beyond it is ended and counted. Each exchange in progress holds a copy of all
    /// members and of the application's state. Peers may fill seven eighths.
    pub stream_buffers_max: usize,
}

/// Most networks in [`Config::allowed_networks`]: each costs a comparison per alive statement.
pub const NETWORKS_MAX: usize = 256;

/// Most static links of a node. Each forwarded rumour costs one datagram per link at once.
pub const NEIGHBORS_MAX: usize = 64;

impl Config {
    /// memberlist's defaults for a local network.
    #[must_use]
    pub fn lan() -> Self {
        Self {
            probe_interval: Some(Duration::from_secs(1)),
            probe_timeout: Duration::from_millis(500),
            stream_pings: true,
            probe_events: false,
            indirect_checks: 3,
            suspicion_mult: 4,
            suspicion_max_mult: 6,
            awareness_max: 8,
            gossip_interval: Some(Duration::from_millis(200)),
            gossip_fanout: 3,
            gossip_to_dead: Duration::from_secs(30),
            remember_dead: Duration::from_secs(86_400),
            retransmit_mult: 4,
            push_pull_interval: Some(Duration::from_secs(30)),
            heal_interval: Some(Duration::from_secs(30)),
            heal_for: Duration::from_secs(86_400),
            stream_timeout: Duration::from_secs(10),
            join_retry: Duration::from_secs(1),
            join_retry_max: Duration::from_secs(30),
            reclaim_after: Some(Duration::from_secs(5)),
            ask_joins: false,
            ask_merges: false,
            allowed_networks: None,
            protocol_version: 2,
            delegate_version: [0; 3],
            serf_intents: false,
            advertise: true,
            label: Vec::new(),
            keyring: Keyring::new(),
            verify_incoming: true,
            verify_outgoing: true,
            compression: false,
            packet_size_max: 1_400,
            stagger: Stagger::Random,
            rumor_mode: Mode::Classic,
            rumor_retransmit_mult: 4,
            rumor_piggyback: true,
            neighbors: Vec::new(),
            dedup: None,
            immediate: true,
            prune: true,
            repair: Some(Epidemic::DEFAULT),
            floor: true,
            trees: TREES,
            members_max: 65_536,
            rumor_queue_bytes_max: 4 << 20,
            seen_max: 65_536,
            seen_for: Duration::from_secs(120),
            payload_cache_bytes_max: 1 << 20,
            payload_cache_for: Duration::from_secs(30),
            events_max: 4_096,
            streams_max: 128,
            streams_per_peer_max: 32,
            stream_message_max: 32 << 20,
            stream_buffers_max: 64 << 20,
        }
    }

    /// A member of a cluster of Serf agents on a local network: speaks of the versions that they
    /// speak, and leaves in their words. Channel 0 is theirs: state and broadcasts there must be
    /// Serf's own messages.
    #[must_use]
    pub fn serf() -> Self {
        Self { delegate_version: [2, 5, 4], serf_intents: true, ..Self::lan() }
    }

    /// memberlist's defaults for links with delays of 100 ms and more.
    #[must_use]
    pub fn wan() -> Self {
        Self {
            stream_timeout: Duration::from_secs(30),
            suspicion_mult: 6,
            push_pull_interval: Some(Duration::from_secs(60)),
            probe_timeout: Duration::from_secs(3),
            probe_interval: Some(Duration::from_secs(5)),
            gossip_fanout: 4,
            gossip_interval: Some(Duration::from_millis(500)),
            gossip_to_dead: Duration::from_secs(60),
            reclaim_after: Some(Duration::from_secs(30)),
            ..Self::lan()
        }
    }

    /// memberlist's defaults for one host: impatient, few retransmissions.
    #[must_use]
    pub fn local() -> Self {
        Self {
            stream_timeout: Duration::from_secs(1),
            indirect_checks: 1,
            retransmit_mult: 2,
            rumor_retransmit_mult: 2,
            suspicion_mult: 3,
            push_pull_interval: Some(Duration::from_secs(15)),
            probe_timeout: Duration::from_millis(200),
            probe_interval: Some(Duration::from_secs(1)),
            gossip_interval: Some(Duration::from_millis(100)),
            gossip_to_dead: Duration::from_secs(15),
            ..Self::lan()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::lan()
    }
}

/// A rule that a [`Config`] broke, with the value it broke it with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The direct probe must leave time for the indirect one.
    #[error("probe_timeout ({timeout:?}) must be below probe_interval ({interval:?})")]
    ProbeTimeoutNotBelowInterval {
        /// The timeout given.
        timeout: Duration,
        /// The interval given.
        interval: Duration,
    },
    /// A pause or deadline of zero would spin.
    #[error(
        "{knob} must be longer than zero; leave it out to switch it off where that is possible"
    )]
    ZeroDuration {
        /// Which knob.
        knob: &'static str,
    },
    /// A duration so long that sums of it lose their meaning.
    #[error("{knob} ({value:?}) is longer than {}", humantime(*max))]
    TooLong {
        /// Which knob.
        knob: &'static str,
        /// The duration given.
        value: Duration,
        /// The longest allowed.
        max: Duration,
    },
    /// A number outside its range.
    #[error("{knob} is {value}, it must lie between {min} and {max}")]
    OutOfRange {
        /// Which knob.
        knob: &'static str,
        /// The number given.
        value: usize,
        /// Smallest allowed value.
        min: usize,
        /// Largest allowed value.
        max: usize,
    },
    /// The application's current version must lie within its own range.
    #[error("delegate_version [min, max, current] = {0:?} must have min <= current <= max")]
    DelegateVersion([u8; 3]),
    /// What the crate was built without.
    #[error("{knob} needs a program built with the feature `{feature}`")]
    NotBuiltIn {
        /// Which knob.
        knob: &'static str,
        /// Which feature of the crate.
        feature: &'static str,
    },
    /// Trees are made of what is forwarded at once.
    #[error("prune needs immediate: a tree is what forwarding at once leaves")]
    PruneWithoutImmediate,
    /// The first pause must not exceed the longest.
    #[error("join_retry ({first:?}) must not exceed join_retry_max ({max:?})")]
    JoinRetryAboveMax {
        /// The first pause given.
        first: Duration,
        /// The longest pause given.
        max: Duration,
    },
}

fn humantime(duration: Duration) -> impl core::fmt::Display {
    struct Days(u64);
    impl core::fmt::Display for Days {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "{} days", self.0)
        }
    }
    Days(duration.as_secs() / 86_400)
}

/// A [`Config`] whose rules have been checked: proof that a node can run with it.
///
/// Dereferences to the configuration for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params(Config);

impl Params {
    /// Gives the configuration back, to change and check it anew.
    #[must_use]
    pub fn into_config(self) -> Config {
        self.0
    }

    /// Whether a copy of a known rumour is dropped rather than queued again.
    #[must_use]
    pub fn drops_duplicates(&self) -> bool {
        let Config { rumor_mode, dedup, .. } = self.0;
        rumor_mode == Mode::Matching || dedup.unwrap_or(rumor_mode.drops_duplicates())
    }

    /// Whether [`Config::allowed_networks`] lets a member be at this address.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        let Some(networks) = &self.0.allowed_networks else { return true };
        let ip = ip.to_canonical();
        networks.iter().any(|network| network.contains(&ip))
    }

    /// Largest datagram, and so the smallest buffer for [`Node::poll_output`](crate::Node::poll_output),
    /// in bytes.
    #[must_use]
    pub const fn packet_size_max(&self) -> usize {
        self.0.packet_size_max
    }
}

impl Deref for Params {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0
    }
}

impl TryFrom<Config> for Params {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        check_durations(&config)?;
        check_numbers(&config)?;
        let [min, max, current] = config.delegate_version;
        if current < min || current > max {
            return Err(ConfigError::DelegateVersion(config.delegate_version));
        }
        if config.prune && !config.immediate {
            return Err(ConfigError::PruneWithoutImmediate);
        }
        if config.compression && !cfg!(feature = "compression") {
            let (knob, feature) = ("compression", "compression");
            return Err(ConfigError::NotBuiltIn { knob, feature });
        }
        Ok(Self(config))
    }
}

/// Sums of a few of these must stay meaningful.
const DURATION_MAX: Duration = Duration::from_secs(365 * 86_400);

fn check_durations(config: &Config) -> Result<(), ConfigError> {
    let knobs = [
        ("probe_interval", config.probe_interval),
        ("probe_timeout", Some(config.probe_timeout)),
        ("gossip_interval", config.gossip_interval),
        ("push_pull_interval", config.push_pull_interval),
        ("heal_interval", config.heal_interval),
        ("heal_for", Some(config.heal_for)),
        ("remember_dead", Some(config.remember_dead).filter(|keep| !keep.is_zero())),
        ("stream_timeout", Some(config.stream_timeout)),
        ("join_retry", Some(config.join_retry)),
        ("join_retry_max", Some(config.join_retry_max)),
        ("reclaim_after", config.reclaim_after),
        ("seen_for", Some(config.seen_for)),
        ("payload_cache_for", Some(config.payload_cache_for)),
    ];
    for (knob, value) in knobs {
        match value {
            Some(Duration::ZERO) => return Err(ConfigError::ZeroDuration { knob }),
            Some(value) if value > DURATION_MAX => {
                return Err(ConfigError::TooLong { knob, value, max: DURATION_MAX });
            }
            Some(_) | None => {}
        }
    }
    if let Some(interval) = config.probe_interval
        && config.probe_timeout >= interval
    {
        let timeout = config.probe_timeout;
        return Err(ConfigError::ProbeTimeoutNotBelowInterval { timeout, interval });
    }
    if config.join_retry > config.join_retry_max {
        let (first, max) = (config.join_retry, config.join_retry_max);
        return Err(ConfigError::JoinRetryAboveMax { first, max });
    }
    Ok(())
}

fn check_numbers(config: &Config) -> Result<(), ConfigError> {
    const MULT: (usize, usize) = (1, 64);
    let small = |value: u32| value as usize;
    let networks = config.allowed_networks.as_ref().map_or(1, Vec::len);
    let contacts = config.repair.map_or(1, |repair| match repair.stop {
        Stop::Counter(k) | Stop::Coin(k) => k,
    });
    let knobs = [
        ("indirect_checks", config.indirect_checks, (0, 16)),
        ("suspicion_mult", small(config.suspicion_mult), MULT),
        ("suspicion_max_mult", small(config.suspicion_max_mult), MULT),
        ("awareness_max", small(config.awareness_max), MULT),
        ("gossip_fanout", config.gossip_fanout, MULT),
        ("retransmit_mult", small(config.retransmit_mult), MULT),
        ("rumor_retransmit_mult", small(config.rumor_retransmit_mult), MULT),
        ("protocol_version", usize::from(config.protocol_version), wire::PROTOCOL_VERSIONS),
        ("label length", config.label.len(), (0, packet::LABEL_LEN_MAX)),
        ("packet_size_max", config.packet_size_max, packet::PACKET_SIZES),
        ("number of allowed_networks", networks, (1, NETWORKS_MAX)),
        ("trees", config.trees.into(), (1, TREES.into())),
        ("contacts of repair", contacts.into(), (1, 255)),
        ("number of neighbors", config.neighbors.len(), (0, NEIGHBORS_MAX)),
        ("members_max", config.members_max, (2, 1 << 24)),
        ("rumor_queue_bytes_max", config.rumor_queue_bytes_max, (1 << 16, 1 << 30)),
        ("seen_max", config.seen_max, (16, 1 << 24)),
        ("payload_cache_bytes_max", config.payload_cache_bytes_max, (0, 1 << 30)),
        ("events_max", config.events_max, (2, 1 << 20)),
        ("streams_max", config.streams_max, (2, 1 << 16)),
        ("streams_per_peer_max", config.streams_per_peer_max, (1, 1 << 16)),
        ("stream_message_max", config.stream_message_max, (1 << 12, 1 << 30)),
        ("stream_buffers_max", config.stream_buffers_max, (1 << 12, 1 << 30)),
    ];
    for (knob, value, (min, max)) in knobs {
        if value < min || value > max {
            return Err(ConfigError::OutOfRange { knob, value, min, max });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_carry_memberlists_values() {
        for preset in [Config::lan(), Config::wan(), Config::local()] {
            assert!(Params::try_from(preset).is_ok());
        }
        let (lan, wan, local) = (Config::lan(), Config::wan(), Config::local());
        assert_eq!(lan.probe_interval, Some(Duration::from_secs(1)));
        assert_eq!((wan.suspicion_mult, local.suspicion_mult), (6, 3));
        assert_eq!((lan.gossip_fanout, wan.gossip_fanout, local.gossip_fanout), (3, 4, 3));
        assert_eq!((local.retransmit_mult, local.indirect_checks), (2, 1));
    }

    #[test]
    fn a_direct_probe_must_end_before_the_interval() {
        let second = Duration::from_secs(1);
        let mut config = Config::lan();
        config.probe_timeout = second;
        assert_eq!(
            Params::try_from(config.clone()),
            Err(ConfigError::ProbeTimeoutNotBelowInterval { timeout: second, interval: second })
        );
        config.probe_timeout = second - Duration::from_micros(1);
        assert!(Params::try_from(config).is_ok());
    }

    #[test]
    fn numbers_are_held_at_both_ends_of_their_range() {
        for (fanout, valid) in [(0, false), (1, true), (64, true), (65, false)] {
            let mut config = Config::lan();
            config.gossip_fanout = fanout;
            assert_eq!(Params::try_from(config).is_ok(), valid, "fanout {fanout}");
        }
        for (length, valid) in [(255, true), (256, false)] {
            let mut config = Config::lan();
            config.label = alloc::vec![b'x'; length];
            assert_eq!(Params::try_from(config).is_ok(), valid, "label of {length} bytes");
        }
    }

    #[test]
    fn zero_and_endless_durations_are_refused_by_name() {
        let mut config = Config::lan();
        config.gossip_interval = Some(Duration::ZERO);
        let error = Params::try_from(config).unwrap_err();
        assert_eq!(error, ConfigError::ZeroDuration { knob: "gossip_interval" });
        let mut config = Config::lan();
        config.stream_timeout = Duration::MAX;
        assert!(matches!(Params::try_from(config), Err(ConfigError::TooLong { .. })));
    }

    #[test]
    fn protocols_1_to_5_are_spoken_and_2_unless_told_otherwise() {
        for preset in [Config::lan(), Config::wan(), Config::local()] {
            assert_eq!(preset.protocol_version, 2);
        }
        for (protocol_version, valid) in [(0, false), (1, true), (4, true), (5, true), (6, false)] {
            let config = Config { protocol_version, ..Config::lan() };
            assert_eq!(Params::try_from(config).is_ok(), valid, "version {protocol_version}");
        }
    }

    #[test]
    fn networks_allow_what_memberlists_cases_say() {
        let allowed = |networks: Option<&[&str]>, ip: &str| {
            let networks =
                networks.map(|list| list.iter().map(|network| network.parse().unwrap()).collect());
            let config = Config { allowed_networks: networks, ..Config::lan() };
            Params::try_from(config).unwrap().allows(ip.parse().unwrap())
        };
        let v4 = ["127.0.0.1", "127.0.0.5", "10.0.0.9", "172.16.0.7", "192.168.2.1", "8.8.8.8"];
        let v6 = ["::1", "::2", "fe80::38bc:4dff:fe62:b1ae", "fc00::1", "2001:db8::1"];
        for ip in v4 {
            assert!(allowed(None, ip) && allowed(Some(&["0.0.0.0/0"]), ip), "{ip}");
            assert!(!allowed(Some(&["::0/0"]), ip), "{ip}");
        }
        for ip in v6 {
            assert!(allowed(None, ip) && allowed(Some(&["::0/0"]), ip), "{ip}");
            assert!(!allowed(Some(&["0.0.0.0/0"]), ip), "{ip}");
        }
        let loopback = ["::1/128", "127.0.0.0/8"];
        for ip in v4.into_iter().chain(v6) {
            let is_loopback = ip == "::1" || ip.starts_with("127.");
            assert_eq!(allowed(Some(&loopback), ip), is_loopback, "{ip}");
        }
    }
}
