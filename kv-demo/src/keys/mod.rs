//! Keys as people handle them: text, fingerprints, the file that a node keeps its ring in.
//!
//! A key is written as `serf keygen` and `consul keygen` print it: 16, 24 or 32 bytes in base64.
//! Hexadecimal is not read: the 32 digits of a 16-byte key are the base64 of another one, of 24.
//! What people compare is a key's fingerprint, which tells nobody the key.

mod file;

use core::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rumormill::{KEYS_MAX, Key, KeyError, Keyring, KeyringError};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

pub use file::{KeyFile, KeyFileError};

/// Bytes of a fresh key: AES-256.
pub const FRESH_KEY_LEN: usize = 32;
/// Fewest digits of a fingerprint that name a key: a typing error does not name another one.
pub const FINGERPRINT_DIGITS_MIN: usize = 6;
/// Hashed before a key, so that its fingerprint is no hash that anybody else publishes.
const FINGERPRINT_DOMAIN: &[u8] = b"rumormill key fingerprint 1\0";

/// What people call a key: the first 8 bytes of a hash of it, in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Of a key.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        let hash = Sha256::new().chain_update(FINGERPRINT_DOMAIN).chain_update(key.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a line is no key; the place goes in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyTextError {
    /// It is not base64.
    #[error("not base64: write one key per line, as `kv-demo keygen` prints it")]
    NotBase64,
    /// It is of no length that a key has.
    #[error("{0}: make one with `kv-demo keygen`")]
    Length(#[from] KeyError),
    /// There are too many.
    #[error("more than {KEYS_MAX} keys: remove those that no member uses any more")]
    TooMany,
    /// The file ends before the line does.
    #[error(
        "the file ends within this line: it was cut off, so put the key back or delete the line"
    )]
    CutOff,
    /// There is none.
    #[error("no key: put in what `kv-demo keygen` prints")]
    Empty,
}

/// Reads keys, one per line, the primary one first. Blank lines and what follows `#` are passed
/// over, and so is a key that stood there before.
///
/// # Errors
///
/// [`KeyTextError`] and the line, counted from 1, where there is one.
pub fn parse(text: &str) -> Result<Keyring, (Option<usize>, KeyTextError)> {
    let mut ring = Keyring::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let at = |error: KeyTextError| (Some(index + 1), error);
        let key = parse_key(line).map_err(at)?;
        ring.install(key).map_err(|_| at(KeyTextError::TooMany))?;
    }
    if ring.is_empty() { Err((None, KeyTextError::Empty)) } else { Ok(ring) }
}

fn parse_key(text: &str) -> Result<Key, KeyTextError> {
    let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| KeyTextError::NotBase64)?);
    Ok(Key::new(&bytes)?)
}

/// A key as people write it.
#[must_use]
pub fn to_text(key: &Key) -> Zeroizing<String> {
    Zeroizing::new(BASE64.encode(key.as_bytes()))
}

/// A fresh key from the operating system's entropy.
///
/// # Errors
///
/// If the system gives none.
pub fn generate() -> io::Result<Key> {
    let bytes = Zeroizing::new(rumormill_mio::entropy::<FRESH_KEY_LEN>()?);
    Key::new(&*bytes).map_err(io::Error::other)
}

/// What is to become of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Add a key, with which others may then encrypt.
    Install(Key),
    /// Encrypt with the key of this fingerprint, or of one that starts so.
    Use(String),
    /// Forget the key of this fingerprint.
    Remove(String),
}

/// Why a ring stays as it is; one line that names the fix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyChangeError {
    /// It is no start of a fingerprint, or one that says too little.
    #[error(
        "`{given}` is no fingerprint: take {FINGERPRINT_DIGITS_MIN} digits or more of what `kv-demo keys list` shows"
    )]
    NoFingerprint {
        /// What was given.
        given: String,
    },
    /// No key has it.
    #[error("this node has no key {given}: install it with `kv-demo keys install`")]
    Unknown {
        /// What was given.
        given: String,
    },
    /// Several keys have it.
    #[error("several keys start with {given}: take more digits of the fingerprint")]
    Ambiguous {
        /// What was given.
        given: String,
    },
    /// The primary key encrypts what is sent.
    #[error(
        "{key} is the primary key: make another one primary on every member (`kv-demo keys use`), then remove it"
    )]
    IsPrimary {
        /// Which.
        key: Fingerprint,
    },
    /// There is no room.
    #[error("this node has {KEYS_MAX} keys: remove one that no member uses any more")]
    Full,
}

impl KeyChange {
    /// The ring as it is to become, and the key that this is about.
    ///
    /// # Errors
    ///
    /// [`KeyChangeError`].
    pub fn apply(self, ring: &Keyring) -> Result<(Keyring, Fingerprint), KeyChangeError> {
        let mut ring = ring.clone();
        let (key, done) = match self {
            Self::Install(key) => (key.clone(), ring.install(key).map(drop)),
            Self::Use(given) => {
                let key = find(&ring, &given)?;
                let done = ring.use_key(&key);
                (key, done)
            }
            Self::Remove(given) => {
                let key = find(&ring, &given)?;
                let done = ring.remove(&key).map(drop);
                (key, done)
            }
        };
        let key = Fingerprint::of(&key);
        match done {
            Ok(()) => Ok((ring, key)),
            Err(KeyringError::IsPrimary) => Err(KeyChangeError::IsPrimary { key }),
            Err(KeyringError::Full) => Err(KeyChangeError::Full),
            Err(_) => Err(KeyChangeError::Unknown { given: key.to_string() }),
        }
    }
}

