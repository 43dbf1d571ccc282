//! What the members of an overlay tell each other about rumours without sending them: ids, and who
//! sends along which link.
//!
//! Each is an [`Envelope`] of its own kind. After the header of six
//! bytes, whose channel is 0, follow entries of one size to the end of the message:
//!
//! | kind | flags | an entry | size |
//! |---|---|---|---|
//! | 2 IHAVE | 1 = answer, 2 = fetch, 4 = passed | short id, tree, milliseconds that the announcement waited | 10 |
//! | 3 GRAFT | 1 = send it | tree, short id | 9 |
//! | 4 PRUNE | | tree | 1 |
//! | 5 IDONTWANT | | short id | 8 |
//! | 7 DIGEST | 1 = answer, 2 = whole | tree, short id | 9 |
//! | 8 PULL | 1 = later | short id | 8 |
//!
//! A tree is a number below [`TREES`]. PRUNE, GRAFT and IDONTWANT are Plumtree's and gossipsub's
//! (Leitão, Pereira, Rodrigues 2007 §3; gossipsub 1.2), DIGEST and PULL anti-entropy's (Demers et al.
//! 1987 §1.3).

use core::marker::PhantomData;

use super::envelope::Envelope;
use super::{DecodeError, Full, Reader, Sink};

/// How many trees there may be in a cluster; part of our wire.
pub const TREES: u8 = 64;

/// IHAVE: the sender wants to hear whether the recipient has these too.
const ANSWER: u8 = 1;
/// IHAVE: these are sent to those only who ask for them.
const FETCH: u8 = 2;
/// IHAVE: here the payload would have come along the tree, had the recipient not had it before.
const PASSED: u8 = 4;
/// DIGEST: not only what the sender still talks about.
const WHOLE: u8 = 2;
/// GRAFT: the payload is wanted, not only the next ones.
const SEND: u8 = 1;
/// PULL: the sender lacks these, and waits for them to come by themselves.
const LATER: u8 = 1;

/// One message about rumours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// The sender has these rumours.
    IHave {
        /// The recipient shall tell whether it has them.
        answer: bool,
        /// They are sent to those only who ask for them.
        fetch: bool,
        /// Their payloads would come along the tree now, if the recipient were not known to have
        /// them from elsewhere.
        passed: bool,
        /// Which.
        entries: Entries<'a, Announced>,
    },
    /// Send along this link in these trees from now on.
    Graft {
        /// These rumours at once, too.
        send: bool,
        /// The trees, and the rumours that made the sender ask.
        entries: Entries<'a, Branch>,
    },
    /// Send ids alone along this link in these trees from now on.
    Prune {
        /// The trees.
        trees: Entries<'a, u8>,
    },
    /// The sender has these, do not send them.
    IDontWant {
        /// Short ids.
        ids: Entries<'a, u64>,
    },
    /// What the sender has of late.
    Digest {
        /// The recipient shall send its own, too.
        answer: bool,
        /// They are what came of late, also what the sender talks about no more, and so shall the
        /// answer be.
        whole: bool,
        /// Which, with the trees along which they travel.
        entries: Entries<'a, Branch>,
    },
    /// What the sender lacks.
    Pull {
        /// Not to be sent yet: the sender waits for the tree.
        later: bool,
        /// Short ids.
        ids: Entries<'a, u64>,
    },
}

/// A rumour that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Its short id.
    pub id: u64,
    /// The tree along which it travels.
    pub tree: u8,
    /// Milliseconds since its sender had it, saturating.
    pub hold_ms: u8,
}

/// A rumour and its tree: one that did not come along another link, or that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The tree.
    pub tree: u8,
    /// The rumour's short id.
    pub id: u64,
}

/// Something of fixed size that is listed.
pub trait Entry: Sized {
    /// Its size in bytes.
    const LEN: usize;

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes end early or name a tree that cannot be.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Writes one.
    ///
    /// # Errors
    ///
    /// [`Full`].
    fn put<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full>;
}

