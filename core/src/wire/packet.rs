//! The layers of a datagram (protocol page §1.2-1.7).
//!
//! ```text
//! packet := [label] [enc] [crc] body
//! label  := f4 | length u8 | bytes
//! enc    := sealed by a key, with the label as additional data; nothing marks it
//! crc    := 0c | CRC-32 of all that follows, u32
//! body   := inner | 09 | {Algo, Buf: inner, compressed}
//! inner  := leaf | 07 | count u8 | count * length u16 | leaf, leaf, ...
//! ```
//!
//! [`Opener`] accepts exactly this grammar: no layer twice, none inside a part.

use alloc::vec::Vec;

use thiserror::Error;

use super::keyring::{Keyring, NONCE_LEN, SEAL_HEADER, SealError, Version};
use super::lzw::{self, LzwError, PACKET_UNPACKED_MAX};
use super::message::{Compress, MessageType};
use super::msgpack::Blob;
use super::{DecodeError, Full, Reader, Sink, SliceWriter, encoded_len};

/// Longest label in bytes: its length is one byte on the wire.
pub const LABEL_LEN_MAX: usize = 255;

/// Smallest and largest budget for a datagram, in bytes of UDP payload. At the smaller end, any
/// membership message still fits beside the longest label; the larger is what UDP over IPv4 holds.
pub const PACKET_SIZES: (usize, usize) = (1_200, 65_507);

/// Most parts of a compound that we send. The format holds 255, but memberlist up to 0.2.3
/// mis-slices 128 and more (protocol page §1.6).
pub const PARTS_MAX: usize = 127;

/// What a part costs beside its own bytes.
pub const PART_OVERHEAD: usize = 2;

/// What the checksum layer costs.
pub const CRC_OVERHEAD: usize = 5;

/// What the compound layer costs beside its parts: type and count.
pub const COMPOUND_OVERHEAD: usize = 2;

/// What the label layer costs beside the label: type and length.
const LABEL_OVERHEAD: usize = 2;

/// What a label costs on every datagram, in bytes; nothing if it is empty.
#[must_use]
pub const fn label_overhead(label: &[u8]) -> usize {
    if label.is_empty() { 0 } else { LABEL_OVERHEAD + label.len() }
}

/// Largest membership message: an alive message with the longest name and meta, a 16-byte address
/// and all integers at their longest.
const MEMBERSHIP_MESSAGE_MAX: usize = 880;
const LAYERS_MAX: usize =
    LABEL_OVERHEAD + LABEL_LEN_MAX + Version::Padded.overhead() + CRC_OVERHEAD + COMPOUND_OVERHEAD;
const _: () = assert!(MEMBERSHIP_MESSAGE_MAX + LAYERS_MAX <= PACKET_SIZES.0);

/// Why a datagram was refused as a whole. Its sender is to blame, and nothing of it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// No bytes at all, or none after a layer.
    #[error("the packet has no message")]
    Empty,
    /// The label header is cut off or has length 0.
    #[error("the label header is malformed")]
    MalformedLabel,
    /// The label is not this cluster's: a member of another one, or a missing label.
    #[error("the packet carries another cluster's label")]
    LabelMismatch,
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The compound header claims more lengths than there are bytes.
    #[error("the compound header is cut off")]
    TruncatedCompound,
    /// This node has keys, and the datagram opens with none of them.
    #[error("the packet could not be decrypted: {0}")]
    Sealed(#[from] SealError),
    /// It could not be decompressed.
    #[error("the packet could not be decompressed: {0}")]
    Compressed(#[from] LzwError),
    /// The only message in the datagram could not be decoded.
    #[error("the message could not be decoded: {0}")]
    Message(#[from] DecodeError),
}

/// The messages of one datagram, without their layers: an iterator over byte strings that each
/// begin with a type byte.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    lengths: &'a [u8],
    bodies: &'a [u8],
    compound: bool,
    cut_off: usize,
}

impl Parts<'_> {
    /// Whether the datagram is a compound; if not, it holds one message.
    #[must_use]
    pub const fn is_compound(&self) -> bool {
        self.compound
    }

    /// How many parts were announced but cut off; known once the iterator has ended.
    #[must_use]
    pub const fn cut_off(&self) -> usize {
        self.cut_off
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if !self.compound {
            return (!self.bodies.is_empty()).then(|| core::mem::take(&mut self.bodies));
        }
        let (length, rest) = self.lengths.split_first_chunk::<2>()?;
        let Some((part, bodies)) =
            self.bodies.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        else {
            self.cut_off = self.lengths.len() / 2;
            self.lengths = &[];
            return None;
        };
        (self.lengths, self.bodies) = (rest, bodies);
        Some(part)
    }
}

