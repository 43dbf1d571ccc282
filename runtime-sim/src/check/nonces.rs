//! Nonces of encrypted datagrams: AES-GCM gives its key away when one is used twice.

use std::collections::BTreeSet;

/// Bytes of a label's header beside the label.
const LABEL_HEADER: usize = 2;
/// The byte before the nonce: the version of the encryption.
const VERSION: usize = 1;

type Nonce = [u8; 12];

/// All nonces of a cluster with one key.
#[derive(Debug, Default)]
pub(super) struct Nonces(BTreeSet<Nonce>);

impl Nonces {
    /// Notes the nonce of an encrypted datagram; `false` if it was used before.
    pub(super) fn is_new(&mut self, label: &[u8], datagram: &[u8]) -> bool {
        let header = if label.is_empty() { 0 } else { LABEL_HEADER + label.len() };
        let sealed = datagram.get(header + VERSION..).and_then(<[u8]>::first_chunk);
        // What is too short to be encrypted is another rule's business.
        sealed.is_none_or(|nonce| self.0.insert(*nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_that_comes_again_is_seen_with_and_without_a_label() {
        let datagram = |label: &[u8], nonce: u8, text: u8| {
            let header = if label.is_empty() { vec![] } else { [&[0xf4, 4], label].concat() };
            [&header[..], &[1], &[nonce; 12], &[text; 20]].concat()
        };
        for label in [&b""[..], b"blue"] {
            let mut nonces = Nonces::default();
            assert!(nonces.is_new(label, &datagram(label, 1, 1)));
            assert!(nonces.is_new(label, &datagram(label, 2, 1)));
            assert!(!nonces.is_new(label, &datagram(label, 1, 2)));
        }
    }
}
