//! How a member tells others that it understands the envelope: a tag in its meta.
//!
//! Serf and Consul keep a map of strings in the meta, as byte `ff` and a MessagePack map. Our tag
//! `rm` sits among them, so that their tools show it. Its value is text of 32 characters:
//!
//! ```text
//! 1-0001-65a1b2c3-0000000000000000
//! | |    |        zone code, 16 hex digits
//! | |    boot epoch, 8 hex digits
//! | capabilities, 4 hex digits: 1 = understands DATA and DIRECT envelopes
//! version of this tag
//! ```
//!
//! Application meta that is neither empty nor such a map is left alone, and the node then
//! advertises nothing.

use alloc::vec::Vec;

use super::msgpack::{put_raw, read_bytes};
use super::{DecodeError, META_LEN_MAX, Reader};
use crate::identity::BootEpoch;

/// The key of our tag.
pub const KEY: &[u8] = b"rm";

const MAP_MARKER: u8 = 0xff;
const VALUE_LEN: usize = 32;

/// A member understands DATA and DIRECT envelopes.
pub const CAPABILITY_ENVELOPE: u16 = 1;

/// What a member says about itself in its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Advert {
    /// Bits of what it understands.
    pub capabilities: u16,
    /// Different at every start.
    pub epoch: BootEpoch,
    /// Where it sits in the network, once overlays measure that; 0 until then.
    pub zone: u64,
}

impl Advert {
    /// What the tag takes of the meta: key and value with their headers.
    pub const TAG_LEN: usize = 1 + KEY.len() + 3 + VALUE_LEN;

    /// Whether a meta has Serf's tag form, so that our tag can sit in it.
    #[must_use]
    pub fn is_tag_map(meta: &[u8]) -> bool {
        meta.is_empty() || walk(meta, |_, _, _| {}).is_ok()
    }

    /// Finds the tag in a member's meta. Anything that is not our tag is no advert, not an error:
    /// the meta belongs to the application.
    #[must_use]
    pub fn find(meta: &[u8]) -> Option<Self> {
        let mut found = None;
        walk(meta, |key, value, _| {
            if key == KEY {
                found = Self::parse(value);
            }
        })
        .ok()?;
        found
    }

    /// `meta` with this tag in it, replacing an older one; `None` if the meta is not a map of
    /// tags, or has no room.
    #[must_use]
    pub fn add_to(&self, meta: &[u8]) -> Option<Vec<u8>> {
        let mut entries = Vec::new();
        let mut count = 1_u32;
        if !meta.is_empty() {
            walk(meta, |key, _, bytes| {
                if key != KEY {
                    entries.extend_from_slice(bytes);
                    count += 1;
                }
            })
            .ok()?;
        }
        let mut tagged = Vec::with_capacity(entries.len() + Self::TAG_LEN + 6);
        tagged.push(MAP_MARKER);
        put_map_header(&mut tagged, count)?;
        tagged.extend_from_slice(&entries);
        // A vector is never full.
        put_raw(&mut tagged, KEY).ok()?;
        put_raw(&mut tagged, &self.text()).ok()?;
        (tagged.len() <= META_LEN_MAX).then_some(tagged)
    }

    fn text(&self) -> [u8; VALUE_LEN] {
        let mut text = *b"1-0000-00000000-0000000000000000";
        put_hex(&mut text[2..6], self.capabilities.into());
        put_hex(&mut text[7..15], self.epoch.0.into());
        put_hex(&mut text[16..], self.zone);
        text
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; VALUE_LEN] = text.try_into().ok()?;
        if text[..2] != *b"1-" || text[6] != b'-' || text[15] != b'-' {
            return None;
        }
        Some(Self {
            capabilities: u16::try_from(read_hex(&text[2..6])?).ok()?,
            epoch: BootEpoch(u32::try_from(read_hex(&text[7..15])?).ok()?),
            zone: read_hex(&text[16..])?,
        })
    }
}

fn put_hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::from((value & 0xf) as u8)];
        value >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

