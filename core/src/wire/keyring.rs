//! Keys, and the encrypted layer of datagrams and streams (protocol page §1.4, §3.3, §4.16).
//!
//! ```text
//! sealed := version u8 | nonce [12] | ciphertext | tag [16]
//! ```
//!
//! AES-GCM with a key of 16, 24 or 32 bytes. Version 0 pads the plaintext to a multiple of 16 in
//! the manner of PKCS#7, version 1 does not. Which additional data is authenticated is the
//! business of the layer around it: the label for datagrams, the frame's header and the label for
//! streams.

use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;
use zeroize::Zeroize;

use cipher::Cipher;

/// Most keys of a ring. Each costs one attempt to decrypt per datagram that none of them opens.
pub const KEYS_MAX: usize = 16;

/// The lengths of keys, in bytes: AES-128, AES-192 and AES-256.
pub const KEY_LENS: [usize; 3] = [16, 24, 32];

/// Bytes before the ciphertext: version and nonce.
pub const SEAL_HEADER: usize = 1 + NONCE_LEN;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// Bytes after the ciphertext.
const TAG_LEN: usize = 16;

/// Version 0 pads to a multiple of this.
const BLOCK_LEN: usize = 16;

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key has 16, 24 or 32 bytes.
    #[error("a key has 16, 24 or 32 bytes, this one has {len}")]
    Length {
        /// The length given.
        len: usize,
    },
    /// The crate was built without its feature `encryption`.
    #[error("this program was built without encryption")]
    NotBuiltIn,
}

/// A secret that all members of a cluster share. It is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 32],
    len: usize,
}

impl Key {
    /// A key of 16, 24 or 32 bytes: AES-128, AES-192 or AES-256.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for any other length, or if there is no encryption in this build.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if !cfg!(feature = "encryption") {
            return Err(KeyError::NotBuiltIn);
        }
        if !KEY_LENS.contains(&bytes.len()) {
            return Err(KeyError::Length { len: bytes.len() });
        }
        let mut key = Self { bytes: [0; 32], len: bytes.len() };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(key)
    }

    /// The secret itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.len)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Why a [`Keyring`] did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Only an installed key can become the primary one.
    #[error("the key is not installed; install it first")]
    NotInstalled,
    /// The primary key encrypts everything that is sent.
    #[error("the key is the primary one; use another key first")]
    IsPrimary,
    /// There are [`KEYS_MAX`] keys already.
    #[error("the ring holds {KEYS_MAX} keys already; remove one that is no longer used")]
    Full,
}

/// The keys of a node in order. The first one, the primary, encrypts; all decrypt. An empty ring
/// means that nothing is encrypted.
///
/// A cluster changes its key in three steps, each on every member before the next: install the
/// new one, use it, remove the old one.
///
/// ```
/// use rumormill::{Key, Keyring};
///
/// let (old, new) = (Key::new(&[1; 32])?, Key::new(&[2; 32])?);
/// let mut ring = Keyring::new();
/// ring.install(old.clone())?;
/// ring.install(new.clone())?;
/// assert_eq!(ring.primary(), Some(&old));
/// ring.use_key(&new)?;
/// ring.remove(&old)?;
/// assert_eq!(ring.keys().collect::<Vec<_>>(), [&new]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Keyring {
    entries: Vec<Entry>,
}

/// A key with its schedule, which is computed once.
#[derive(Clone)]
struct Entry {
    key: Key,
    cipher: Cipher,
}

impl Keyring {
    /// A ring without keys.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds a key at the end; it becomes the primary one of an empty ring. `false` if it was there.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Full`].
    pub fn install(&mut self, key: Key) -> Result<bool, KeyringError> {
        if self.position(&key).is_some() {
            return Ok(false);
        }
        if self.entries.len() >= KEYS_MAX {
            return Err(KeyringError::Full);
        }
        let cipher = Cipher::new(key.as_bytes());
        self.entries.push(Entry { key, cipher });
        Ok(true)
    }

