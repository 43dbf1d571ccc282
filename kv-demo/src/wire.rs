//! What is around a node's messages: the cluster's name, its keys, compression.

use std::path::PathBuf;

use rumormill::{Config, Keyring};
use serde::Deserialize;
use thiserror::Error;

use crate::keys::{KeyFile, KeyFileError};

/// What flags and files say about it; `None` leaves the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct WireWishes {
    /// Name of the cluster.
    pub label: Option<String>,
    /// The file with its keys; none: nothing is encrypted.
    pub encrypt_key_file: Option<PathBuf>,
    /// Whether plaintext is refused where there are keys.
    pub verify_incoming: Option<bool>,
    /// Whether what is sent is encrypted where there are keys.
    pub verify_outgoing: Option<bool>,
    /// Whether what is sent is compressed.
    pub compression: Option<bool>,
}

/// What is around every datagram and every stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireSettings {
    /// Name of the cluster, at most 255 bytes; empty: none. Members with another one are strangers.
    pub label: Vec<u8>,
    /// The keys to begin with; none: nothing is encrypted.
    pub keyring: Keyring,
    /// Whether plaintext is refused where there are keys.
    pub verify_incoming: bool,
    /// Whether what is sent is encrypted where there are keys.
    pub verify_outgoing: bool,
    /// Whether what is sent is compressed.
    pub compression: bool,
}

/// Why wishes cannot be granted; one line that names the fix.
#[derive(Debug, Error)]
pub enum WireError {
    /// The file of keys is none.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Without keys nothing is verified.
    #[error(
        "nothing is encrypted, so there is nothing to verify: name keys with --encrypt-key-file"
    )]
    NothingToVerify,
}

impl WireWishes {
    /// These over others.
    #[must_use]
    pub fn over(self, others: Self) -> Self {
        Self {
            label: self.label.or(others.label),
            encrypt_key_file: self.encrypt_key_file.or(others.encrypt_key_file),
            verify_incoming: self.verify_incoming.or(others.verify_incoming),
            verify_outgoing: self.verify_outgoing.or(others.verify_outgoing),
            compression: self.compression.or(others.compression),
        }
    }

    /// Reads the keys. Returns also the file that changes of them go to, and what a careful
    /// operator would change about it.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub fn grant(self) -> Result<(WireSettings, Option<KeyFile>, Vec<String>), WireError> {
        let (file, keyring, hints) = match &self.encrypt_key_file {
            Some(path) => {
                let (file, keyring, hints) = KeyFile::open(path)?;
                (Some(file), keyring, hints)
            }
            None if self.verify_incoming.or(self.verify_outgoing).is_some() => {
                return Err(WireError::NothingToVerify);
            }
            None => (None, Keyring::new(), Vec::new()),
        };
        let settings = WireSettings {
            label: self.label.unwrap_or_default().into_bytes(),
            keyring,
            verify_incoming: self.verify_incoming.unwrap_or(true),
            verify_outgoing: self.verify_outgoing.unwrap_or(true),
            compression: self.compression.unwrap_or(false),
        };
        Ok((settings, file, hints))
    }
}

impl Default for WireSettings {
    fn default() -> Self {
        Self {
            label: Vec::new(),
            keyring: Keyring::new(),
            verify_incoming: true,
            verify_outgoing: true,
            compression: false,
        }
    }
}

impl WireSettings {
    /// Takes them over into the knobs of a node.
    pub fn apply(&self, config: &mut Config) {
        config.label.clone_from(&self.label);
        config.keyring.clone_from(&self.keyring);
        config.verify_incoming = self.verify_incoming;
        config.verify_outgoing = self.verify_outgoing;
        config.compression = self.compression;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_wished_is_what_the_core_does_by_itself() {
        let (settings, file, hints) = WireWishes::default().grant().unwrap();
        assert_eq!((file, hints), (None, Vec::new()));
        let mut config = Config::lan();
        settings.apply(&mut config);
        assert_eq!(config, Config::lan());
        assert_eq!(settings, WireSettings::default());
    }

    #[test]
    fn each_wish_of_a_flag_wins_over_that_of_a_file() {
        let wishes = |label: &str, is_on| WireWishes {
            label: Some(label.to_owned()),
            encrypt_key_file: Some(PathBuf::from(label)),
            verify_incoming: Some(is_on),
            verify_outgoing: Some(is_on),
            compression: Some(is_on),
        };
        let (flag, file) = (wishes("flag", true), wishes("file", false));
        assert_eq!(flag.clone().over(file.clone()), flag);
        assert_eq!(WireWishes::default().over(file.clone()), file);
    }

    #[test]
    fn verifying_needs_keys() {
        let wishes = WireWishes { verify_incoming: Some(true), ..WireWishes::default() };
        let refused = wishes.grant().unwrap_err().to_string();
        assert!(refused.contains("--encrypt-key-file"), "{refused}");
    }
}
