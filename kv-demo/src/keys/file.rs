//! The file that a node reads its ring from and writes it back to. It is replaced as a whole: at
//! every instant it holds either the ring before a change or the one after it.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rumormill::Keyring;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{KeyTextError, parse, to_text};

/// Largest file that is read, in bytes: keys and plenty of comments.
const FILE_LEN_MAX: u64 = 64 << 10;
/// What a file says that a node has written.
const HEADER: &str =
    "# The keys of a kv-demo node, which wrote this file. The first one encrypts.\n";

/// A file of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
}

/// Why a file is no ring, or did not become one; one line that names the fix.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It is not there.
    #[error("{}: no such file: make one with `(umask 077; kv-demo keygen > {})`", .path.display(), .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: cannot be read ({reason}): name a file of keys that this user may read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: io::Error,
    },
    /// Standard input is no file.
    #[error(
        "--encrypt-key-file takes no `-`: the node writes its keys back when they change, so name a file"
    )]
    StandardInput,
    /// Something in it is no key.
    #[error("{}{}: {reason}", .path.display(), line_suffix(*.line))]
    Text {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
        /// What is wrong.
        reason: KeyTextError,
    },
    /// Somebody else changed it.
    #[error(
        "{}: it was changed since this node read it, so the keys stay as they are: put the node's keys back, or restart the node",
        .path.display()
    )]
    ChangedMeanwhile {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be replaced.
    #[error(
        "{}: cannot be replaced ({reason}), so the keys stay as they are: let the node write to its folder",
        .path.display()
    )]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
}

fn line_suffix(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

impl KeyFile {
    /// The file at `path`, with its keys and what a careful operator would change about it.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn open(path: &Path) -> Result<(Self, Keyring, Vec<String>), KeyFileError> {
        if path.as_os_str() == "-" {
            return Err(KeyFileError::StandardInput);
        }
        // A link stays a link: what it leads to is replaced.
        let path = fs::canonicalize(path).map_err(|reason| unreadable(path, reason))?;
        let file = Self { path };
        let (text, metadata) = file.read()?;
        let ring = file.parse(&text)?;
        let hints = warnings(&file.path, &metadata, &text);
        Ok((file, ring, hints))
    }

    /// Makes the file hold `after`, if it still holds `before`.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]; the file is what it was.
    pub fn replace(&self, before: &Keyring, after: &Keyring) -> Result<(), KeyFileError> {
        let permissions = match self.read() {
            Ok((text, metadata)) => {
                let found = self.parse(&text)?;
                // Nodes of one host may share a file: another one has made the change.
                if found == *after {
                    return Ok(());
                }
                if found != *before {
                    return Err(KeyFileError::ChangedMeanwhile { path: self.path.clone() });
                }
                Some(metadata.permissions())
            }
            // Somebody removed it. It is needed at the next start.
            Err(KeyFileError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let written = self.write(after, permissions);
        written.map_err(|reason| KeyFileError::NotWritten { path: self.path.clone(), reason })
    }

    fn read(&self) -> Result<(Zeroizing<String>, fs::Metadata), KeyFileError> {
        let read = || {
            let file = File::open(&self.path)?;
            let metadata = file.metadata()?;
            if metadata.len() > FILE_LEN_MAX {
                return Err(io::Error::other(format!("it is longer than {FILE_LEN_MAX} bytes")));
            }
            // Room for all of it at once: what a growing string leaves behind is not wiped.
            let room = usize::try_from(metadata.len()).unwrap_or_default() + 1;
            let mut text = Zeroizing::new(String::with_capacity(room));
            file.take(FILE_LEN_MAX).read_to_string(&mut text)?;
            Ok((text, metadata))
        };
        read().map_err(|reason| unreadable(&self.path, reason))
    }

    fn parse(&self, text: &str) -> Result<Keyring, KeyFileError> {
        let wrong = |(line, reason)| KeyFileError::Text { path: self.path.clone(), line, reason };
        // The first 32 digits of a long key are a shorter one. A node ends each line that it writes.
        if text.starts_with(HEADER) && !text.ends_with('\n') {
            return Err(wrong((Some(text.lines().count()), KeyTextError::CutOff)));
        }
        parse(text).map_err(wrong)
    }

    /// Writes a new file beside the old one, and when all of it is on the disk, puts it in its
    /// place.
    fn write(&self, ring: &Keyring, permissions: Option<Permissions>) -> io::Result<()> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let new = format!(".{}.{}.new", name.to_string_lossy(), std::process::id());
        let new = folder.join(new);
        // One that a crash left behind, of a process with the same number.
        let _ = fs::remove_file(&new);
        let written = write_whole(&new, ring, permissions).and_then(|()| {
            fs::rename(&new, &self.path)?;
            sync_folder(folder)
        });
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

fn unreadable(path: &Path, reason: io::Error) -> KeyFileError {
    let path = path.to_owned();
    match reason.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path },
        _ => KeyFileError::Unreadable { path, reason },
    }
}

fn write_whole(path: &Path, ring: &Keyring, permissions: Option<Permissions>) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(HEADER.as_bytes())?;
    for key in ring.keys() {
        file.write_all(to_text(key).as_bytes())?;
        file.write_all(b"\n")?;
    }
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()
}

