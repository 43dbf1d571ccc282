//! Who a node is: name, address, incarnation, boot epoch; and the small numbers of the protocol.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::net::SocketAddr;

use thiserror::Error;

/// Longest node name, in bytes. memberlist sets no limit, Serf 128; one length byte of our
/// envelope must hold it.
pub const NAME_LEN_MAX: usize = 255;

/// A node's name: 1 to 255 arbitrary bytes, unique in its cluster, chosen by the node.
///
/// Names are bytes because Go strings are: turning a foreign name into UTF-8 lossily would change
/// its identity. [`Display`](fmt::Display) escapes what is not printable ASCII.
///
/// Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<[u8]>);

/// A name that no node can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// The empty name; on the wire it means "whoever receives this".
    #[error("a node name must not be empty")]
    Empty,
    /// Longer than [`NAME_LEN_MAX`] bytes.
    #[error("a node name has at most {NAME_LEN_MAX} bytes, this one has {len}")]
    TooLong {
        /// Length of the refused name in bytes.
        len: usize,
    },
}

impl NodeName {
    /// Checks and copies a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] for an empty name and for one of more than [`NAME_LEN_MAX`] bytes.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong { len: name.len() });
        }
        Ok(Self(name.into()))
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for NodeName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for NodeName {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// How often a node has restated that it is alive; a higher value overrides a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u32);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number that ties an ack or nack to its ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SeqNo(pub u32);

/// A value that differs at every start of a process, so that its rumour numbers may begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootEpoch(pub u32);

/// Which protocol of the application a user message is for.
///
/// [`Channel::BARE`] is plain memberlist traffic, which Go peers send and understand. Every other
/// channel travels in Rumormill's envelope and only to peers that advertise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(pub u16);

impl Channel {
    /// Plain memberlist user messages.
    pub const BARE: Self = Self(0);
}

/// A stream that this node opened or accepted; unique for the life of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// A question that this node asked its application; unique for the life of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub(crate) u64);

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}", self.0)
    }
}

/// What makes a node itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Unique, stable, chosen.
    pub name: NodeName,
    /// Where others reach this node: the advertised address, which may differ from the bound one.
    pub addr: SocketAddr,
    /// The first incarnation, at least 1. A value above all that the cluster may remember of an
    /// earlier life of the same name saves a refutation; wall-clock seconds do.
    pub incarnation: Incarnation,
    /// Different at every start.
    pub boot_epoch: BootEpoch,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn a_name_has_1_to_255_bytes() {
        assert_eq!(NodeName::new(""), Err(NameError::Empty));
        assert!(NodeName::new("a").is_ok());
        assert!(NodeName::new(vec![b'x'; 255]).is_ok());
        assert_eq!(NodeName::new(vec![b'x'; 256]), Err(NameError::TooLong { len: 256 }));
    }

    #[test]
    fn a_name_that_is_not_text_is_escaped_for_display() {
        let name = NodeName::new(b"a\x1b[31m\xff").unwrap();
        assert_eq!(name.to_string(), "a\\x1b[31m\\xff");
    }
}