impl Entry for u64 {
    const LEN: usize = 8;

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u64("short id")
    }

    fn put<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&self.to_be_bytes())
    }
}

impl Entry for u8 {
    const LEN: usize = 1;

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tree = reader.u8("tree")?;
        if tree < TREES { Ok(tree) } else { Err(DecodeError::OutOfRange { what: "tree" }) }
    }

    fn put<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        sink.put(&[*self])
    }
}

impl Entry for Announced {
    const LEN: usize = 10;

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (id, tree) = (u64::read(reader)?, u8::read(reader)?);
        Ok(Self { id, tree, hold_ms: reader.u8("hold time")? })
    }

    fn put<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        self.id.put(sink)?;
        sink.put(&[self.tree, self.hold_ms])
    }
}

impl Entry for Branch {
    const LEN: usize = 9;

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tree = u8::read(reader)?;
        Ok(Self { tree, id: u64::read(reader)? })
    }

    fn put<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), Full> {
        self.tree.put(sink)?;
        self.id.put(sink)
    }
}

/// Entries as they lie in a message; every one of them has been read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries<'a, E> {
    bytes: &'a [u8],
    kind: PhantomData<E>,
}

impl<'a, E: Entry> Entries<'a, E> {
    /// Entries out of bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if one of them is cut off or makes no sense.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            E::read(&mut reader)?;
        }
        Ok(Self { bytes, kind: PhantomData })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / E::LEN
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = E> + use<'a, E> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || E::read(&mut reader).ok())
    }
}

impl<E> Entries<'_, E> {
    /// No entries.
    pub(crate) const fn none() -> Self {
        Self { bytes: &[], kind: PhantomData }
    }
}

/// Writes the bytes of a user message, without memberlist's type byte: the header of `control`, and
/// these entries in place of its own.
pub(crate) fn put<E: Entry, S: Sink + ?Sized>(
    control: &Control<'_>,
    mut entries: impl Iterator<Item = E>,
    sink: &mut S,
) -> Result<(), Full> {
    Envelope::Control(*control).encode(sink)?;
    entries.try_for_each(|entry| entry.put(sink))
}

/// The kinds' numbers in the envelope.
mod kind {
    pub(super) const IHAVE: u8 = 2;
    pub(super) const GRAFT: u8 = 3;
    pub(super) const PRUNE: u8 = 4;
    pub(super) const IDONTWANT: u8 = 5;
    pub(super) const DIGEST: u8 = 7;
    pub(super) const PULL: u8 = 8;
}

impl<'a> Control<'a> {
    /// Reads what follows the header; `None` for a kind that is none of these.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for entries that are cut off or make no sense.
    pub(super) fn decode(kind: u8, flags: u8, rest: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let has = |flag| flags & flag != 0;
        Ok(Some(match kind {
            kind::IHAVE => Self::IHave {
                answer: has(ANSWER),
                fetch: has(FETCH),
                passed: has(PASSED),
                entries: Entries::decode(rest)?,
            },
            kind::GRAFT => Self::Graft { send: has(SEND), entries: Entries::decode(rest)? },
            kind::PRUNE => Self::Prune { trees: Entries::decode(rest)? },
            kind::IDONTWANT => Self::IDontWant { ids: Entries::decode(rest)? },
            kind::DIGEST => Self::Digest {
                answer: has(ANSWER),
                whole: has(WHOLE),
                entries: Entries::decode(rest)?,
            },
            kind::PULL => Self::Pull { later: has(LATER), ids: Entries::decode(rest)? },
            _ => return Ok(None),
        }))
    }

    /// Its number in the envelope, and its flags.
    pub(super) fn kind_and_flags(&self) -> (u8, u8) {
        let flag = |set: bool, flag: u8| u8::from(set) * flag;
        match *self {
            Self::IHave { answer, fetch, passed, .. } => {
                (kind::IHAVE, flag(answer, ANSWER) | flag(fetch, FETCH) | flag(passed, PASSED))
            }
            Self::Graft { send, .. } => (kind::GRAFT, flag(send, SEND)),
            Self::Prune { .. } => (kind::PRUNE, 0),
            Self::IDontWant { .. } => (kind::IDONTWANT, 0),
            Self::Digest { answer, whole, .. } => {
                (kind::DIGEST, flag(answer, ANSWER) | flag(whole, WHOLE))
            }
            Self::Pull { later, .. } => (kind::PULL, flag(later, LATER)),
        }
    }