/// What a node demands of what it receives.
#[derive(Clone, Copy, Debug)]
pub struct Protection<'a> {
    /// The cluster's name; empty for none.
    pub label: &'a [u8],
    /// The keys; without any, nothing is encrypted.
    pub keyring: &'a Keyring,
    /// Whether plaintext is refused where there are keys.
    pub verify_incoming: bool,
}

impl<'a> Protection<'a> {
    /// A cluster that does not encrypt.
    #[must_use]
    pub const fn label(label: &'a [u8]) -> Self {
        static NO_KEYS: Keyring = Keyring::new();
        Self { label, keyring: &NO_KEYS, verify_incoming: true }
    }
}

/// Takes the layers off datagrams. It keeps its buffers, so that one opener for all datagrams
/// allocates nothing for most of them.
///
/// ```
/// use rumormill::wire::packet::{Opener, Protection};
///
/// let mut opener = Opener::default();
/// let mut parts = opener.open(b"\xf4\x04blue\x08hello", Protection::label(b"blue"))?;
/// assert_eq!(parts.next(), Some(&b"\x08hello"[..]));
/// # Ok::<(), rumormill::PacketError>(())
/// ```
#[derive(Debug, Default)]
pub struct Opener {
    decrypted: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Opener {
    /// Takes the outer layers off a datagram.
    ///
    /// # Errors
    ///
    /// [`PacketError`] if a layer is malformed or not for this cluster.
    pub fn open<'a>(
        &'a mut self,
        packet: &'a [u8],
        protection: Protection<'_>,
    ) -> Result<Parts<'a>, PacketError> {
        let (label, rest) = split_label(packet)?;
        if label != protection.label {
            return Err(PacketError::LabelMismatch);
        }
        let body = check_crc(decrypt(rest, protection, &mut self.decrypted)?)?;
        open_inner(unpack(body, &mut self.unpacked)?)
    }
}

/// Takes the outer layers off a datagram that is neither encrypted nor compressed, without any
/// buffer. A compressed message is left as it is, one part of its type.
///
/// # Errors
///
/// [`PacketError`] if a layer is malformed or not for this cluster.
pub fn open<'a>(packet: &'a [u8], label: &[u8]) -> Result<Parts<'a>, PacketError> {
    let (found, rest) = split_label(packet)?;
    if found != label {
        return Err(PacketError::LabelMismatch);
    }
    open_inner(check_crc(rest)?)
}

/// A packet is encrypted by agreement alone: nothing in it says so.
fn decrypt<'a>(
    bytes: &'a [u8],
    protection: Protection<'_>,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], PacketError> {
    if protection.keyring.is_empty() {
        return Ok(bytes);
    }
    buffer.clear();
    buffer.extend_from_slice(bytes);
    match protection.keyring.open(protection.label, buffer) {
        Ok(text) => Ok(text),
        Err(_) if !protection.verify_incoming => Ok(bytes),
        Err(error) => Err(error.into()),
    }
}

const COMPRESS: u8 = MessageType::COMPRESS.0;

fn unpack<'a>(body: &'a [u8], buffer: &'a mut Vec<u8>) -> Result<&'a [u8], PacketError> {
    let Some((&COMPRESS, rest)) = body.split_first() else { return Ok(body) };
    let Compress { algorithm, buf } = Compress::decode(&mut Reader::new(rest))?;
    lzw::decompress(algorithm, &buf, PACKET_UNPACKED_MAX, buffer)?;
    match buffer.first() {
        Some(&COMPRESS) => Err(DecodeError::UnexpectedType(COMPRESS).into()),
        _ => Ok(buffer),
    }
}

