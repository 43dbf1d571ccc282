//! The doors for time and chance: the only file that reads clocks and the system's entropy.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rumormill::Instant;

/// Reads the clocks of this host.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock whose zero is now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the clock file")]
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// Monotonic time since the start, in the core's form.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the clock file")]
    pub fn now(&self) -> Instant {
        let elapsed = std::time::Instant::now().saturating_duration_since(self.start);
        Instant::ZERO + elapsed
    }
}

/// Wall-clock time since the Unix epoch; zero if the clock stands before it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock file")]
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Fills `bytes` from the operating system's entropy.
///
/// # Errors
///
/// If the system gives none, which happens on broken installations only.
#[allow(clippy::disallowed_methods, reason = "this is the entropy door")]
pub fn entropy<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
