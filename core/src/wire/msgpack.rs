//! The subset of MessagePack that memberlist's structs need.
//!
//! Out goes only what its oldest peers write themselves: strings and byte strings of the raw
//! family, shortest unsigned integers, maps with sorted keys (protocol page §2.2). In comes all
//! that either generation of its codec accepts (§2.3), except a message that is nil as a whole.
//! A struct may arrive as a map in any key order or as an array in declaration order; unknown keys
//! are skipped, a repeated key overrides, nil means zero.

use alloc::vec::Vec;
use core::ops::Deref;

use super::{DecodeError, Full, Reader, Sink};

const NIL: u8 = 0xc0;
const FALSE: u8 = 0xc2;
const TRUE: u8 = 0xc3;

/// A byte string that remembers whether it was absent: Go writes a nil slice and an empty one
/// differently. Borrows from the packet, except when a peer sent an array of numbers.
#[derive(Clone, Debug, Default)]
pub enum Blob<'a> {
    /// nil, or no such field.
    #[default]
    Nil,
    /// As it lies in the packet.
    Borrowed(&'a [u8]),
    /// Collected from an array of small integers.
    Collected(Vec<u8>),
}

impl<'a> Blob<'a> {
    /// Whether the string was nil or absent rather than empty.
    #[must_use]
    pub const fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// `bytes`, or nil if there are none.
    #[must_use]
    pub const fn nil_if_empty(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { Self::Nil } else { Self::Borrowed(bytes) }
    }
}

impl Deref for Blob<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Nil => &[],
            Self::Borrowed(bytes) => bytes,
            Self::Collected(bytes) => bytes,
        }
    }
}

impl PartialEq for Blob<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is_nil() == other.is_nil() && **self == **other
    }
}

impl Eq for Blob<'_> {}

impl<'a> From<&'a [u8]> for Blob<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

/// Reads a struct: calls `field(i, reader)` for each field present, `i` being its index in
/// `names`, which lists the keys in Go's declaration order. The callback must read exactly one
/// value.
///
/// # Errors
///
/// Any [`DecodeError`] of a key, a value or the callback.
pub fn read_struct<'a>(
    reader: &mut Reader<'a>,
    names: &[&str],
    mut field: impl FnMut(usize, &mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    const WHAT: &str = "struct";
    let marker = reader.u8(WHAT)?;
    let (pairs, is_map) = match marker {
        NIL => return Err(DecodeError::Nil),
        0x80..=0x8f => (u32::from(marker & 0x0f), true),
        0xde => (u32::from(reader.u16(WHAT)?), true),
        0xdf => (reader.u32(WHAT)?, true),
        0x90..=0x9f => (u32::from(marker & 0x0f), false),
        0xdc => (u32::from(reader.u16(WHAT)?), false),
        0xdd => (reader.u32(WHAT)?, false),
        found => return Err(DecodeError::WrongKind { what: WHAT, found }),
    };
    // Every entry takes at least a byte, so a larger claim is a lie that need not be walked.
    bounded_by_input(u64::from(pairs), reader, WHAT)?;
    for position in 0..pairs as usize {
        let index = if is_map { read_key(reader, names)? } else { Some(position) };
        match index.filter(|&index| index < names.len()) {
            Some(index) => field(index, reader)?,
            None => skip(reader)?,
        }
    }
    Ok(())
}

/// Reads a map key: a string of any form, or nil, which is no key of ours.
#[inline]
fn read_key(reader: &mut Reader<'_>, names: &[&str]) -> Result<Option<usize>, DecodeError> {
    // All keys of ours are short, and every encoder gives short strings one form: half of the time
    // of decoding goes into keys.
    if let Some((&marker @ 0xa0..=0xbf, _)) = reader.rest().split_first() {
        reader.u8("key")?;
        return Ok(position_of(reader.take(usize::from(marker & 0x1f), "key")?, names));
    }
    Ok(position_of(&read_bytes(reader, "key")?, names))
}

/// Length and last byte tell the keys of each struct apart; all bytes are compared once.
#[inline]
fn position_of(key: &[u8], names: &[&str]) -> Option<usize> {
    let last = key.last();
    let alike = |name: &[u8]| name.len() == key.len() && name.last() == last && name == key;
    names.iter().position(|name| alike(name.as_bytes()))
}