/// Splits a datagram into its label, empty if it has none, and the rest.
///
/// # Errors
///
/// [`PacketError::MalformedLabel`].
pub fn split_label(packet: &[u8]) -> Result<(&[u8], &[u8]), PacketError> {
    if packet.first() != Some(&MessageType::HAS_LABEL.0) {
        return Ok((&[], packet));
    }
    let len = *packet.get(1).ok_or(PacketError::MalformedLabel)?;
    let (label, rest) =
        packet[2..].split_at_checked(usize::from(len)).ok_or(PacketError::MalformedLabel)?;
    if label.is_empty() { Err(PacketError::MalformedLabel) } else { Ok((label, rest)) }
}

fn check_crc(bytes: &[u8]) -> Result<&[u8], PacketError> {
    if bytes.first() != Some(&MessageType::HAS_CRC.0) {
        return Ok(bytes);
    }
    let (header, body) = bytes.split_first_chunk::<CRC_OVERHEAD>().ok_or(PacketError::Checksum)?;
    if header[1..] != crc32fast::hash(body).to_be_bytes() {
        return Err(PacketError::Checksum);
    }
    Ok(body)
}

fn open_inner(inner: &[u8]) -> Result<Parts<'_>, PacketError> {
    let Some((&kind, rest)) = inner.split_first() else {
        return Err(PacketError::Empty);
    };
    match MessageType(kind) {
        MessageType::COMPOUND => {
            let mut reader = Reader::new(rest);
            let count = reader.u8("count").map_err(|_| PacketError::TruncatedCompound)?;
            let lengths = reader
                .take(2 * usize::from(count), "lengths")
                .map_err(|_| PacketError::TruncatedCompound)?;
            Ok(Parts { lengths, bodies: reader.rest(), compound: true, cut_off: 0 })
        }
        MessageType(_) => Ok(Parts { lengths: &[], bodies: inner, compound: false, cut_off: 0 }),
    }
}

/// Whether the datagram carries a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It does: the recipient is known to understand it.
    Present,
    /// It does not.
    Absent,
}

/// Composes a datagram in the caller's buffer: parts one by one, then the headers around them.
///
/// ```
/// use rumormill::wire::packet::{Checksum, Opener, PacketWriter, Protection};
/// use rumormill::wire::Sink;
///
/// let mut buf = [0; 1400];
/// let mut writer = PacketWriter::new(&mut buf, b"blue", Checksum::Present);
/// writer.part(|out| out.put(b"\x08hello"))?;
/// writer.part(|out| out.put(b"\x08world"))?;
/// let len = writer.finish();
/// let mut opener = Opener::default();
/// let parts: Vec<&[u8]> = opener.open(&buf[..len], Protection::label(b"blue"))?.collect();
/// assert_eq!(parts, [b"\x08hello", b"\x08world"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PacketWriter<'a> {
    out: SliceWriter<'a>,
    limit: usize,
    /// Where the sealed layer begins, and its form.
    sealed: Option<(usize, Version)>,
    body: usize,
    checksum: Checksum,
    lengths: [u16; PARTS_MAX],
    parts: usize,
}

/// What happens to a datagram when its parts are written.
#[derive(Debug, Default)]
pub struct Finish<'a> {
    /// Compress it if that makes it shorter; the buffer is for the compressed bytes.
    pub compress: Option<&'a mut Vec<u8>>,
    /// Encrypt it with the ring's primary key and a nonce that this key has never seen: for
    /// a writer made by [`PacketWriter::sealed`].
    pub seal: Option<(&'a Keyring, [u8; NONCE_LEN])>,
}

impl<'a> PacketWriter<'a> {
    /// Starts a datagram of at most `buf.len()` bytes.
    ///
    /// # Panics
    ///
    /// If `label` is longer than [`LABEL_LEN_MAX`] or the headers leave no room in `buf`.
    #[must_use]
    pub fn new(buf: &'a mut [u8], label: &[u8], checksum: Checksum) -> Self {
        Self::with_layers(buf, label, None, checksum)
    }

