//! Showing a file to the person at the screen, by whatever their system does that with.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;

/// How often a look is taken whether the opener has failed, and how long. One that is still at work
/// then is taken to have a browser running, and is left alone.
const LOOKS: u32 = 30;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Why a file was not opened; one line that names the fix.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// The opener cannot be started.
    #[error("{opener} cannot be started ({reason}): open {} in a browser", file.display())]
    NotStarted { opener: &'static str, reason: io::Error, file: PathBuf },
    /// The opener gave up.
    #[error("{opener} gave up ({status}): open {} in a browser", file.display())]
    GaveUp { opener: &'static str, status: ExitStatus, file: PathBuf },
}

/// Opens `file` in what the system opens such files with.
///
/// # Errors
///
/// [`OpenError`], as far as the opener tells within three seconds.
pub(crate) fn open(file: &Path) -> Result<(), OpenError> {
    // A relative name that begins with a dash would be an option.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let (opener, mut command) = command(&file);
    // Openers chat about what does not concern anybody here.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = command.spawn();
    let child =
        started.map_err(|reason| OpenError::NotStarted { opener, reason, file: file.clone() })?;
    match early_end(child) {
        Some(status) if !status.success() => Err(OpenError::GaveUp { opener, status, file }),
        _ => Ok(()),
    }
}

fn early_end(mut child: Child) -> Option<ExitStatus> {
    for _ in 0..LOOKS {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    None
}

#[cfg(windows)]
fn command(file: &Path) -> (&'static str, Command) {
    use std::os::windows::process::CommandExt as _;
    let mut command = Command::new("cmd");
    // The first quoted word of `start` is a title. No file's name has quotes in it.
    command.raw_arg(format!("/c start \"\" \"{}\"", file.display()));
    ("cmd /c start", command)
}

#[cfg(not(windows))]
fn command(file: &Path) -> (&'static str, Command) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(opener);
    command.arg(file);
    (opener, command)
}
