//! What the HTTP door tells about members, as JSON.

use rumormill::{Instant, Member, Node};
use serde::{Deserialize, Serialize};

/// The answer to `/members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersView {
    /// The node that was asked.
    pub node: String,
    /// Members that are alive or suspect, the node itself included.
    pub live: usize,
    /// The node's local health score; 0 is healthy.
    pub health: u32,
    /// Seeds that have not answered yet.
    pub seeds_waiting: usize,
    /// The number of the last change, to ask `/events` from.
    pub last_change: u64,
    /// All members, dead ones included until they are forgotten, sorted by name.
    pub members: Vec<MemberView>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name, with unprintable bytes escaped.
    pub name: String,
    /// Where it is.
    pub addr: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: String,
    /// How long it has been so, in milliseconds.
    pub since_ms: u64,
    /// Its incarnation.
    pub incarnation: u32,
    /// Lowest, highest and spoken protocol version, then the same of the application's.
    pub versions: [u8; 6],
    /// What gets through to it from the node: `datagrams and streams`, `datagrams only` or `streams only`.
    pub reach: String,
    /// Whether it advertises Rumormill's envelope.
    pub rumormill: bool,
    /// Its meta, with unprintable bytes escaped.
    pub meta: String,
}

impl MembersView {
    pub(crate) fn of(node: &Node, now: Instant, last_change: u64) -> Self {
        let mut members: Vec<MemberView> =
            node.members().map(|member| MemberView::of(&member, now)).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            node: node.local().name.to_string(),
            live: node.live_members(),
            health: node.health(),
            seeds_waiting: node.seeds_waiting(),
            last_change,
            members,
        }
    }
}

impl MemberView {
    fn of(member: &Member<'_>, now: Instant) -> Self {
        let since = now.saturating_since(member.since).as_millis();
        Self {
            name: member.name.to_string(),
            addr: member.addr.to_string(),
            state: member.state.to_string(),
            since_ms: u64::try_from(since).unwrap_or(u64::MAX),
            incarnation: member.incarnation.0,
            versions: *member.versions.as_bytes(),
            reach: member.reach.to_string(),
            rumormill: member.advert.is_some(),
            meta: member.meta.escape_ascii().to_string(),
        }
    }
}