    /// Starts a datagram of at most `buf.len()` bytes that will be encrypted.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[must_use]
    pub fn sealed(buf: &'a mut [u8], label: &[u8], version: Version, checksum: Checksum) -> Self {
        Self::with_layers(buf, label, Some(version), checksum)
    }

    fn with_layers(
        buf: &'a mut [u8],
        label: &[u8],
        version: Option<Version>,
        checksum: Checksum,
    ) -> Self {
        // What sealing adds behind the text.
        let behind = version.map_or(0, |version| version.overhead() - SEAL_HEADER);
        let limit = buf.len().saturating_sub(behind);
        let mut out = SliceWriter::new(buf);
        let headers = put_label(&mut out, label);
        let sealed = version.map(|version| (out.len(), version));
        let headers = headers
            .and_then(|()| if sealed.is_some() { out.put(&[0; SEAL_HEADER]) } else { Ok(()) })
            .and_then(|()| put_crc_header(&mut out, checksum));
        assert!(headers.is_ok() && out.len() <= limit, "a packet buffer holds all headers");
        let body = out.len();
        Self { out, limit, sealed, body, checksum, lengths: [0; PARTS_MAX], parts: 0 }
    }

    /// How many bytes further parts may take together, each with [`PART_OVERHEAD`].
    #[must_use]
    pub fn budget(&self) -> usize {
        if self.parts == PARTS_MAX {
            return 0;
        }
        self.limit
            .saturating_sub(self.out.len())
            .saturating_sub(COMPOUND_OVERHEAD + PART_OVERHEAD * self.parts)
    }

    /// How many parts have been written.
    #[must_use]
    pub const fn parts(&self) -> usize {
        self.parts
    }

