//! Bugs on purpose: patches of the core, and a copy of the workspace to put them into.
//!
//! A swarm in which nothing ever fails may be one that sees nothing. Each patch in `mutants/` breaks
//! one thing, and its first lines say what that is and who should see it:
//!
//! ```text
//! breaks: A rumour that comes again is told again.
//! seen by: swarm: a rumour was told twice
//! ```
//!
//! | seen by | which must fail |
//! |---|---|
//! | `swarm: WORDS` | some seed, with these words |
//! | `field NAME` | `sim fields NAME` |
//! | `test FILE::FILTER` | a test of this file of the core's tests or of the simulator's, or `lib` for those inside the core |
//!
//! A patch that does not fit any more is made anew: break the core by hand, and put what
//! `git diff -U2 core` says under the two lines.

use core::fmt;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use thiserror::Error;

/// What a copy has of the workspace, beside its manifest.
const MEMBERS: [&str; 2] = ["core", "runtime-sim"];

/// Why a mutant could not be made.
#[derive(Debug, Error)]
pub enum MutantError {
    /// A file is missing, or the disk full.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A patch does not begin with the two lines that it should begin with.
    #[error(
        "{0}: it does not begin with `breaks: ..` and `seen by: `, then `swarm: ..`, `field ..` or `test ..`"
    )]
    Header(String),
    /// The code has changed since it was written.
    #[error("{name}: it does not apply any more: {words}")]
    DoesNotApply {
        /// Which.
        name: String,
        /// What `git apply` says.
        words: String,
    },
    /// Git did not do what it should.
    #[error("git {what}: {words}")]
    Git {
        /// What it was to do.
        what: &'static str,
        /// What it says.
        words: String,
    },
    /// A copy is there already.
    #[error("{0} is there: another `sim mutants` works in it, or was killed, then remove it")]
    InUse(PathBuf),
    /// The workspace's manifest does not list its members in one line.
    #[error("{0}: it has no line `members = [..]`")]
    Manifest(PathBuf),
}

/// Who should see a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A swarm of seeds: some rule, or that the cluster does not come together.
    Swarm {
        /// What it says then.
        words: String,
    },
    /// One of the [`fields`](crate::fields).
    Field {
        /// Its name.
        name: String,
    },
    /// Tests of the core or the simulator.
    Test {
        /// The file without its extension, or `lib`.
        file: String,
        /// What the names of the tests contain.
        filter: String,
    },
}

impl Sight {
    fn read(text: &str) -> Option<Self> {
        if let Some(words) = text.strip_prefix("swarm: ") {
            return Some(Self::Swarm { words: words.to_owned() });
        }
        if let Some(name) = text.strip_prefix("field ") {
            return Some(Self::Field { name: name.to_owned() });
        }
        let (file, filter) = text.strip_prefix("test ")?.split_once("::")?;
        Some(Self::Test { file: file.to_owned(), filter: filter.to_owned() })
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Swarm { .. } => f.write_str("swarm"),
            Self::Field { name } => write!(f, "field {name}"),
            Self::Test { file, filter } => write!(f, "test {file}::{filter}"),
        }
    }
}

/// One bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The patch's file without its extension.
    pub name: String,
    /// What it breaks.
    pub breaks: String,
    /// Who should see it.
    pub sight: Sight,
    path: PathBuf,
}