/// Without it, a crash of the machine may undo the rename.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
const fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn warnings(path: &Path, metadata: &fs::Metadata, text: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    #[cfg(unix)]
    {
        const OTHERS: u32 = 0o007;
        let mode = std::os::unix::fs::MetadataExt::mode(metadata) & 0o777;
        if mode & OTHERS != 0 {
            let path = path.display();
            warnings.push(format!("{path}: every user may read it ({mode:o}): chmod 600 {path}"));
        }
    }
    #[cfg(not(unix))]
    let _ = metadata;
    if !text.ends_with('\n') {
        let path = path.display();
        warnings.push(format!("{path}: it ends within a line: was it cut off, with its last key?"));
    }
    let is_hex = |line: &str| line.len() == 32 && line.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(index) = text.lines().position(|line| is_hex(line.trim())) {
        warnings.push(format!(
            "{}:{}: it looks like a hexadecimal key of 16 bytes and is read as base64, of 24, as \
             Serf and Consul read it",
            path.display(),
            index + 1
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, ring};
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    /// A folder of one test.
    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("kv-demo-keys-{}-{count}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn file(&self, text: &str) -> PathBuf {
            let path = self.0.join("keys");
            fs::write(&path, text).unwrap();
            path
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap();
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|&byte| format!("{}\n", *to_text(&key(byte)))).collect()
    }

    fn read(path: &Path) -> Keyring {
        KeyFile::open(path).unwrap().1
    }

    #[test]
    fn a_changed_ring_replaces_the_file_and_leaves_nothing_beside_it() {
        let dir = Dir::new();
        let path = dir.file(&text(&[1]));
        let (file, before, _) = KeyFile::open(&path).unwrap();
        file.replace(&before, &ring(&[1, 2])).unwrap();
        assert_eq!(read(&path), ring(&[1, 2]));
        file.replace(&ring(&[1, 2]), &ring(&[2, 1])).unwrap();
        assert_eq!(read(&path), ring(&[2, 1]));
        assert_eq!(dir.names(), ["keys"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_new_file_has_the_permissions_of_the_old_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = Dir::new();
        let path = dir.file(&text(&[1]));
        for mode in [0o600, 0o640, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let (file, before, warnings) = KeyFile::open(&path).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            let after = if before == ring(&[1]) { ring(&[2]) } else { ring(&[1]) };
            file.replace(&before, &after).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let (_, _, warnings) = KeyFile::open(&path).unwrap();
        assert!(warnings[0].contains("chmod 600"), "{warnings:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let dir = Dir::new();
        let path = dir.file(&text(&[1]));
        let link = dir.0.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (file, before, _) = KeyFile::open(&link).unwrap();
        file.replace(&before, &ring(&[2])).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&path), ring(&[2]));
    }

    /// Attack 18: whoever looks, at whatever moment, finds one whole ring. What a process that
    /// was killed in the middle left behind is another file.
    #[test]
    fn a_reader_never_finds_half_a_ring() {
        let dir = Dir::new();
        let path = dir.file(&text(&[1, 2, 3]));
        let (file, ..) = KeyFile::open(&path).unwrap();
        let rings = [ring(&[1, 2, 3]), ring(&[4])];
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = [0_u32; 2];
                while !is_done.load(Ordering::Relaxed) || seen.contains(&0) {
                    let found = read(&path);
                    let at = rings.iter().position(|ring| *ring == found).expect("a whole ring");
                    seen[at] += 1;
                }
            });
            for _ in 0..100 {
                file.replace(&rings[0], &rings[1]).unwrap();
                file.replace(&rings[1], &rings[0]).unwrap();
            }
            // The reader ends when it has seen both.
            file.replace(&rings[0], &rings[1]).unwrap();
            is_done.store(true, Ordering::Relaxed);
            let mut at = 1;
            while !reader.is_finished() {
                file.replace(&rings[at], &rings[1 - at]).unwrap();
                at = 1 - at;
            }
        });
    }

    #[test]
    fn a_write_that_fails_leaves_the_file_as_it_was() {
        let dir = Dir::new();
        let path = dir.file(&text(&[1]));
        let (file, before, _) = KeyFile::open(&path).unwrap();
        // A folder where the new file would be: it can neither be removed nor written.
        let new = dir.0.join(format!(".keys.{}.new", std::process::id()));
        fs::create_dir(&new).unwrap();
        let refused = file.replace(&before, &ring(&[1, 2])).unwrap_err();
        assert!(refused.to_string().contains("the keys stay as they are"), "{refused}");
        assert_eq!(read(&path), before);
        // What a crash left there is in nobody's way.
        fs::remove_dir(&new).unwrap();
        fs::write(&new, "AAA").unwrap();
        assert_eq!(read(&path), before);
        file.replace(&before, &ring(&[1, 2])).unwrap();
        assert_eq!(dir.names(), ["keys"]);
    }

    /// Attack 18: whatever a copy that broke off left of a file, no other key comes of it.
    #[test]
    fn each_beginning_of_a_file_gives_whole_keys_or_a_line_that_names_the_fix() {
        let dir = Dir::new();
        let path = dir.file(&text(&[1]));
        let (file, before, _) = KeyFile::open(&path).unwrap();
        file.replace(&before, &ring(&[1, 2, 3])).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let mut whole_keys = [0_u32; 4];
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            match KeyFile::open(&path) {
                Ok((_, found, warnings)) => {
                    let count = found.keys().count();
                    assert_eq!(found, ring(&[1, 2, 3][..count]), "{len}");
                    whole_keys[count] += 1;
                    assert!(!warnings.iter().any(|warning| warning.contains("cut off")));
                }
                Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
            }
        }
        assert_eq!(whole_keys, [0, 1, 1, 1]);
        fs::write(&path, to_text(&key(1)).as_bytes()).unwrap();
        let warnings = KeyFile::open(&path).unwrap().2;
        assert!(warnings.iter().any(|warning| warning.contains("cut off")), "{warnings:?}");
    }

    #[test]
    fn a_file_that_somebody_edited_is_not_overwritten() {
        let dir = Dir::new();
        let path = dir.file(&text(&[1]));
        let (file, before, _) = KeyFile::open(&path).unwrap();
        dir.file(&text(&[1, 9]));
        let refused = file.replace(&before, &ring(&[1, 2])).unwrap_err();
        assert!(matches!(refused, KeyFileError::ChangedMeanwhile { .. }), "{refused}");
        assert_eq!(read(&path), ring(&[1, 9]));
        // Another node of this host made the same change; and one that is gone is written anew.
        file.replace(&before, &ring(&[1, 9])).unwrap();
        fs::remove_file(&path).unwrap();
        file.replace(&before, &ring(&[1, 2])).unwrap();
        assert_eq!(read(&path), ring(&[1, 2]));
    }

    #[test]
    fn a_hexadecimal_key_is_read_as_serf_reads_it_and_said() {
        let dir = Dir::new();
        let path = dir.file("00112233445566778899aabbccddeeff\n");
        let (_, ring, warnings) = KeyFile::open(&path).unwrap();
        assert_eq!(ring.primary().unwrap().as_bytes().len(), 24);
        assert!(warnings.iter().any(|warning| warning.contains("hexadecimal")), "{warnings:?}");
    }
}
