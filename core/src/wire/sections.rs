//! The application's state in a push/pull, one section per channel.
//!
//! memberlist carries one opaque blob. Between members that advertise our envelope it holds
//!
//! | size | field |
//! |---|---|
//! | 4 | magic `52 4d 53 31` |
//! | 2 | channel, big endian; then |
//! | 4 | length of the section, big endian; then |
//! | n | the section; and so on to the end |
//!
//! An empty list of sections (just the magic) says "I understand sections and have none". Other
//! peers get the state of channel 0 alone, as it is.

use super::{DecodeError, Full, Reader, Sink};
use crate::identity::Channel;

/// First bytes of a sectioned state.
pub const MAGIC: [u8; 4] = *b"RMS1";

/// Bytes of a section's header.
pub const SECTION_OVERHEAD: usize = 6;

/// Most sections in one state; a peer that sends more is refused.
pub const SECTIONS_MAX: usize = 256;

/// Writes the sections.
///
/// # Errors
///
/// [`Full`], also for a section of 4 GiB and more.
pub fn put<'a, S: Sink + ?Sized>(
    sink: &mut S,
    sections: impl Iterator<Item = (Channel, &'a [u8])>,
) -> Result<(), Full> {
    sink.put(&MAGIC)?;
    for (channel, bytes) in sections {
        sink.put(&channel.0.to_be_bytes())?;
        sink.put(&u32::try_from(bytes.len()).map_err(|_| Full)?.to_be_bytes())?;
        sink.put(bytes)?;
    }
    Ok(())
}

/// Calls `section` for each section; `None` if the state is not sectioned.
///
/// # Errors
///
/// [`DecodeError`] if a section is cut off or there are too many; `section` was not called then.
pub fn read<'a>(
    state: &'a [u8],
    mut section: impl FnMut(Channel, &'a [u8]),
) -> Result<Option<()>, DecodeError> {
    let Some(rest) = state.strip_prefix(&MAGIC) else {
        return Ok(None);
    };
    let mut count = 0;
    each(rest, |_, _| count += 1)?;
    if count > SECTIONS_MAX {
        let (claimed, max) = (count as u64, SECTIONS_MAX as u64);
        return Err(DecodeError::TooLarge { what: "number of sections", claimed, max });
    }
    each(rest, &mut section)?;
    Ok(Some(()))
}

fn each<'a>(
    sections: &'a [u8],
    mut section: impl FnMut(Channel, &'a [u8]),
) -> Result<(), DecodeError> {
    const WHAT: &str = "section of user state";
    let mut reader = Reader::new(sections);
    while !reader.is_empty() {
        let channel = Channel(reader.u16(WHAT)?);
        let len = reader.u32(WHAT)?;
        section(channel, reader.take(len as usize, WHAT)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    type Sections = Vec<(u16, Vec<u8>)>;

    fn sections(state: &[u8]) -> Result<Option<Sections>, DecodeError> {
        let mut found = Vec::new();
        let sectioned = read(state, |channel, bytes| found.push((channel.0, bytes.to_vec())))?;
        Ok(sectioned.map(|()| found))
    }

    #[test]
    fn sections_have_these_bytes_and_come_back() {
        let mut state = Vec::new();
        put(&mut state, [(Channel(1), &b"ab"[..]), (Channel(258), b"")].into_iter()).unwrap();
        assert_eq!(state, b"RMS1\x00\x01\x00\x00\x00\x02ab\x01\x02\x00\x00\x00\x00");
        let expected = [(1, b"ab".to_vec()), (258, Vec::new())];
        assert_eq!(sections(&state), Ok(Some(expected.to_vec())));
        assert_eq!(sections(&MAGIC), Ok(Some(Vec::new())));
    }

    #[test]
    fn a_blob_of_others_is_not_sectioned() {
        assert_eq!(sections(b""), Ok(None));
        assert_eq!(sections(b"RMS"), Ok(None));
        assert_eq!(sections(b"{\"k\":\"v\"}"), Ok(None));
    }

    #[test]
    fn a_state_cut_off_anywhere_gives_nothing() {
        let state = b"RMS1\x00\x01\x00\x00\x00\x02ab";
        for len in 5..state.len() {
            let mut called = false;
            assert!(read(&state[..len], |_, _| called = true).is_err(), "{len} bytes");
            assert!(!called);
        }
    }

    #[test]
    fn sections_are_limited_in_number() {
        for (count, accepted) in [(SECTIONS_MAX, true), (SECTIONS_MAX + 1, false)] {
            let mut state = Vec::new();
            put(&mut state, (0..count).map(|_| (Channel(1), &b""[..]))).unwrap();
            assert_eq!(sections(&state).is_ok(), accepted, "{count} sections");
        }
    }
}
