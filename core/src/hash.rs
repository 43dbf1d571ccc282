//! Hashes: one that all nodes agree on, and one that no peer can predict.

use core::hash::Hasher as _;
use core::net::SocketAddr;

use siphasher::sip::SipHasher13;
use siphasher::sip128;

use crate::rng::{Rng, Stream};

/// The key of the agreed hash. Part of our wire: never change it.
const AGREED_KEY: &[u8; 16] = b"rumormill-agreed";

/// SipHash-1-3-128 under a fixed public key: the same number at every node, for rumour ids, trees,
/// proxies and places in the floor's rings.
pub(crate) fn agreed(parts: &[&[u8]]) -> u128 {
    let mut hasher = sip128::SipHasher13::new_with_key(AGREED_KEY);
    for part in parts {
        hasher.write(part);
    }
    sip128::Hasher128::finish128(&hasher).as_u128()
}

/// SipHash-1-3 under a key from this node's own seed, for tables whose keys a peer chooses: it
/// cannot aim at one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Keyed(SipHasher13);

impl Keyed {
    pub(crate) fn new(rng_seed: [u8; 32], table: u64) -> Self {
        let mut rng = Rng::child(rng_seed, Stream::HashKeys);
        let (a, b) = (rng.next_u64(), rng.next_u64());
        Self(SipHasher13::new_with_keys(a, b ^ table))
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(bytes);
        hasher.finish()
    }

    /// The hash of several strings one after the other; each is told from the next.
    pub(crate) fn parts(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.0;
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part);
        }
        hasher.finish()
    }

    pub(crate) fn addr(&self, addr: SocketAddr) -> u64 {
        let mut hasher = self.0;
        match addr {
            SocketAddr::V4(v4) => hasher.write(&v4.ip().octets()),
            SocketAddr::V6(v6) => hasher.write(&v6.ip().octets()),
        }
        hasher.write_u16(addr.port());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agreed_hash_is_pinned_because_it_is_part_of_the_wire() {
        assert_eq!(agreed(&[]), 75_956_470_268_415_379_645_110_643_118_415_749_247);
        assert_eq!(agreed(&[b"rumor", b"mill"]), agreed(&[b"rumormill"]));
    }

    #[test]
    fn two_seeds_hash_differently() {
        let (a, b) = (Keyed::new([1; 32], 0), Keyed::new([2; 32], 0));
        assert_ne!(a.bytes(b"name"), b.bytes(b"name"));
    }
}