    /// Makes an installed key the primary one. The others keep their order.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NotInstalled`].
    pub fn use_key(&mut self, key: &Key) -> Result<(), KeyringError> {
        let at = self.position(key).ok_or(KeyringError::NotInstalled)?;
        self.entries[..=at].rotate_right(1);
        Ok(())
    }

    /// Removes a key. `false` if it was not there.
    ///
    /// # Errors
    ///
    /// [`KeyringError::IsPrimary`].
    pub fn remove(&mut self, key: &Key) -> Result<bool, KeyringError> {
        match self.position(key) {
            None => Ok(false),
            Some(0) => Err(KeyringError::IsPrimary),
            Some(at) => {
                self.entries.remove(at);
                Ok(true)
            }
        }
    }

    /// The keys, the primary one first.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.iter().map(|entry| &entry.key)
    }

    /// The key that encrypts; `None` if nothing is encrypted.
    #[must_use]
    pub fn primary(&self) -> Option<&Key> {
        self.keys().next()
    }

    /// Whether nothing is encrypted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn position(&self, key: &Key) -> Option<usize> {
        self.keys().position(|installed| installed == key)
    }

    /// Encrypts with the primary key, in place. `buf` has [`SEAL_HEADER`] bytes of room, then
    /// `len` bytes of plaintext, then room for padding and tag: [`Version::overhead`] bytes
    /// in all. Returns the length of what is sealed; `None`, with `buf` in an unspecified
    /// state, if there is no key or no such room.
    #[must_use]
    pub fn seal(
        &self,
        version: Version,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Option<usize> {
        let cipher = &self.entries.first()?.cipher;
        let padding = version.padding(len);
        let (header, rest) = buf.split_at_mut_checked(SEAL_HEADER)?;
        let (text, rest) = rest.split_at_mut_checked(len + padding)?;
        let tag = rest.first_chunk_mut::<TAG_LEN>()?;
        header[0] = version as u8;
        header[1..].copy_from_slice(&nonce);
        text[len..].fill(u8::try_from(padding).ok()?);
        *tag = cipher.encrypt(nonce, aad, text)?;
        Some(version.sealed_len(len))
    }

    /// Decrypts in place with the first key that fits, in the ring's order, and returns the
    /// plaintext. `sealed` is as before if no key fits.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn open<'b>(&self, aad: &[u8], sealed: &'b mut [u8]) -> Result<&'b mut [u8], SealError> {
        let (&version, rest) = sealed.split_first().ok_or(SealError::Truncated)?;
        let version = Version::from_wire(version)?;
        if rest.len() + 1 < version.sealed_len_min() {
            return Err(SealError::Truncated);
        }
        let (nonce, rest) =
            sealed[1..].split_first_chunk_mut::<NONCE_LEN>().ok_or(SealError::Truncated)?;
        let (text, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::Truncated)?;
        let opens = |entry: &Entry| entry.cipher.decrypt(*nonce, aad, text, *tag).is_some();
        if !self.entries.iter().any(opens) {
            return Err(SealError::NoKey);
        }
        let len = version.unpadded(text)?;
        Ok(&mut text[..len])
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.keys().eq(other.keys())
    }
}

impl Eq for Keyring {}

/// How what is sealed is laid out. Both are accepted at all times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Version {
    /// With padding: what nodes send that speak protocol 1.
    Padded = 0,
    /// Without: everybody else.
    Plain = 1,
}

impl Version {
    /// What a node sends that speaks this protocol version.
    #[must_use]
    pub const fn for_protocol(spoken: u8) -> Self {
        if spoken <= 1 { Self::Padded } else { Self::Plain }
    }

    const fn from_wire(byte: u8) -> Result<Self, SealError> {
        match byte {
            0 => Ok(Self::Padded),
            1 => Ok(Self::Plain),
            other => Err(SealError::UnknownVersion(other)),
        }
    }

