//! memberlist's compression: LZW as in GIF, least significant bit first, 8-bit literals (protocol
//! page §1.7, appendix B).
//!
//! The codec is the crate weezl; here are the limits, and what counts as whole. Our compressed
//! bytes may differ from Go's behind the first table reset; both read both.

use alloc::vec::Vec;

use thiserror::Error;

/// Most bytes that a datagram may hold after decompression: four times the largest datagram. A
/// datagram's worth of bytes could otherwise become 160 MB.
pub const PACKET_UNPACKED_MAX: usize = 4 * 65_536;

/// A stream's message may grow to this many times its compressed length, or to
/// [`PACKET_UNPACKED_MAX`] if that is more. Members' records compress by a factor of 3 to 10.
pub const STREAM_EXPANSION_MAX: usize = 64;

/// Why bytes could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LzwError {
    /// Compressed by something else than LZW.
    #[error("compression algorithm {0} is unknown")]
    UnknownAlgorithm(u8),
    /// A code that means nothing at its place.
    #[error("the compressed bytes contain an impossible code")]
    InvalidCode,
    /// The bytes end before the end code.
    #[error("the compressed bytes are cut off")]
    Truncated,
    /// They would become more bytes than are allowed.
    #[error("it decompresses to more than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The crate was built without its feature `compression`.
    #[error("this program was built without compression")]
    NotBuiltIn,
}

/// What memberlist calls LZW.
pub const ALGORITHM: u8 = 0;

/// Replaces `out` with what `compressed` holds. Bytes after the end code are ignored.
///
/// # Errors
///
/// [`LzwError`], also if there were more than `max` bytes; `out` is empty then.
pub fn decompress(
    algorithm: u8,
    compressed: &[u8],
    max: usize,
    out: &mut Vec<u8>,
) -> Result<(), LzwError> {
    out.clear();
    let result = match algorithm {
        ALGORITHM => codec::decompress(compressed, max, out),
        other => Err(LzwError::UnknownAlgorithm(other)),
    };
    if result.is_err() {
        out.clear();
    }
    result
}

/// Replaces `out` with `bytes` compressed; empty if there is no compression in this build.
pub fn compress(bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    codec::compress(bytes, out);
}

#[cfg(feature = "compression")]
mod codec {
    use alloc::vec::Vec;

    use weezl::decode::Decoder;
    use weezl::encode::Encoder;
    use weezl::{BitOrder, LzwStatus};

    use super::LzwError;

    const LITERAL_BITS: u8 = 8;

    /// How much is decompressed at a time, in bytes: nothing is reserved for what never comes.
    const PIECES: (usize, usize) = (1 << 10, 1 << 16);

    pub(super) fn decompress(
        mut rest: &[u8],
        max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), LzwError> {
        let mut decoder = Decoder::new(BitOrder::Lsb, LITERAL_BITS);
        loop {
            let start = out.len();
            // One byte beyond the limit tells that there is more.
            let piece = start.clamp(PIECES.0, PIECES.1).min(max + 1 - start);
            out.resize(start + piece, 0);
            let step = decoder.decode_bytes(rest, &mut out[start..]);
            out.truncate(start + step.consumed_out);
            rest = &rest[step.consumed_in..];
            if out.len() > max {
                return Err(LzwError::TooLarge { max });
            }
            match step.status {
                Ok(LzwStatus::Done) => return Ok(()),
                Err(weezl::LzwError::InvalidCode) => return Err(LzwError::InvalidCode),
                Ok(LzwStatus::NoProgress) => return Err(LzwError::Truncated),
                Ok(LzwStatus::Ok) => {}
            }
        }
    }

    pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(BitOrder::Lsb, LITERAL_BITS);
        let done = encoder.into_vec(out).encode_all(bytes);
        debug_assert!(done.status.is_ok(), "every byte is a literal of 8 bits");
    }
}

#[cfg(not(feature = "compression"))]
mod codec {
    use alloc::vec::Vec;

    use super::LzwError;

    pub(super) fn decompress(_: &[u8], _: usize, _: &mut Vec<u8>) -> Result<(), LzwError> {
        Err(LzwError::NotBuiltIn)
    }

    pub(super) fn compress(_: &[u8], _: &mut Vec<u8>) {}
}

#[cfg(test)]
#[cfg(feature = "compression")]
mod tests {
    use super::*;
    use alloc::vec;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress(bytes, &mut out);
        out
    }

    fn unpacked(bytes: &[u8], max: usize) -> Result<Vec<u8>, LzwError> {
        let mut out = vec![1, 2, 3];
        decompress(ALGORITHM, bytes, max, &mut out).map(|()| out)
    }

    /// Appendix B's noise.
    fn noise() -> Vec<u8> {
        let mut x = 1_u32;
        let next = |_| {
            x = x.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (x >> 16) as u8
        };
        (0..100_000).map(next).collect()
    }

    #[test]
    fn short_vectors_are_byte_identical() {
        for (text, bytes) in [
            (&b""[..], &[0x00, 0x03, 0x02][..]),
            (b"A", &[0x00, 0x83, 0x04, 0x04]),
            (
                b"hello hello hello hello",
                &[
                    0x00, 0xd1, 0x94, 0x61, 0xc3, 0xe6, 0x0d, 0x08, 0x81, 0x04, 0x0d, 0x22, 0x2c,
                    0x78, 0x70, 0x60, 0xc1, 0x80,
                ],
            ),
        ] {
            assert_eq!(unpacked(bytes, 1_000).unwrap(), text);
            assert_eq!(packed(text), bytes);
        }
    }

    #[test]
    fn what_is_compressed_comes_back_beyond_a_full_table() {
        for len in [0, 1, 255, 3_837, 3_838, 3_839, 4_096, 4_097, 10_000, 100_000] {
            let bytes = &noise()[..len];
            assert_eq!(unpacked(&packed(bytes), len).unwrap(), bytes, "{len} bytes");
        }
    }

    #[test]
    fn the_limit_is_exact() {
        for len in [1_usize, 1_024, 1_025, 70_000] {
            let bytes = packed(&vec![b'x'; len]);
            assert_eq!(unpacked(&bytes, len).map(|out| out.len()), Ok(len));
            assert_eq!(unpacked(&bytes, len - 1), Err(LzwError::TooLarge { max: len - 1 }));
        }
    }

    #[test]
    fn bytes_without_their_end_or_with_impossible_codes_are_refused() {
        let whole = packed(b"hello hello hello hello");
        for len in 0..whole.len() - 1 {
            assert_eq!(unpacked(&whole[..len], 1_000), Err(LzwError::Truncated), "{len} bytes");
        }
        // A code of the table before the table has any: clear, then 300.
        assert_eq!(unpacked(&[0x00, 0x59, 0x02, 0x00], 10), Err(LzwError::InvalidCode));
        let mut longer = whole.clone();
        longer.extend_from_slice(b"whatever follows");
        assert_eq!(unpacked(&longer, 1_000).unwrap(), b"hello hello hello hello");
        let mut out = Vec::new();
        let unknown = decompress(1, &whole, 1_000, &mut out);
        assert_eq!(unknown, Err(LzwError::UnknownAlgorithm(1)));
    }
}