/// Reads a non-negative integer of any form; nil is 0.
///
/// # Errors
///
/// [`DecodeError`] for a negative or other value.
#[inline]
pub fn read_u64(reader: &mut Reader<'_>, what: &'static str) -> Result<u64, DecodeError> {
    let signed = |value: i64| u64::try_from(value).map_err(|_| DecodeError::OutOfRange { what });
    match reader.u8(what)? {
        NIL => Ok(0),
        small @ 0x00..=0x7f => Ok(u64::from(small)),
        0xe0..=0xff => Err(DecodeError::OutOfRange { what }),
        0xcc => reader.u8(what).map(u64::from),
        0xcd => reader.u16(what).map(u64::from),
        0xce => reader.u32(what).map(u64::from),
        0xcf => reader.u64(what),
        0xd0 => signed(i64::from(i8::from_be_bytes(reader.array(what)?))),
        0xd1 => signed(i64::from(i16::from_be_bytes(reader.array(what)?))),
        0xd2 => signed(i64::from(i32::from_be_bytes(reader.array(what)?))),
        0xd3 => signed(i64::from_be_bytes(reader.array(what)?)),
        found => Err(DecodeError::WrongKind { what, found }),
    }
}

/// Reads an integer that must fit `T`; nil is 0.
///
/// # Errors
///
/// [`DecodeError::OutOfRange`] if it does not fit, and those of [`read_u64`].
#[inline]
pub fn read_uint<T: TryFrom<u64>>(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<T, DecodeError> {
    T::try_from(read_u64(reader, what)?).map_err(|_| DecodeError::OutOfRange { what })
}

/// Reads a bool; memberlist's codec takes 0 and 1 too, nil is false.
///
/// # Errors
///
/// [`DecodeError::WrongKind`] for anything else.
pub fn read_bool(reader: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    match reader.u8(what)? {
        FALSE | NIL | 0 => Ok(false),
        TRUE | 1 => Ok(true),
        found => Err(DecodeError::WrongKind { what, found }),
    }
}

/// Reads a string or byte string: the raw family, str8, bin, nil, or an array or map of integers
/// below 256 (a map is read as key, value, key, value, as Go does).
///
/// # Errors
///
/// [`DecodeError`] for any other value and for a length beyond the input.
#[inline]
pub fn read_bytes<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
) -> Result<Blob<'a>, DecodeError> {
    if let Some(len) = read_raw_len(reader, what)? {
        return reader.take(len, what).map(Blob::Borrowed);
    }
    match reader.u8(what)? {
        NIL => Ok(Blob::Nil),
        marker @ 0x90..=0x9f => read_numbers(reader, u64::from(marker & 0x0f), what),
        0xdc => reader.u16(what).and_then(|n| read_numbers(reader, u64::from(n), what)),
        0xdd => reader.u32(what).and_then(|n| read_numbers(reader, u64::from(n), what)),
        marker @ 0x80..=0x8f => read_numbers(reader, 2 * u64::from(marker & 0x0f), what),
        0xde => reader.u16(what).and_then(|n| read_numbers(reader, 2 * u64::from(n), what)),
        0xdf => reader.u32(what).and_then(|n| read_numbers(reader, 2 * u64::from(n), what)),
        found => Err(DecodeError::WrongKind { what, found }),
    }
}

/// Reads the header of a string of the raw family, str8 or bin and says how many bytes follow;
/// `None`, with nothing read, before any other value.
///
/// # Errors
///
/// [`DecodeError::Truncated`] inside the header.
#[inline]
pub fn read_raw_len(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<Option<usize>, DecodeError> {
    let mut ahead = *reader;
    let len = match ahead.u8(what)? {
        marker @ 0xa0..=0xbf => u32::from(marker & 0x1f),
        0xd9 | 0xc4 => u32::from(ahead.u8(what)?),
        0xda | 0xc5 => u32::from(ahead.u16(what)?),
        0xdb | 0xc6 => ahead.u32(what)?,
        _ => return Ok(None),
    };
    *reader = ahead;
    Ok(Some(len as usize))
}

fn read_numbers<'a>(
    reader: &mut Reader<'a>,
    count: u64,
    what: &'static str,
) -> Result<Blob<'a>, DecodeError> {
    bounded_by_input(count, reader, what)?;
    let mut bytes = Vec::new();
    for _ in 0..count {
        bytes.push(read_uint(reader, what)?);
    }
    Ok(Blob::Collected(bytes))
}

fn bounded_by_input(
    count: u64,
    reader: &Reader<'_>,
    what: &'static str,
) -> Result<(), DecodeError> {
    if count > reader.len() as u64 {
        return Err(DecodeError::Truncated { what });
    }
    Ok(())
}

