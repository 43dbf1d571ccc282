//! Limits that are so low that they are reached: each is a kind of fault of its own.

use core::fmt;

use rumormill::{Config, Node};

use super::Scenario;
use super::class::Class;

/// Strangers that the volleys of a scenario make up at most, for each member.
const GHOSTS_EACH: usize = 4;
/// Strangers of a volley at most.
const GHOSTS_MAX: usize = 16;
/// Events of a turn at most, where they are few.
const EVENTS_MAX: usize = 14;
/// Less is refused.
const BUFFERS_MIN: usize = 4_096;
/// What a member takes at most in a list of all members; a test measures it.
const MEMBER_BYTES: usize = 160;
/// What else an exchange of state takes, broadcasts included.
const EXCHANGE_BYTES: usize = 2_000;

/// The limits that a seed draws low; `None` is as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Caps {
    members: Option<usize>,
    streams: Option<usize>,
    events: Option<usize>,
    stream_bytes: Option<usize>,
}

impl Caps {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes;
        let are_ghosts = scenario.faults.has(Class::Ghosts) || scenario.faults.has(Class::Replay);
        let ghosts = if are_ghosts { GHOSTS_EACH * nodes.min(GHOSTS_MAX) } else { 0 };
        // All streams together must be able to have at least one exchange, whoever there is, and also
        // those that peers open, which have seven eighths of the room.
        let exchange = ((nodes + ghosts) * MEMBER_BYTES + EXCHANGE_BYTES) * 8 / 7 + 1;
        let drawn = |class: Class, least: usize, more: usize| {
            let mut chance = class.chance(scenario.seed);
            // What `Classes::draw` has used.
            chance.below(1);
            scenario.faults.has(class).then(|| least + chance.index_below(more))
        };
        Self {
            members: drawn(Class::FewMembers, nodes, 3),
            streams: drawn(Class::FewStreams, 3, 6),
            events: drawn(Class::FewEvents, 2, nodes.min(EVENTS_MAX)),
            stream_bytes: drawn(Class::SmallBuffers, exchange.max(BUFFERS_MIN), exchange / 2),
        }
    }

    pub(super) fn apply(self, config: &mut Config) {
        config.members_max = self.members.unwrap_or(config.members_max);
        config.streams_max = self.streams.unwrap_or(config.streams_max);
        config.events_max = self.events.unwrap_or(config.events_max);
        config.stream_buffers_max = self.stream_bytes.unwrap_or(config.stream_buffers_max);
    }
}

/// How often a node has come up against each limit.
pub(super) fn reached(node: &Node) -> [(Class, u64); 4] {
    let stats = node.stats();
    [
        (Class::FewMembers, stats.members_refused),
        (Class::FewStreams, stats.streams_refused),
        (Class::FewEvents, stats.events_dropped),
        (Class::SmallBuffers, stats.stream_buffers_full),
    ]
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("members", self.members),
            ("streams", self.streams),
            ("events", self.events),
            ("stream bytes", self.stream_bytes),
        ];
        let drawn = named.iter().filter_map(|(name, cap)| Some(format!("{name} {}", (*cap)?)));
        let drawn: Vec<String> = drawn.collect();
        f.pad(if drawn.is_empty() { "as usual" } else { "" })?;
        f.pad(&drawn.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rumormill::wire::message::{Alive, NodeState, WireState};
    use rumormill::wire::msgpack::Blob;
    use rumormill::{BootEpoch, Identity, Incarnation, Instant};

    use crate::scenario::listener::tags;
    use crate::scenario::numbered;

    #[test]
    fn a_member_of_a_list_takes_no_more_than_is_reckoned() {
        let spawn = numbered(250);
        let incarnation = Incarnation(u32::MAX - 1);
        let identity = Identity {
            name: spawn.name,
            addr: spawn.addr,
            incarnation,
            boot_epoch: BootEpoch(u32::MAX),
        };
        let mut node = Node::new(Instant::ZERO, identity, spawn.params, [1; 32]);
        node.set_meta(Instant::ZERO, &tags(u64::MAX)).unwrap();
        let local = node.local();
        let port = local.addr.port();
        let alive = Alive {
            incarnation,
            node: local.name.as_bytes().into(),
            addr: [10, 0, 0, 255][..].into(),
            port,
            meta: Blob::nil_if_empty(local.meta),
            vsn: [1, 5, 5, 2, 5, 4][..].into(),
        };
        let mut bytes = Vec::new();
        NodeState { alive, state: WireState::SUSPECT }.encode(&mut bytes).unwrap();
        assert!(bytes.len() <= MEMBER_BYTES, "{} bytes", bytes.len());
    }
}