fn find(ring: &Keyring, given: &str) -> Result<Key, KeyChangeError> {
    let wanted = given.to_ascii_lowercase();
    let is_start = wanted.len() >= FINGERPRINT_DIGITS_MIN
        && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    // What is no fingerprint may be a key that somebody mistook for one: it is not repeated.
    if !is_start || wanted.len() > 16 {
        let given = given.chars().take(FINGERPRINT_DIGITS_MIN).chain("…".chars()).collect();
        return Err(KeyChangeError::NoFingerprint { given });
    }
    let has = |key: &&Key| Fingerprint::of(key).to_string().starts_with(&wanted);
    let mut found = ring.keys().filter(has);
    let first = found.next().ok_or_else(|| KeyChangeError::Unknown { given: wanted.clone() })?;
    if found.next().is_some() {
        return Err(KeyChangeError::Ambiguous { given: wanted });
    }
    Ok(first.clone())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn key(byte: u8) -> Key {
        Key::new(&[byte; 32]).unwrap()
    }

    pub(crate) fn ring(bytes: &[u8]) -> Keyring {
        let mut ring = Keyring::new();
        for &byte in bytes {
            ring.install(key(byte)).unwrap();
        }
        ring
    }

    #[test]
    fn a_file_of_keys_may_have_comments_and_blank_lines() {
        let text = format!(
            "# primary\n{}\n\n  {}   # the old one\r\n{}\n",
            *to_text(&key(1)),
            *to_text(&key(2)),
            *to_text(&key(1))
        );
        assert_eq!(parse(&text), Ok(ring(&[1, 2])));
    }

    #[test]
    fn keys_of_serf_and_consul_are_read() {
        for (text, len) in [
            ("QHOYjmYlxSCBhdfiolhtDQ==", 16),
            ("Ft84d6apDkXfEgpTwn7bBoQZYIeWIBAe", 24),
            ("pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", 32),
        ] {
            let ring = parse(text).unwrap();
            assert_eq!(ring.primary().unwrap().as_bytes().len(), len, "{text}");
            assert_eq!(*to_text(ring.primary().unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_line() {
        let refusal = |text: &str| parse(text).unwrap_err();
        assert_eq!(refusal("# nothing\n\n"), (None, KeyTextError::Empty));
        assert_eq!(refusal("\nsecret"), (Some(2), KeyTextError::NotBase64));
        assert_eq!(refusal("QHOYjmYlxSCBhdfiolhtDQ"), (Some(1), KeyTextError::NotBase64));
        let (line, error) = refusal("AAAA");
        assert_eq!(line, Some(1));
        assert!(error.to_string().contains("this one has 3: make one"), "{error}");
        let many: String = (0..=16).map(|byte| format!("{}\n", *to_text(&key(byte)))).collect();
        assert_eq!(refusal(&many), (Some(17), KeyTextError::TooMany));
    }

    #[test]
    fn fingerprints_tell_keys_apart_and_are_these() {
        assert_eq!(Fingerprint::of(&key(1)).to_string().len(), 16);
        assert_ne!(Fingerprint::of(&key(1)), Fingerprint::of(&key(2)));
        let short = Key::new(&[1; 16]).unwrap();
        assert_ne!(Fingerprint::of(&key(1)), Fingerprint::of(&short));
    }

    #[test]
    fn a_rotation_is_install_use_remove() {
        let name = |byte| Fingerprint::of(&key(byte)).to_string();
        let (both, about) = KeyChange::Install(key(2)).apply(&ring(&[1])).unwrap();
        assert_eq!((both.clone(), about.to_string()), (ring(&[1, 2]), name(2)));
        let (used, _) = KeyChange::Use(name(2)).apply(&both).unwrap();
        assert_eq!(used, ring(&[2, 1]));
        let start = name(1)[..FINGERPRINT_DIGITS_MIN].to_uppercase();
        let (rest, _) = KeyChange::Remove(start).apply(&used).unwrap();
        assert_eq!(rest, ring(&[2]));
    }

    #[test]
    fn what_cannot_be_changed_says_what_to_do() {
        let refusal = |change: KeyChange| change.apply(&ring(&[1, 2])).unwrap_err();
        let name = |byte| Fingerprint::of(&key(byte)).to_string();
        let primary = refusal(KeyChange::Remove(name(1)));
        assert_eq!(primary, KeyChangeError::IsPrimary { key: Fingerprint::of(&key(1)) });
        assert!(primary.to_string().contains("keys use"), "{primary}");
        let unknown = refusal(KeyChange::Use(name(3)));
        assert!(unknown.to_string().contains("keys install"), "{unknown}");
        for given in ["", "12345", "not hex", &*to_text(&key(1))] {
            let refused = refusal(KeyChange::Use(given.to_owned()));
            assert!(matches!(refused, KeyChangeError::NoFingerprint { .. }), "{given}");
            assert!(!refused.to_string().contains(&*to_text(&key(1))), "no key is repeated");
        }
        let full: Vec<u8> = (0..16).collect();
        let refused = KeyChange::Install(key(16)).apply(&ring(&full)).unwrap_err();
        assert_eq!(refused, KeyChangeError::Full);
    }

    #[test]
    fn fresh_keys_differ() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert!(a != b && a.as_bytes().len() == FRESH_KEY_LEN);
    }
}