    /// Most bytes that sealing adds.
    #[must_use]
    pub const fn overhead(self) -> usize {
        match self {
            Self::Padded => SEAL_HEADER + BLOCK_LEN + TAG_LEN,
            Self::Plain => SEAL_HEADER + TAG_LEN,
        }
    }

    /// How many bytes a text of this length becomes.
    #[must_use]
    pub const fn sealed_len(self, len: usize) -> usize {
        SEAL_HEADER + len + self.padding(len) + TAG_LEN
    }

    /// Fewest bytes that can be of this version; as many as sealing adds at most, because padding
    /// is a whole block for an empty text.
    const fn sealed_len_min(self) -> usize {
        self.overhead()
    }

    const fn padding(self, len: usize) -> usize {
        match self {
            Self::Padded => BLOCK_LEN - len % BLOCK_LEN,
            Self::Plain => 0,
        }
    }

    /// How long the text is without its padding. Go cuts off whatever the last byte says, and may
    /// crash on it.
    fn unpadded(self, text: &[u8]) -> Result<usize, SealError> {
        if self == Self::Plain {
            return Ok(text.len());
        }
        let padding = usize::from(*text.last().ok_or(SealError::Padding)?);
        let len = text.len().checked_sub(padding).ok_or(SealError::Padding)?;
        let is_padding = (1..=BLOCK_LEN).contains(&padding)
            && text.len().is_multiple_of(BLOCK_LEN)
            && text[len..].iter().all(|&byte| usize::from(byte) == padding);
        if is_padding { Ok(len) } else { Err(SealError::Padding) }
    }
}

/// Why what is sealed could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// Shorter than anything that is sealed.
    #[error("too short to be encrypted")]
    Truncated,
    /// A layout that does not exist.
    #[error("encryption version {0} is unknown")]
    UnknownVersion(u8),
    /// Sealed with another key, for another label, or changed on its way.
    #[error("no installed key decrypts it")]
    NoKey,
    /// Whoever has the key padded it wrongly.
    #[error("the padding is malformed")]
    Padding,
}

#[cfg(feature = "encryption")]
mod cipher {
    use aes_gcm::aead::AeadInOut;
    use aes_gcm::aead::consts::U12;
    use aes_gcm::aes::Aes192;
    use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm, KeyInit};
    use alloc::boxed::Box;

    use super::{NONCE_LEN, TAG_LEN};

    /// A key's schedule.
    #[derive(Clone)]
    pub(super) enum Cipher {
        Aes128(Box<Aes128Gcm>),
        Aes192(Box<AesGcm<Aes192, U12>>),
        Aes256(Box<Aes256Gcm>),
    }

    impl Cipher {
        pub(super) fn new(key: &[u8]) -> Self {
            const LEN: &str = "a key's length was checked";
            match key.len() {
                16 => Self::Aes128(Box::new(Aes128Gcm::new_from_slice(key).expect(LEN))),
                24 => Self::Aes192(Box::new(AesGcm::new_from_slice(key).expect(LEN))),
                _ => Self::Aes256(Box::new(Aes256Gcm::new_from_slice(key).expect(LEN))),
            }
        }

        /// Encrypts `text` in place; `None` if it is longer than AES-GCM allows.
        pub(super) fn encrypt(
            &self,
            nonce: [u8; NONCE_LEN],
            aad: &[u8],
            text: &mut [u8],
        ) -> Option<[u8; TAG_LEN]> {
            let (nonce, text) = ((&nonce).into(), text.into());
            let tag = match self {
                Self::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
                Self::Aes192(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
                Self::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
            };
            tag.ok().map(Into::into)
        }

        /// Decrypts `text` in place; `None`, with `text` as it was, if the tag does not fit.
        pub(super) fn decrypt(
            &self,
            nonce: [u8; NONCE_LEN],
            aad: &[u8],
            text: &mut [u8],
            tag: [u8; TAG_LEN],
        ) -> Option<()> {
            let (nonce, text, tag) = ((&nonce).into(), text.into(), (&tag).into());
            let opened = match self {
                Self::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
                Self::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
                Self::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
            };
            opened.ok()
        }
    }
}

