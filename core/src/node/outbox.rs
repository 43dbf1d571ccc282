//! What is to be sent, as intents of a few words: the bytes are composed when they are polled,
//! with whatever news is freshest then.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::identity::{SeqNo, StreamId};
use crate::member::MemberId;
use crate::rumor::Rumor;
use crate::rumor::links::LinkSet;

/// Most datagrams pending between two drains. A runtime drains after each input, so this many
/// means that it does not; the newest are dropped then, as a network would.
pub(crate) const DATAGRAMS_MAX: usize = 4_096;

/// One datagram or stream action to come.
#[derive(Debug)]
pub(crate) enum Intent {
    /// Our own probe.
    Ping { target: MemberId, seq: SeqNo },
    /// A probe for somebody else.
    RelayedPing { target: MemberId, seq: SeqNo },
    /// Ask `relay` to probe `target` for us.
    AskRelay { relay: MemberId, target: MemberId, seq: SeqNo },
    /// Answer a probe; `to` need not be a member. A buried one is told of its death if it paid for it.
    Ack { to: SocketAddr, seq: SeqNo, tells_death: bool },
    /// Pass on the answer to a probe that this node carried out for somebody else.
    RelayedAck { to: SocketAddr, seq: SeqNo },
    /// Tell a requester that the target did not answer.
    Nack { to: SocketAddr, seq: SeqNo },
    /// A gossip tick's datagram.
    Gossip { to: MemberId, load: Load },
    /// A rumour along links.
    Forward { rumor: Arc<Rumor>, to: LinkSet, off_tree: bool },
    /// A rumour to who asked for it.
    Supply { to: MemberId, rumor: Arc<Rumor>, off_tree: bool },
    /// A rumour to the plain members that this node stands in for, from the `next` on, but not back
    /// to its sender.
    Plain { rumor: Arc<Rumor>, except: Option<MemberId>, next: usize },
    /// Ids and wishes of the overlay.
    Control { to: SocketAddr },
    /// A message for one member.
    Direct { to: MemberId, message: Bytes },
    /// Open a stream.
    Connect { stream: StreamId, to: SocketAddr },
    /// Write the next chunk of a stream.
    Write { stream: StreamId },
    /// Close a stream.
    Close { stream: StreamId },
}

impl Intent {
    const fn is_datagram(&self) -> bool {
        !matches!(self, Self::Connect { .. } | Self::Write { .. } | Self::Close { .. })
    }
}

/// Which news a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Membership updates.
    Updates,
    /// Rumours.
    Rumors,
    /// Membership updates first, then rumours.
    Both,
}

/// Intents in order. Stream actions are always taken: each stream has few, and streams are
/// limited in number.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    intents: VecDeque<Intent>,
    datagrams: usize,
}

/// The outbox holds as many datagrams as it may; this one is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Outbox {
    pub(crate) fn push(&mut self, intent: Intent) -> Result<(), Overflow> {
        if intent.is_datagram() {
            if self.datagrams >= DATAGRAMS_MAX {
                return Err(Overflow);
            }
            self.datagrams += 1;
        }
        self.intents.push_back(intent);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<Intent> {
        let intent = self.intents.pop_front()?;
        self.datagrams -= usize::from(intent.is_datagram());
        Some(intent)
    }

    /// Puts back what was popped and has more to send.
    pub(crate) fn unpop(&mut self, intent: Intent) {
        self.datagrams += usize::from(intent.is_datagram());
        self.intents.push_front(intent);
    }

    pub(crate) fn check(&self) {
        let datagrams = self.intents.iter().filter(|intent| intent.is_datagram()).count();
        assert_eq!(datagrams, self.datagrams, "the pending datagrams are counted");
        assert!(datagrams <= DATAGRAMS_MAX, "the outbox stays within its limit");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nack() -> Intent {
        Intent::Nack { to: SocketAddr::from(([10, 0, 0, 1], 1)), seq: SeqNo(1) }
    }

    #[test]
    fn datagrams_are_limited_and_stream_actions_are_not() {
        let mut outbox = Outbox::default();
        for _ in 0..DATAGRAMS_MAX {
            assert_eq!(outbox.push(nack()), Ok(()));
        }
        assert_eq!(outbox.push(nack()), Err(Overflow));
        assert_eq!(outbox.push(Intent::Close { stream: StreamId(1) }), Ok(()));
        outbox.pop();
        outbox.check();
        assert_eq!(outbox.push(nack()), Ok(()));
        outbox.check();
    }
}
