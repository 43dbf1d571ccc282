//! One replica of the store with its clocks: what a node writes, and what it makes of what others
//! wrote. Pure: the wall clock comes in as a number.

use bytes::Bytes;
use rumormill::Channel;
use thiserror::Error;

use crate::config::Mode;
use crate::hlc::{Clock, FarFuture};
use crate::store::{
    self, Applied, CodecError, Entry, StateReader, Store, StoreError, TooLarge, Version,
};
use crate::thesis::{self, MessageId, Snowflake, ThesisError};

/// The channel of the store's own messages.
pub const CHANNEL: Channel = Channel(1);

/// A write that is ready to be told to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The channel that it goes to.
    pub channel: Channel,
    /// The message.
    pub payload: Bytes,
    /// The id inside a thesis message.
    pub thesis_id: Option<MessageId>,
    key: Bytes,
    entry: Entry,
}

impl Write {
    /// The version that the write has.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.entry.version
    }
}

/// Why a write of this node's own was refused; nothing changed.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The store refuses it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thesis modes carry text only.
    #[error(transparent)]
    Thesis(#[from] ThesisError),
    /// It does not fit one datagram.
    #[error("key and value make {len} bytes, at most {max} fit a datagram: shorten the value")]
    TooLarge {
        /// Bytes of the message.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The node is leaving.
    #[error("the node is leaving the cluster and takes no more writes")]
    Leaving,
}

/// Why a peer's message was not applied; it was counted and nothing changed.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It belongs to another application.
    #[error("channel {} is none of the store's: which application sends on it?", .0.0)]
    UnknownChannel(Channel),
    /// It is no message of the store.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It is no message of the thesis.
    #[error(transparent)]
    Thesis(#[from] ThesisError),
    /// Its time lies too far ahead.
    #[error(transparent)]
    FarFuture(#[from] FarFuture),
    /// The store refuses it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was not applied, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Messages of channels that are none of the store's.
    pub unknown_channel: u64,
    /// Messages that are none of the store's.
    pub malformed: u64,
    /// Writes whose time lies too far ahead: the writer's clock is off.
    pub far_future: u64,
    /// Writes that the store has no room for, or that no store accepts.
    pub by_store: u64,
}

impl Refused {
    const fn count(&mut self, error: &ReadError) {
        match error {
            ReadError::UnknownChannel(_) => self.unknown_channel += 1,
            ReadError::Codec(_) | ReadError::Thesis(_) => self.malformed += 1,
            ReadError::FarFuture(_) => self.far_future += 1,
            ReadError::Store(_) => self.by_store += 1,
        }
    }
}

/// A store, its clocks, and the mode that decides what its messages look like.
#[derive(Debug)]
pub struct Replica {
    mode: Mode,
    origin: Bytes,
    store: Store,
    clock: Clock,
    snowflake: Snowflake,
    refused: Refused,
    is_changed: bool,
}

impl Replica {
    /// An empty replica of the node `name`.
    #[must_use]
    pub fn new(mode: Mode, name: &[u8]) -> Self {
        Self {
            mode,
            origin: Bytes::copy_from_slice(name),
            store: Store::default(),
            clock: Clock::default(),
            snowflake: Snowflake::new(thesis::machine_of(name)),
            refused: Refused::default(),
            is_changed: false,
        }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What was not applied.
    #[must_use]
    pub const fn refused(&self) -> Refused {
        self.refused
    }

    /// Whether anything changed since the last call.
    pub const fn take_changed(&mut self) -> bool {
        core::mem::replace(&mut self.is_changed, false)
    }

    /// Prepares a write or, without a value, a delete. Nothing changes until [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// [`WriteError`] if it cannot be stored or told; `len_max` is what fits a datagram.
    pub fn prepare(
        &mut self,
        wall_ms: u64,
        key: &[u8],
        value: Option<Bytes>,
        len_max: usize,
    ) -> Result<Write, WriteError> {
        let is_thesis = matches!(self.mode, Mode::ThesisClassic | Mode::ThesisMatching);
        let write = if is_thesis {
            self.prepare_thesis(wall_ms, key, value)?
        } else {
            self.prepare_own(wall_ms, key, value)?
        };
        let len = write.payload.len();
        if len > len_max {
            return Err(WriteError::TooLarge { len, max: len_max });
        }
        Ok(write)
    }

    fn prepare_own(
        &mut self,
        wall_ms: u64,
        key: &[u8],
        value: Option<Bytes>,
    ) -> Result<Write, WriteError> {
        let version = Version { at: self.clock.tick(wall_ms), origin: self.origin.clone() };
        let entry = Entry { version, value };
        self.store.foresee(key, &entry)?;
        let payload = store::encode_write(key, &entry);
        let key = Bytes::copy_from_slice(key);
        Ok(Write { channel: CHANNEL, payload, thesis_id: None, key, entry })
    }

    fn prepare_thesis(
        &mut self,
        wall_ms: u64,
        key: &[u8],
        value: Option<Bytes>,
    ) -> Result<Write, WriteError> {
        // The id is the version: it must lie above all that this node has seen.
        let id = self.snowflake.next_id(wall_ms.max(self.clock.last().ms()));
        let payload = thesis::encode(id, key, value.as_deref())?;
        let entry = Entry { version: thesis::version_of(id), value };
        self.store.foresee(key, &entry)?;
        let key = Bytes::copy_from_slice(key);
        Ok(Write { channel: Channel::BARE, payload, thesis_id: Some(id), key, entry })
    }

    /// Stores a prepared write.
    ///
    /// # Errors
    ///
    /// [`WriteError::Store`] if the store has no room for it any more.
    pub fn commit(&mut self, write: Write) -> Result<Version, WriteError> {
        let version = write.entry.version.clone();
        // Two writes prepared in one millisecond of the thesis' clock need the later one to win.
        let _ = self.clock.observe(version.at, version.at.ms());
        self.is_changed |= self.store.apply(write.key, write.entry)? == Applied::Stored;
        Ok(version)
    }

    /// Applies a peer's message. Returns the id inside a thesis message.
    ///
    /// # Errors
    ///
    /// [`ReadError`], counted.
    pub fn receive(
        &mut self,
        wall_ms: u64,
        channel: Channel,
        payload: &[u8],
    ) -> Result<Option<MessageId>, ReadError> {
        let result = match channel {
            CHANNEL => self.receive_own(wall_ms, payload).map(|()| None),
            Channel::BARE => self.receive_thesis(wall_ms, payload).map(Some),
            unknown => Err(ReadError::UnknownChannel(unknown)),
        };
        if let Err(error) = &result {
            self.refused.count(error);
        }
        result
    }

    fn receive_own(&mut self, wall_ms: u64, payload: &[u8]) -> Result<(), ReadError> {
        let (key, entry) = store::decode_write(payload)?;
        self.apply(wall_ms, key, entry)
    }

    fn receive_thesis(&mut self, wall_ms: u64, payload: &[u8]) -> Result<MessageId, ReadError> {
        let message = thesis::decode(payload)?;
        let version = thesis::version_of(message.id);
        for (key, value) in message.writes {
            self.apply(wall_ms, key, Entry { version: version.clone(), value })?;
        }
        Ok(message.id)
    }

    /// Merges a peer's whole state. Returns how many of its entries were refused, each counted.
    ///
    /// # Errors
    ///
    /// [`CodecError`] where the state is malformed; what came before that place is merged, which
    /// does no harm because each entry stands for itself.
    pub fn merge_state(&mut self, wall_ms: u64, state: &[u8]) -> Result<u64, CodecError> {
        let mut refused = 0;
        let malformed = |this: &mut Self, error| {
            this.refused.malformed += 1;
            error
        };
        let entries = StateReader::new(state).map_err(|error| malformed(self, error))?;
        for item in entries {
            let (key, entry) = item.map_err(|error| malformed(self, error))?;
            if let Err(error) = self.apply(wall_ms, key, entry) {
                self.refused.count(&error);
                refused += 1;
            }
        }
        Ok(refused)
    }

    fn apply(&mut self, wall_ms: u64, key: Bytes, entry: Entry) -> Result<(), ReadError> {
        self.clock.observe(entry.version.at, wall_ms)?;
        self.is_changed |= self.store.apply(key, entry)? == Applied::Stored;
        Ok(())
    }

    /// The whole state, for push/pulls; empty when there is nothing.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if it exceeds what a push/pull carries.
    pub fn state(&self) -> Result<Bytes, TooLarge> {
        if self.store.is_empty() && self.store.tombstones() == 0 {
            return Ok(Bytes::new());
        }
        store::encode_state(&self.store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn write(replica: &mut Replica, key: &str, value: Option<&str>) -> Write {
        let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        let write = replica.prepare(NOW, key.as_bytes(), value, 1_400).unwrap();
        replica.commit(write.clone()).unwrap();
        write
    }

    fn get(replica: &Replica, key: &str) -> Option<String> {
        let value = replica.store().get(key.as_bytes())?;
        Some(String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn a_write_reaches_another_replica_in_every_mode_and_a_delete_stays() {
        for mode in Mode::ALL {
            let (mut a, mut b) = (Replica::new(mode, b"a"), Replica::new(mode, b"b"));
            let add = write(&mut a, "k", Some("v"));
            b.receive(NOW, add.channel, &add.payload).unwrap();
            assert_eq!(get(&b, "k").as_deref(), Some("v"), "{mode}");
            let delete = write(&mut b, "k", None);
            a.receive(NOW, delete.channel, &delete.payload).unwrap();
            a.receive(NOW, add.channel, &add.payload).unwrap();
            assert_eq!((get(&a, "k"), get(&b, "k")), (None, None), "{mode}");
            assert_eq!(a.store().digest(), b.store().digest(), "{mode}");
        }
    }

    #[test]
    fn a_later_write_wins_even_when_its_wall_clock_lags() {
        for mode in Mode::ALL {
            let (mut a, mut b) = (Replica::new(mode, b"a"), Replica::new(mode, b"b"));
            let first = write(&mut a, "k", Some("first"));
            b.receive(NOW, first.channel, &first.payload).unwrap();
            let lagging = NOW - 400;
            let second = b.prepare(lagging, b"k", Some(Bytes::from("second")), 1_400).unwrap();
            b.commit(second.clone()).unwrap();
            a.receive(NOW, second.channel, &second.payload).unwrap();
            assert_eq!(get(&a, "k").as_deref(), Some("second"), "{mode}");
            assert_eq!(get(&b, "k").as_deref(), Some("second"), "{mode}");
        }
    }

    #[test]
    fn two_writes_of_one_millisecond_keep_their_order() {
        for mode in Mode::ALL {
            let mut a = Replica::new(mode, b"a");
            for value in ["1", "2", "3"] {
                write(&mut a, "k", Some(value));
                assert_eq!(get(&a, "k").as_deref(), Some(value), "{mode}");
            }
        }
    }

    #[test]
    fn a_state_brings_a_newcomer_up_to_date_tombstones_included() {
        let (mut a, mut b) = (Replica::new(Mode::Classic, b"a"), Replica::new(Mode::Classic, b"b"));
        assert!(a.state().unwrap().is_empty());
        write(&mut a, "stays", Some("v"));
        write(&mut a, "goes", Some("v"));
        write(&mut a, "goes", None);
        assert_eq!(b.merge_state(NOW, &a.state().unwrap()).unwrap(), 0);
        assert_eq!(a.store().digest(), b.store().digest());
        assert!(b.take_changed() && !b.take_changed());
    }

    #[test]
    fn only_a_tombstone_is_a_state_too() {
        let mut a = Replica::new(Mode::Classic, b"a");
        write(&mut a, "k", None);
        assert!(!a.state().unwrap().is_empty());
    }

    #[test]
    fn a_write_from_the_far_future_is_refused_and_the_key_stays_writable() {
        let (mut ahead, mut b) =
            (Replica::new(Mode::Classic, b"ahead"), Replica::new(Mode::Classic, b"b"));
        let ten_years = 10 * 365 * 86_400_000;
        let poison = ahead.prepare(NOW + ten_years, b"k", Some(Bytes::from("x")), 1_400).unwrap();
        assert!(matches!(
            b.receive(NOW, poison.channel, &poison.payload),
            Err(ReadError::FarFuture(_))
        ));
        assert_eq!(b.refused().far_future, 1);
        write(&mut b, "k", Some("mine"));
        assert_eq!(get(&b, "k").as_deref(), Some("mine"));
    }

    #[test]
    fn what_cannot_be_told_is_not_stored() {
        let mut a = Replica::new(Mode::Classic, b"a");
        let long = Some(Bytes::from(vec![b'v'; 2_000]));
        assert!(matches!(a.prepare(NOW, b"k", long, 1_400), Err(WriteError::TooLarge { .. })));
        assert!(matches!(a.prepare(NOW, b"", None, 1_400), Err(WriteError::Store(_))));
        let mut thesis = Replica::new(Mode::ThesisClassic, b"a");
        let binary = Some(Bytes::from_static(b"\xff"));
        assert!(matches!(thesis.prepare(NOW, b"k", binary, 1_400), Err(WriteError::Thesis(_))));
        assert_eq!(a.store().len() + thesis.store().len(), 0);
    }

    #[test]
    fn a_message_of_another_application_is_not_applied() {
        let mut thesis = Replica::new(Mode::ThesisClassic, b"a");
        let add = write(&mut thesis, "k", Some("v"));
        let mut b = Replica::new(Mode::Classic, b"b");
        let refused = b.receive(NOW, Channel(2), &add.payload);
        assert!(matches!(refused, Err(ReadError::UnknownChannel(Channel(2)))));
        assert_eq!((b.refused().unknown_channel, get(&b, "k")), (1, None));
    }

    #[test]
    fn garbage_is_counted_and_changes_nothing() {
        let mut a = Replica::new(Mode::Classic, b"a");
        assert!(a.receive(NOW, CHANNEL, b"garbage").is_err());
        assert!(a.receive(NOW, Channel::BARE, b"garbage").is_err());
        assert!(a.merge_state(NOW, b"{\"k\":\"v\"}").is_err());
        assert_eq!(a.refused().malformed, 3);
        assert!(!a.take_changed());
    }
}