#[cfg(not(feature = "encryption"))]
mod cipher {
    use super::{NONCE_LEN, TAG_LEN};

    /// Stands for a key's schedule. There are no keys in this build: `Key::new` refuses.
    #[derive(Clone)]
    pub(super) struct Cipher;

    impl Cipher {
        pub(super) const fn new(_key: &[u8]) -> Self {
            Self
        }

        pub(super) const fn encrypt(
            &self,
            _nonce: [u8; NONCE_LEN],
            _aad: &[u8],
            _text: &mut [u8],
        ) -> Option<[u8; TAG_LEN]> {
            None
        }

        pub(super) const fn decrypt(
            &self,
            _nonce: [u8; NONCE_LEN],
            _aad: &[u8],
            _text: &mut [u8],
            _tag: [u8; TAG_LEN],
        ) -> Option<()> {
            None
        }
    }
}

#[cfg(test)]
#[cfg(feature = "encryption")]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 16]).unwrap()
    }

    fn ring(keys: &[Key]) -> Keyring {
        let mut ring = Keyring::new();
        for key in keys {
            assert_eq!(ring.install(key.clone()), Ok(true));
        }
        ring
    }

    fn sealed(ring: &Keyring, version: Version, aad: &[u8], text: &[u8]) -> Vec<u8> {
        let mut buf = vec![0; text.len() + version.overhead()];
        buf[SEAL_HEADER..][..text.len()].copy_from_slice(text);
        let len = ring.seal(version, [9; NONCE_LEN], aad, &mut buf, text.len()).unwrap();
        buf.truncate(len);
        buf
    }

    #[test]
    fn a_key_has_one_of_three_lengths_and_is_never_printed() {
        for len in 0..=40 {
            let made = Key::new(&vec![7; len]);
            match KEY_LENS.contains(&len) {
                true => assert_eq!(made.unwrap().as_bytes(), vec![7; len]),
                false => assert_eq!(made, Err(KeyError::Length { len })),
            }
        }
        let ring = ring(&[key(0xab)]);
        assert_eq!(format!("{ring:?}"), "[Key(16 bytes)]");
    }

    #[test]
    fn keys_are_installed_used_and_removed() {
        let (a, b, c) = (key(1), key(2), key(3));
        let mut ring = Keyring::new();
        assert!(ring.is_empty() && ring.primary().is_none());
        assert_eq!(ring.use_key(&a), Err(KeyringError::NotInstalled));
        ring.install(a.clone()).unwrap();
        assert_eq!(ring.install(a.clone()), Ok(false));
        ring.install(b.clone()).unwrap();
        ring.install(c.clone()).unwrap();
        assert_eq!(ring.primary(), Some(&a));
        ring.use_key(&c).unwrap();
        assert_eq!(ring.keys().collect::<Vec<_>>(), [&c, &a, &b], "the others keep their order");
        assert_eq!(ring.remove(&c), Err(KeyringError::IsPrimary));
        assert_eq!(ring.remove(&a), Ok(true));
        assert_eq!(ring.remove(&a), Ok(false));
        assert_eq!(ring.keys().collect::<Vec<_>>(), [&c, &b]);
    }

    #[test]
    fn a_ring_has_a_limit() {
        let mut ring = Keyring::new();
        for byte in 0..KEYS_MAX as u8 {
            ring.install(key(byte)).unwrap();
        }
        assert_eq!(ring.install(key(200)), Err(KeyringError::Full));
        assert_eq!(ring.install(key(3)), Ok(false), "known keys need no room");
    }

    #[test]
    fn what_is_sealed_opens_with_any_installed_key_until_that_is_removed() {
        let (a, b) = (key(1), key(2));
        let mut receiver = ring(&[a.clone(), b.clone()]);
        for sender in [&a, &b] {
            let mut bytes =
                sealed(&ring(core::slice::from_ref(sender)), Version::Plain, b"l", b"text");
            assert_eq!(receiver.open(b"l", &mut bytes).unwrap(), b"text");
        }
        receiver.remove(&b).unwrap();
        let mut bytes = sealed(&ring(&[b]), Version::Plain, b"l", b"text");
        let before = bytes.clone();
        assert_eq!(receiver.open(b"l", &mut bytes), Err(SealError::NoKey));
        assert_eq!(bytes, before, "a migration may still read it as plaintext");
    }

    #[test]
    fn every_length_comes_back_from_both_versions_and_key_lengths() {
        for len in KEY_LENS {
            let ring = ring(&[Key::new(&vec![5; len]).unwrap()]);
            for text_len in 0..=66 {
                let text = vec![16; text_len];
                for (version, added) in
                    [(Version::Plain, 29), (Version::Padded, 29 + 16 - text_len % 16)]
                {
                    let mut bytes = sealed(&ring, version, b"random data", &text);
                    assert_eq!(bytes.len(), text_len + added);
                    assert!(added <= version.overhead());
                    assert_eq!(ring.open(b"random data", &mut bytes).unwrap(), &text);
                }
            }
        }
    }

    #[test]
    fn a_changed_bit_or_other_additional_data_opens_nothing() {
        let ring = ring(&[key(1)]);
        let whole = sealed(&ring, Version::Plain, b"label", b"text");
        for bit in 8..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.open(b"label", &mut bytes), Err(SealError::NoKey), "bit {bit}");
        }
        assert_eq!(ring.open(b"labe", &mut whole.clone()), Err(SealError::NoKey));
        let mut unknown = whole.clone();
        unknown[0] = 2;
        assert_eq!(ring.open(b"label", &mut unknown), Err(SealError::UnknownVersion(2)));
        for len in 0..29 {
            let mut bytes = whole.clone();
            bytes.truncate(len);
            assert_eq!(ring.open(b"label", &mut bytes), Err(SealError::Truncated));
        }
    }

    #[test]
    fn padding_is_checked_whole() {
        let ring = ring(&[key(1)]);
        // A text that ends as padding should, sealed as if it were padded already.
        let open = |text: &[u8]| {
            let mut bytes = sealed(&ring, Version::Plain, b"", text);
            bytes[0] = 0;
            ring.open(b"", &mut bytes).map(|text| text.to_vec())
        };
        let mut block = [3; 16];
        assert_eq!(open(&block), Ok(vec![3; 13]));
        block[13] = 2;
        assert_eq!(open(&block), Err(SealError::Padding), "not all are the same");
        assert_eq!(open(&[16; 16]), Ok(vec![]));
        assert_eq!(open(&[0; 16]), Err(SealError::Padding));
        assert_eq!(open(&[17; 32]), Err(SealError::Padding));
        assert_eq!(open(&[1; 17]), Err(SealError::Padding), "not whole blocks");
        assert_eq!(open(&[255; 16]), Err(SealError::Padding));
    }

    #[test]
    fn there_is_no_sealing_without_key_or_room() {
        let mut buf = [0; 64];
        let version = Version::Plain;
        assert_eq!(Keyring::new().seal(version, [0; NONCE_LEN], b"", &mut buf, 4), None);
        let ring = ring(&[key(1)]);
        assert_eq!(ring.seal(version, [0; NONCE_LEN], b"", &mut buf[..32], 4), None);
        assert_eq!(ring.seal(version, [0; NONCE_LEN], b"", &mut buf[..33], 4), Some(33));
    }
}