/// Skips one value of any kind, nested ones included, without recursion.
///
/// # Errors
///
/// [`DecodeError::Truncated`] if it does not end inside the input.
pub fn skip(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    const WHAT: &str = "unknown field";
    let mut pending = 1_u64;
    while pending > 0 {
        bounded_by_input(pending, reader, WHAT)?;
        pending -= 1;
        let marker = reader.u8(WHAT)?;
        let (bytes, values) = match marker {
            0x80..=0x8f => (0, 2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => (0, u64::from(marker & 0x0f)),
            0xa0..=0xbf => (u32::from(marker & 0x1f), 0),
            0xc4 | 0xd9 => (u32::from(reader.u8(WHAT)?), 0),
            0xc5 | 0xda => (u32::from(reader.u16(WHAT)?), 0),
            0xc6 | 0xdb => (reader.u32(WHAT)?, 0),
            // Extensions: a length, a type byte, data.
            0xc7 => (u32::from(reader.u8(WHAT)?) + 1, 0),
            0xc8 => (u32::from(reader.u16(WHAT)?) + 1, 0),
            0xc9 => (reader.u32(WHAT)?.saturating_add(1), 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 | 0xd4 => (2, 0),
            0xd5 => (3, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xd6 => (5, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xd7 => (9, 0),
            0xd8 => (17, 0),
            0xdc => (0, u64::from(reader.u16(WHAT)?)),
            0xdd => (0, u64::from(reader.u32(WHAT)?)),
            0xde => (0, 2 * u64::from(reader.u16(WHAT)?)),
            0xdf => (0, 2 * u64::from(reader.u32(WHAT)?)),
            // nil, bool, the never used 0xc1, and both families of small integers.
            0x00..=0x7f | 0xc0..=0xc3 | 0xe0..=0xff => (0, 0),
        };
        reader.take(bytes as usize, WHAT)?;
        pending += values;
    }
    Ok(())
}

/// Writes a map header for fewer than 16 keys; all of memberlist's structs are such.
///
/// # Errors
///
/// [`Full`].
#[inline]
pub fn put_map<S: Sink + ?Sized>(sink: &mut S, keys: u8) -> Result<(), Full> {
    debug_assert!(keys < 16, "a fixmap has at most 15 keys");
    sink.put(&[0x80 | keys])
}

/// Writes the shortest unsigned form.
///
/// # Errors
///
/// [`Full`].
#[inline]
pub fn put_uint<S: Sink + ?Sized>(sink: &mut S, value: u32) -> Result<(), Full> {
    let [a, b, c, d] = value.to_be_bytes();
    match value {
        0..=0x7f => sink.put(&[d]),
        0x80..=0xff => sink.put(&[0xcc, d]),
        0x100..=0xffff => sink.put(&[0xcd, c, d]),
        _ => sink.put(&[0xce, a, b, c, d]),
    }
}

/// Writes the shortest unsigned form of a longer number; memberlist has none, Serf has.
///
/// # Errors
///
/// [`Full`].
pub fn put_u64<S: Sink + ?Sized>(sink: &mut S, value: u64) -> Result<(), Full> {
    if let Ok(short) = u32::try_from(value) {
        return put_uint(sink, short);
    }
    sink.put(&[0xcf])?;
    sink.put(&value.to_be_bytes())
}

/// Writes a bool.
///
/// # Errors
///
/// [`Full`].
pub fn put_bool<S: Sink + ?Sized>(sink: &mut S, value: bool) -> Result<(), Full> {
    sink.put(&[if value { TRUE } else { FALSE }])
}

/// Writes a string or byte string of the raw family.
///
/// # Errors
///
/// [`Full`], also for 4 GiB and more.
#[inline]
pub fn put_raw<S: Sink + ?Sized>(sink: &mut S, bytes: &[u8]) -> Result<(), Full> {
    let [a, b, c, d] = u32::try_from(bytes.len()).map_err(|_| Full)?.to_be_bytes();
    match bytes.len() {
        0..=31 => sink.put(&[0xa0 | d])?,
        32..=0xffff => sink.put(&[0xda, c, d])?,
        _ => sink.put(&[0xdb, a, b, c, d])?,
    }
    sink.put(bytes)
}

/// Writes a byte string, nil as nil.
///
/// # Errors
///
/// [`Full`].
#[inline]
pub fn put_blob<S: Sink + ?Sized>(sink: &mut S, blob: &Blob<'_>) -> Result<(), Full> {
    if blob.is_nil() { sink.put(&[NIL]) } else { put_raw(sink, blob) }
}
