//! Serf's own words among user messages: as much of them as a member needs to say goodbye.
//!
//! A Serf agent shows a member that only memberlist's goodbye came from as failed. It must hear
//! Serf's leave intent too, whose Lamport time lies above that of anything it has heard about the
//! member (protocol page, appendix C). Serf's clock rides in its intents and push/pulls; its clocks
//! of events and queries are others.

use super::msgpack::{put_map, put_raw, put_u64, read_struct, read_u64};
use super::{DecodeError, Full, Reader, Sink};

/// First byte of a user message: somebody leaves.
const LEAVE: u8 = 0;
/// First byte of a user message: somebody joins.
const JOIN: u8 = 1;
/// First byte of the state in a push/pull.
const PUSH_PULL: u8 = 2;

/// The highest time that is believed: a clock that ticks a million times a second takes 290 000 years
/// to it. It leaves room above for all that follows.
pub const LTIME_MAX: u64 = u64::MAX >> 1;

/// The time of Serf's clock in a user message or in the state of a push/pull; `None` if it carries
/// none. Fields beside it are skipped, whatever they are.
///
/// # Errors
///
/// [`DecodeError`] if the message begins as one of Serf's and then is not.
pub fn read_ltime(bytes: &[u8]) -> Result<Option<u64>, DecodeError> {
    let Some((&(LEAVE | JOIN | PUSH_PULL), body)) = bytes.split_first() else { return Ok(None) };
    let mut ltime = 0;
    read_struct(&mut Reader::new(body), &["LTime"], |_, reader| {
        ltime = read_u64(reader, "LTime")?;
        Ok(())
    })?;
    if ltime > LTIME_MAX {
        return Err(DecodeError::OutOfRange { what: "LTime" });
    }
    Ok(Some(ltime))
}

/// Writes the user message that `node` leaves, without memberlist's type byte.
///
/// # Errors
///
/// [`Full`].
pub fn put_leave_intent<S: Sink + ?Sized>(
    sink: &mut S,
    ltime: u64,
    node: &[u8],
) -> Result<(), Full> {
    sink.put(&[LEAVE])?;
    put_map(sink, 2)?;
    put_raw(sink, b"LTime")?;
    put_u64(sink, ltime)?;
    put_raw(sink, b"Node")?;
    put_raw(sink, node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn intent(ltime: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_leave_intent(&mut bytes, ltime, b"node-a").unwrap();
        bytes
    }

    #[test]
    fn a_leave_intent_has_these_bytes() {
        assert_eq!(intent(7), b"\x00\x82\xa5LTime\x07\xa4Node\xa6node-a");
        assert_eq!(intent(200)[7..10], *b"e\xcc\xc8");
        assert_eq!(intent(1 << 32)[8..17], *b"\xcf\0\0\0\x01\0\0\0\0");
    }

    #[test]
    fn times_are_found_in_intents_and_states_and_nowhere_else() {
        for ltime in [0, 127, 128, 65_536, u64::from(u32::MAX), 1 << 32, LTIME_MAX] {
            assert_eq!(read_ltime(&intent(ltime)), Ok(Some(ltime)));
        }
        let join = b"\x01\x83\xa5LTime\x05\xa4Node\xa1b\xa5Prune\xc2";
        assert_eq!(read_ltime(join), Ok(Some(5)));
        // Of a push/pull, as an agent sends it.
        let state = b"\x02\x86\xaaEventLTime\x63\xa6Events\x91\xc0\xa5LTime\x09\xabLeftMembers\xc0\
            \xaaQueryLTime\x62\xacStatusLTimes\x81\xa1b\x08";
        assert_eq!(read_ltime(state), Ok(Some(9)));
        let event = b"\x03\x81\xa5LTime\x63";
        for bytes in [&b""[..], event, b"hello"] {
            assert_eq!(read_ltime(bytes), Ok(None));
        }
    }

    #[test]
    fn nonsense_and_times_that_nothing_could_follow_are_refused() {
        assert!(read_ltime(&intent(LTIME_MAX + 1)).is_err());
        let sound = intent(9);
        for len in 1..sound.len() {
            assert!(read_ltime(&sound[..len]).is_err(), "{len} bytes");
        }
        for bytes in [&b"\x00hello"[..], b"\x02\x81\xa5LTime\xff", b"\x01\xdf\xff\xff\xff\xff"] {
            assert!(read_ltime(bytes).is_err());
        }
    }
}
