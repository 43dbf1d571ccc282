//! Ctrl-C, as something that waits can look at.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a wait looks whether it was interrupted.
pub(super) const SLICE: Duration = Duration::from_millis(50);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What a shell sees after an interrupt.
pub const EXIT_INTERRUPTED: u8 = 130;

/// From now on an interrupt ends what the experiment does, in good order, and a second one ends the
/// process at once; its children end when it hangs up.
///
/// # Errors
///
/// If the system refuses the handler.
pub fn catch_interrupts() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            process::exit(EXIT_INTERRUPTED.into());
        }
    })
}

/// Whether somebody interrupted.
#[must_use]
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
