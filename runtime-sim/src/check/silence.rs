//! Who said goodbye is told nothing any more: it may answer, but it does not pass on.

use core::net::SocketAddr;

use rumormill::{Cause, MemberState, Node, NodeName};

/// Whom of those who left this node's last datagram was for, if it was gossip to one.
pub(super) fn told_after_goodbye(node: &Node, to: SocketAddr) -> Option<NodeName> {
    if !matches!(node.last_datagram().cause, Cause::Tick | Cause::Forward) {
        return None;
    }
    // Another member may have its address now.
    let mut there = node.members().filter(|member| member.addr == to);
    let one = there.next()?;
    let is_alone = there.next().is_none();
    (is_alone && one.state == MemberState::Left).then(|| one.name.clone())
}