impl Mutant {
    /// All patches of a folder, by name.
    ///
    /// # Errors
    ///
    /// [`MutantError::File`] and [`MutantError::Header`].
    pub fn all_in(folder: &Path) -> Result<Vec<Self>, MutantError> {
        let listed = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<PathBuf> = listed
            .map_err(|error| MutantError::File { path: folder.to_owned(), error })?
            .iter()
            .map(fs::DirEntry::path)
            .filter(|path| path.extension() == Some(OsStr::new("patch")))
            .collect();
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Result<Self, MutantError> {
        let text = read(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let header = || {
            let mut lines = text.lines();
            let breaks = lines.next()?.strip_prefix("breaks: ")?.to_owned();
            let sight = Sight::read(lines.next()?.strip_prefix("seen by: ")?)?;
            Some((breaks, sight))
        };
        let (breaks, sight) = header().ok_or_else(|| MutantError::Header(name.clone()))?;
        Ok(Self { name, breaks, sight, path })
    }
}

/// A copy of the workspace; it goes when this is dropped.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// Copies the core and the simulator as they are in the working tree, but for what git ignores.
    ///
    /// # Errors
    ///
    /// [`MutantError`], all but those of patches.
    pub fn copy(workspace: &Path, folder: PathBuf) -> Result<Self, MutantError> {
        let which = ["-z", "--cached", "--others", "--exclude-standard", "--"].map(OsStr::new);
        let listed = git(workspace, "ls-files", &which, &MEMBERS)?;
        fs::create_dir(&folder).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => MutantError::InUse(folder.clone()),
            _ => MutantError::File { path: folder.clone(), error },
        })?;
        // From here on the folder goes, whatever happens.
        let workshop = Self { folder };
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for file in listed.split_terminator('\0').filter(|file| workspace.join(file).exists()) {
            workshop.take(workspace, file)?;
        }
        workshop.take(workspace, "Cargo.lock")?;
        workshop.write_manifest(workspace)?;
        Ok(workshop)
    }

    /// Where the copy is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn take(&self, workspace: &Path, file: &str) -> Result<(), MutantError> {
        let to = self.folder.join(file);
        let parent = to.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::copy(workspace.join(file), &to))
            .map(drop)
            .map_err(|error| MutantError::File { path: to, error })
    }

    /// The workspace's manifest with fewer members.
    fn write_manifest(&self, workspace: &Path) -> Result<(), MutantError> {
        let from = workspace.join("Cargo.toml");
        let text = read(&from)?;
        let mut lines: Vec<&str> = text.lines().collect();
        let members = lines.iter_mut().find(|line| line.starts_with("members = ["));
        let fewer = format!("members = {MEMBERS:?}");
        *members.ok_or(MutantError::Manifest(from))? = &fewer;
        let to = self.folder.join("Cargo.toml");
        fs::write(&to, lines.join("\n") + "\n")
            .map_err(|error| MutantError::File { path: to, error })
    }

    /// Puts a bug into the copy, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`MutantError::DoesNotApply`].
    pub fn put_in(&self, mutant: &Mutant) -> Result<(), MutantError> {
        self.apply(mutant, &[])
    }

    /// Takes it out again.
    ///
    /// # Errors
    ///
    /// [`MutantError::DoesNotApply`]: it was not in.
    pub fn take_out(&self, mutant: &Mutant) -> Result<(), MutantError> {
        self.apply(mutant, &["--reverse"])
    }

    fn apply(&self, mutant: &Mutant, more: &[&str]) -> Result<(), MutantError> {
        let path = mutant.path.canonicalize();
        let path = path.map_err(|error| MutantError::File { path: mutant.path.clone(), error })?;
        git(&self.folder, "apply", &[path.as_os_str()], more).map(drop).map_err(|error| {
            let (name, words) = (mutant.name.clone(), error.to_string());
            MutantError::DoesNotApply { name, words }
        })
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // A compiler that was just ended may write a last file.
        for _ in 0..10 {
            if fs::remove_dir_all(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
        }
        eprintln!("sim: {} could not be removed", self.folder.display());
    }
}

fn read(path: &Path) -> Result<String, MutantError> {
    fs::read_to_string(path).map_err(|error| MutantError::File { path: path.to_owned(), error })
}

fn git(
    folder: &Path,
    what: &'static str,
    args: &[&OsStr],
    more: &[&str],
) -> Result<Output, MutantError> {
    let mut command = Command::new("git");
    // A copy inside of some repository is none of its business.
    let above = folder.parent().unwrap_or(folder);
    command.env("GIT_CEILING_DIRECTORIES", above).current_dir(folder);
    let ran = command.arg(what).args(args).args(more).output();
    let ran = ran.map_err(|error| MutantError::Git { what, words: error.to_string() })?;
    if ran.status.success() {
        return Ok(ran);
    }
    let words = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    Err(MutantError::Git { what, words })
}
