//! FNV-1a, 64 bits, with a final mix: a short hash that every node computes alike.
//!
//! It has no key: it finds accidents (a lost write, a flipped bit), not somebody who looks for
//! collisions.

/// A running FNV-1a hash.
pub(crate) struct Fnv1a(u64);

impl Fnv1a {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash, mixed by `MurmurHash3`'s 64-bit finalizer: plain FNV-1a barely stirs its high bits
    /// for short inputs, which sums and truncations of hashes would feel.
    pub(crate) const fn finish(self) -> u64 {
        let mut hash = self.0;
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_before_the_mix_matches_the_published_vectors() {
        let published = [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ];
        for (input, expected) in published {
            let mut hash = Fnv1a::new();
            hash.write(input.as_bytes());
            assert_eq!(hash.0, expected, "{input:?}");
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let (mut pieces, mut whole) = (Fnv1a::new(), Fnv1a::new());
        pieces.write(b"rumor");
        pieces.write(b"mill");
        whole.write(b"rumormill");
        assert_eq!(pieces.finish(), whole.finish());
    }
}