    /// Writes a part; `encode` starts with its type byte.
    ///
    /// # Errors
    ///
    /// [`Full`] if the datagram has no room for it; it is then as it was before.
    pub fn part(
        &mut self,
        encode: impl FnOnce(&mut SliceWriter<'a>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let mark = self.out.len();
        let room = if self.parts == 0 { self.limit.saturating_sub(mark) } else { self.budget() };
        let overhead = if self.parts == 0 { 0 } else { PART_OVERHEAD };
        let result = encode(&mut self.out);
        let len = self.out.len() - mark;
        debug_assert!(result.is_err() || len > 0, "an empty part crashes old peers");
        match (result, u16::try_from(len)) {
            (Ok(()), Ok(short)) if len + overhead <= room && self.parts < PARTS_MAX => {
                self.lengths[self.parts] = short;
                self.parts += 1;
                Ok(())
            }
            _ => {
                self.out.truncate(mark);
                Err(Full)
            }
        }
    }

    /// Puts the headers around the parts and returns the datagram's length; 0 without parts.
    #[must_use]
    pub fn finish(self) -> usize {
        self.finish_with(Finish::default())
    }

    /// As [`finish`](Self::finish), and puts the layers around them that need means from
    /// outside.
    ///
    /// # Panics
    ///
    /// If the writer was made by [`sealed`](Self::sealed) and there is no key to seal with: what
    /// was meant to be secret must not be sent as it is.
    #[must_use]
    pub fn finish_with(mut self, finish: Finish<'_>) -> usize {
        if self.parts == 0 {
            return 0;
        }
        if self.parts > 1 {
            self.write_compound_header();
        }
        if let Some(buffer) = finish.compress {
            self.compress(buffer);
        }
        if self.checksum == Checksum::Present {
            let written = self.out.written_mut();
            let crc = crc32fast::hash(&written[self.body..]).to_be_bytes();
            written[self.body - 4..self.body].copy_from_slice(&crc);
        }
        match self.sealed {
            None => self.out.len(),
            Some((start, version)) => {
                let (keyring, nonce) = finish.seal.expect("a sealed datagram needs a key");
                self.seal(start, version, keyring, nonce)
            }
        }
    }

    fn compress(&mut self, buffer: &mut Vec<u8>) {
        lzw::compress(&self.out.written()[self.body..], buffer);
        let message = Compress { algorithm: lzw::ALGORITHM, buf: Blob::Borrowed(buffer) };
        let compressed_len = encoded_len(|out| message.encode(out));
        if buffer.is_empty() || self.body + compressed_len >= self.out.len() {
            return;
        }
        self.out.truncate(self.body);
        let written = message.encode(&mut self.out);
        debug_assert!(written.is_ok(), "what is shorter fits");
    }

    fn seal(
        self,
        start: usize,
        version: Version,
        keyring: &Keyring,
        nonce: [u8; NONCE_LEN],
    ) -> usize {
        let len = self.out.len() - start - SEAL_HEADER;
        let (label, sealed) = self.out.into_inner().split_at_mut(start);
        // The label's own header is not part of what is authenticated.
        let label = label.get(LABEL_OVERHEAD..).unwrap_or_default();
        let sealed = keyring.seal(version, nonce, label, sealed, len);
        start + sealed.expect("a ring that seals has a key, and the writer kept room")
    }

    fn write_compound_header(&mut self) {
        let lengths = &self.lengths[..self.parts];
        let gap = self.out.insert_gap(self.body, COMPOUND_OVERHEAD + PART_OVERHEAD * self.parts);
        assert!(gap.is_ok(), "part() keeps room for the compound header");
        let header = &mut self.out.written_mut()[self.body..];
        header[0] = MessageType::COMPOUND.0;
        header[1] = u8::try_from(lengths.len()).unwrap_or(u8::MAX);
        for (slot, length) in header[COMPOUND_OVERHEAD..].chunks_exact_mut(2).zip(lengths) {
            slot.copy_from_slice(&length.to_be_bytes());
        }
    }
}

fn put_crc_header(out: &mut SliceWriter<'_>, checksum: Checksum) -> Result<(), Full> {
    match checksum {
        Checksum::Present => out.put(&[MessageType::HAS_CRC.0, 0, 0, 0, 0]),
        Checksum::Absent => Ok(()),
    }
}

/// Writes a label header; nothing for the empty label.
///
/// # Errors
///
/// [`Full`], also for a label longer than [`LABEL_LEN_MAX`].
pub fn put_label<S: Sink + ?Sized>(sink: &mut S, label: &[u8]) -> Result<(), Full> {
    if label.is_empty() {
        return Ok(());
    }
    let len = u8::try_from(label.len()).map_err(|_| Full)?;
    sink.put(&[MessageType::HAS_LABEL.0, len])?;
    sink.put(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn parts(packet: &[u8]) -> Vec<&[u8]> {
        open(packet, b"").unwrap().collect()
    }

    #[test]
    fn a_label_is_checked_byte_for_byte() {
        let labelled = b"\xf4\x03foo\x08hi";
        assert_eq!(open(labelled, b"foo").unwrap().collect::<Vec<_>>(), [b"\x08hi"]);
        assert_eq!(open(labelled, b"bar").unwrap_err(), PacketError::LabelMismatch);
        assert_eq!(open(labelled, b"").unwrap_err(), PacketError::LabelMismatch);
        assert_eq!(open(b"\x08hi", b"foo").unwrap_err(), PacketError::LabelMismatch);
    }

    #[test]
    fn a_label_cut_off_or_empty_is_malformed() {
        for packet in [&b"\xf4"[..], b"\xf4\x03", b"\xf4\x03fo", b"\xf4\x00\x08hi"] {
            assert_eq!(open(packet, b"foo").unwrap_err(), PacketError::MalformedLabel);
        }
        assert_eq!(open(b"", b"").unwrap_err(), PacketError::Empty);
        assert_eq!(open(b"\xf4\x03foo", b"foo").unwrap_err(), PacketError::Empty);
    }

    #[test]
    fn a_wrong_or_short_checksum_refuses_the_packet() {
        let crc = crc32fast::hash(b"\x08hi").to_be_bytes();
        let mut packet = vec![0x0c];
        packet.extend_from_slice(&crc);
        packet.extend_from_slice(b"\x08hi");
        assert_eq!(parts(&packet), [b"\x08hi"]);
        for at in 1..packet.len() {
            let mut broken = packet.clone();
            broken[at] ^= 1;
            assert_eq!(open(&broken, b"").unwrap_err(), PacketError::Checksum);
        }
        assert_eq!(open(&packet[..4], b"").unwrap_err(), PacketError::Checksum);
    }

    #[test]
    fn a_compound_without_its_lengths_is_refused() {
        assert_eq!(open(&[7], b"").unwrap_err(), PacketError::TruncatedCompound);
        assert_eq!(open(&[7, 0x80], b"").unwrap_err(), PacketError::TruncatedCompound);
        assert_eq!(open(&[7, 2, 0, 1, 0], b"").unwrap_err(), PacketError::TruncatedCompound);
    }

    #[test]
    fn parts_before_a_cut_are_kept_and_the_rest_is_counted() {
        let mut iterator = open(&[7, 3, 0, 1, 0, 2, 0, 1, 8, 8, 8], b"").unwrap();
        assert_eq!(iterator.by_ref().collect::<Vec<_>>(), [&[8][..], &[8, 8]]);
        assert_eq!(iterator.cut_off(), 1);
    }

    #[test]
    fn bytes_after_the_last_part_are_ignored() {
        assert_eq!(parts(&[7, 1, 0, 1, 8, 9, 9]), [&[8]]);
    }

    fn written(parts: &[&[u8]], compress: bool, key: Option<(&Keyring, Version)>) -> Vec<u8> {
        let mut buf = vec![0; 1_400];
        let checksum = Checksum::Present;
        let mut writer = match key {
            Some((_, version)) => PacketWriter::sealed(&mut buf, b"blue", version, checksum),
            None => PacketWriter::new(&mut buf, b"blue", checksum),
        };
        for part in parts {
            writer.part(|out| out.put(part)).unwrap();
        }
        let mut buffer = Vec::new();
        let len = writer.finish_with(Finish {
            compress: compress.then_some(&mut buffer),
            seal: key.map(|(keyring, _)| (keyring, [3; NONCE_LEN])),
        });
        buf.truncate(len);
        buf
    }

    fn reopened(packet: &[u8], protection: Protection<'_>) -> Result<Vec<Vec<u8>>, PacketError> {
        let mut opener = Opener::default();
        let parts = opener.open(packet, protection)?;
        Ok(parts.map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn a_datagram_is_compressed_only_if_that_makes_it_shorter() {
        let protection = Protection::label(b"blue");
        let (short, long) = ([&b"\x08a"[..], b"\x08b"], [&[8; 100][..], &[8; 90]]);
        assert_eq!(written(&short, true, None), written(&short, false, None));
        let packet = written(&long, true, None);
        assert!(packet.len() < 80, "{} bytes", packet.len());
        assert_eq!(reopened(&packet, protection).unwrap(), long);
    }

    #[test]
    fn compression_is_one_layer_and_its_output_is_bounded() {
        let wrapped = |inner: &[u8]| {
            let mut packed = Vec::new();
            lzw::compress(inner, &mut packed);
            let mut packet = Vec::new();
            let message = Compress { algorithm: 0, buf: Blob::Borrowed(&packed) };
            message.encode(&mut packet).unwrap();
            packet
        };
        let open = |packet: &[u8]| reopened(packet, Protection::label(b""));
        let once = wrapped(b"\x08hello");
        assert_eq!(open(&once).unwrap(), [b"\x08hello"]);
        let twice = PacketError::Message(DecodeError::UnexpectedType(9));
        assert_eq!(open(&wrapped(&once)), Err(twice));
        assert_eq!(open(&wrapped(b"")), Err(PacketError::Empty));
        let mut bomb = vec![8; PACKET_UNPACKED_MAX];
        assert_eq!(open(&wrapped(&bomb)).unwrap().len(), 1);
        bomb.push(8);
        let max = PACKET_UNPACKED_MAX;
        assert_eq!(open(&wrapped(&bomb)), Err(PacketError::Compressed(LzwError::TooLarge { max })));
    }

    #[test]
    fn the_layers_lie_in_each_other_and_open_with_the_key() {
        let mut keyring = Keyring::new();
        keyring.install(crate::Key::new(&[1; 32]).unwrap()).unwrap();
        let protection = Protection { keyring: &keyring, ..Protection::label(b"blue") };
        let parts = [&[8; 100][..], b"\x08hi"];
        for version in [Version::Plain, Version::Padded] {
            for compress in [false, true] {
                let packet = written(&parts, compress, Some((&keyring, version)));
                assert!(packet.starts_with(b"\xf4\x04blue"));
                assert_eq!(packet[6], version as u8);
                assert_eq!(reopened(&packet, protection).unwrap(), parts);
                let mut other_label = packet.clone();
                other_label[2] = b'g';
                let green = Protection { label: b"glue", ..protection };
                let refused = Err(PacketError::Sealed(SealError::NoKey));
                assert_eq!(reopened(&other_label, green), refused);
            }
        }
    }

    #[test]
    fn plaintext_is_taken_where_there_are_keys_only_while_migrating() {
        let mut keyring = Keyring::new();
        keyring.install(crate::Key::new(&[1; 32]).unwrap()).unwrap();
        let strict = Protection { keyring: &keyring, ..Protection::label(b"blue") };
        let lenient = Protection { verify_incoming: false, ..strict };
        let plain = written(&[&b"\x08hi"[..]; 9], false, None);
        assert!(matches!(reopened(&plain, strict), Err(PacketError::Sealed(_))));
        assert_eq!(reopened(&plain, lenient).unwrap().len(), 9);
        let sealed = written(&[&b"\x08hi"[..]; 9], false, Some((&keyring, Version::Plain)));
        assert_eq!(reopened(&sealed, lenient).unwrap().len(), 9);
    }

    #[test]
    fn a_sealed_packet_fills_its_limit_and_never_exceeds_it() {
        let mut keyring = Keyring::new();
        keyring.install(crate::Key::new(&[1; 16]).unwrap()).unwrap();
        for (version, slack) in [(Version::Plain, 5), (Version::Padded, 5 + 15)] {
            for limit in 100..140 {
                let mut buf = vec![0; limit];
                let mut writer = PacketWriter::sealed(&mut buf, b"l", version, Checksum::Present);
                while writer.budget() >= 3 + PART_OVERHEAD {
                    writer.part(|out| out.put(b"\x08ab")).unwrap();
                }
                let seal = Some((&keyring, [0; NONCE_LEN]));
                let len = writer.finish_with(Finish { compress: None, seal });
                assert!(len <= limit && limit - len < slack, "{len} of {limit}");
            }
        }
    }

    #[test]
    fn one_part_is_sent_bare() {
        let mut buf = [0; 64];
        let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Absent);
        writer.part(|out| out.put(b"\x08hi")).unwrap();
        let len = writer.finish();
        assert_eq!(&buf[..len], b"\x08hi");
    }

    #[test]
    fn a_packet_fills_its_limit_exactly_and_never_exceeds_it() {
        for limit in 40..60 {
            let mut buf = vec![0; limit];
            let mut writer = PacketWriter::new(&mut buf, b"l", Checksum::Present);
            let mut count = 0;
            while writer.budget() >= 3 + PART_OVERHEAD {
                writer.part(|out| out.put(b"\x08ab")).unwrap();
                count += 1;
            }
            assert_eq!(writer.part(|out| out.put(b"\x08ab")), Err(Full));
            let len = writer.finish();
            assert!(len <= limit && limit - len < 3 + PART_OVERHEAD, "{len} of {limit}");
            assert_eq!(open(&buf[..len], b"l").unwrap().count(), count);
        }
    }

    #[test]
    fn at_most_127_parts_go_into_one_packet() {
        let mut buf = vec![0; 4_000];
        let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Absent);
        for _ in 0..PARTS_MAX {
            assert!(writer.budget() > 0);
            writer.part(|out| out.put(&[8])).unwrap();
        }
        assert_eq!(writer.budget(), 0);
        assert_eq!(writer.part(|out| out.put(&[8])), Err(Full));
        let len = writer.finish();
        assert_eq!(parts(&buf[..len]).len(), PARTS_MAX);
    }

    #[test]
    fn a_packet_without_parts_is_no_packet() {
        let mut buf = [0; 64];
        assert_eq!(PacketWriter::new(&mut buf, b"foo", Checksum::Present).finish(), 0);
    }
}