fn put_map_header(out: &mut Vec<u8>, count: u32) -> Option<()> {
    match count {
        0..=15 => out.push(0x80 | u8::try_from(count).ok()?),
        _ => {
            out.push(0xde);
            out.extend_from_slice(&u16::try_from(count).ok()?.to_be_bytes());
        }
    }
    Some(())
}

/// Calls `entry(key, value, bytes of both)` for each tag.
fn walk<'a>(
    meta: &'a [u8],
    mut entry: impl FnMut(&[u8], &[u8], &'a [u8]),
) -> Result<(), DecodeError> {
    const WHAT: &str = "tags";
    let mut reader = Reader::new(meta);
    let found = reader.u8(WHAT)?;
    if found != MAP_MARKER {
        return Err(DecodeError::WrongKind { what: WHAT, found });
    }
    let count = match reader.u8(WHAT)? {
        marker @ 0x80..=0x8f => u16::from(marker & 0x0f),
        0xde => reader.u16(WHAT)?,
        found => return Err(DecodeError::WrongKind { what: WHAT, found }),
    };
    for _ in 0..count {
        let before = reader.rest();
        let key = read_bytes(&mut reader, WHAT)?;
        let value = read_bytes(&mut reader, WHAT)?;
        entry(&key, &value, &before[..before.len() - reader.len()]);
    }
    if reader.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(reader.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const ADVERT: Advert = Advert { capabilities: 1, epoch: BootEpoch(0x65a1_b2c3), zone: 0xabcd };

    #[test]
    fn the_tag_has_these_bytes() {
        let meta = ADVERT.add_to(b"").unwrap();
        assert_eq!(meta, b"\xff\x81\xa2rm\xda\x00\x201-0001-65a1b2c3-000000000000abcd");
        assert_eq!(Advert::find(&meta), Some(ADVERT));
    }

    #[test]
    fn serf_tags_stay_and_an_older_advert_is_replaced() {
        let serf = b"\xff\x82\xa4role\xa3web\xa2dc\xa1x";
        let once = Advert { zone: 1, ..ADVERT }.add_to(serf).unwrap();
        let twice = ADVERT.add_to(&once).unwrap();
        assert!(twice.starts_with(b"\xff\x83\xa4role\xa3web\xa2dc\xa1x\xa2rm"));
        assert_eq!(once.len(), twice.len());
        assert_eq!(Advert::find(&twice), Some(ADVERT));
    }

    #[test]
    fn meta_that_is_no_tag_map_is_left_alone() {
        for meta in [&b"role=web"[..], b"\xff", b"\xff\x81\xa4role", b"\xff\x90", b"\xff\x80x"] {
            assert_eq!(ADVERT.add_to(meta), None, "{meta:?}");
            assert_eq!(Advert::find(meta), None, "{meta:?}");
        }
    }

    #[test]
    fn a_tag_that_is_not_ours_is_no_advert() {
        for value in
            ["", "1-0001", "2-0001-65a1b2c3-000000000000abcd", "1-0001-65a1b2c3-00000000000zabcd"]
        {
            let mut meta = vec![0xff, 0x81];
            put_raw(&mut meta, KEY).unwrap();
            put_raw(&mut meta, value.as_bytes()).unwrap();
            assert_eq!(Advert::find(&meta), None, "{value}");
        }
    }

    #[test]
    fn meta_without_room_for_the_tag_is_left_alone() {
        let with_filler = |len: usize| {
            let mut meta = vec![0xff, 0x81];
            put_raw(&mut meta, b"k").unwrap();
            put_raw(&mut meta, &vec![b'v'; len]).unwrap();
            meta
        };
        let room = META_LEN_MAX - Advert::TAG_LEN - with_filler(300).len() + 300;
        assert_eq!(ADVERT.add_to(&with_filler(room)).map(|meta| meta.len()), Some(META_LEN_MAX));
        assert_eq!(ADVERT.add_to(&with_filler(room + 1)), None);
    }
}