    /// The bytes of its entries.
    pub(super) fn entries(&self) -> &'a [u8] {
        match self {
            Self::IHave { entries, .. } => entries.bytes,
            Self::Graft { entries, .. } | Self::Digest { entries, .. } => entries.bytes,
            Self::Prune { trees } => trees.bytes,
            Self::IDontWant { ids } | Self::Pull { ids, .. } => ids.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn entries<E: Entry>(bytes: &[u8]) -> Entries<'_, E> {
        Entries::decode(bytes).unwrap()
    }

    #[test]
    fn each_kind_has_these_bytes() {
        let announced = b"\x01\x02\x03\x04\x05\x06\x07\x08\x3f\x14";
        let branch = b"\x07\x00\x00\x00\x00\x00\x00\x00\x09";
        let ids = b"\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff";
        let cases: [(Control<'_>, &[u8], &[u8]); 8] = [
            (
                Control::IHave {
                    answer: true,
                    fetch: false,
                    passed: false,
                    entries: entries(announced),
                },
                b"RM\x12\x01\x00\x00",
                announced,
            ),
            (
                Control::IHave {
                    answer: false,
                    fetch: true,
                    passed: true,
                    entries: entries(announced),
                },
                b"RM\x12\x06\x00\x00",
                announced,
            ),
            (
                Control::Graft { send: true, entries: entries(branch) },
                b"RM\x13\x01\x00\x00",
                branch,
            ),
            (Control::Prune { trees: entries(b"\x00\x3f") }, b"RM\x14\x00\x00\x00", b"\x00\x3f"),
            (Control::IDontWant { ids: entries(ids) }, b"RM\x15\x00\x00\x00", ids),
            (
                Control::Digest { answer: true, whole: false, entries: entries(branch) },
                b"RM\x17\x01\x00\x00",
                branch,
            ),
            (
                Control::Digest { answer: false, whole: true, entries: entries(branch) },
                b"RM\x17\x02\x00\x00",
                branch,
            ),
            (Control::Pull { later: true, ids: entries(b"") }, b"RM\x18\x01\x00\x00", b""),
        ];
        for (control, header, body) in cases {
            let mut bytes = Vec::new();
            Envelope::Control(control).encode(&mut bytes).unwrap();
            assert_eq!(bytes, [header, body].concat(), "{control:?}");
            assert_eq!(Envelope::decode(&bytes), Ok(Some(Envelope::Control(control))));
        }
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let written = [
            Announced { id: 7, tree: 63, hold_ms: 20 },
            Announced { id: u64::MAX, tree: 0, hold_ms: 0 },
        ];
        let mut bytes = Vec::new();
        written.iter().try_for_each(|entry| entry.put(&mut bytes)).unwrap();
        let read = entries::<Announced>(&bytes);
        assert_eq!((read.len(), read.is_empty()), (2, false));
        assert!(read.iter().eq(written));
    }

    #[test]
    fn entries_cut_off_and_trees_beyond_the_last_are_refused() {
        for (kind, len) in [(2, 10), (3, 9), (5, 8), (7, 9), (8, 8)] {
            for cut in 1..len {
                assert!(Control::decode(kind, 0, &[0; 20][..cut]).is_err(), "{kind} {cut}");
            }
        }
        let out_of_range = Err(DecodeError::OutOfRange { what: "tree" });
        assert_eq!(Control::decode(4, 0, &[TREES - 1, TREES]), out_of_range);
        for kind in [3, 7] {
            let branch = [TREES, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(Control::decode(kind, 0, &branch), out_of_range);
        }
    }
}
