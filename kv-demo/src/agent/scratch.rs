//! A folder of a process' own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that only this user may enter, removed with all that is in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder that did not exist: nobody can have put anything there.
    ///
    /// # Errors
    ///
    /// The path, and what the system says.
    pub(crate) fn new() -> Result<Self, (PathBuf, io::Error)> {
        let parent = std::env::temp_dir();
        let chance = rumormill_mio::entropy::<8>().map_err(|error| (parent.clone(), error))?;
        let path = parent.join(format!("kv-demo-{:016x}", u64::from_be_bytes(chance)));
        match create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err((path, error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes the files in it.
    pub(crate) fn clear(&self) {
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        for entry in entries.flatten() {
            // A file that stays is overwritten by the next run, or removed with the folder.
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_cleared_and_removed_with_its_files() {
        let scratch = Scratch::new().unwrap();
        let file = scratch.path().join("Node1.log");
        fs::write(&file, "text").unwrap();
        scratch.clear();
        assert!(!file.exists() && scratch.path().exists());
        fs::write(&file, "text").unwrap();
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }
}
