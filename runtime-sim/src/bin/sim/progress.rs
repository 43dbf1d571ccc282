//! How far a swarm is: a bar on a terminal, lines in a log. What fails is told at once in both.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rumormill_sim::swarm::{FAILURES_KEPT, Failure};

/// A log has a line this often at first, and later whenever a tenth more time has passed: a day makes
/// a hundred lines.
const LINE_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Progress {
    bar: ProgressBar,
    lines: Mutex<Lines>,
}

impl Progress {
    /// Of so many seeds.
    pub(super) fn new(seeds: u64) -> Self {
        let style =
            ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {msg}, {per_sec}, {eta}");
        let bar = ProgressBar::new(seeds).with_message("0 violations");
        let bar = style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style));
        Self { bar, lines: Mutex::new(Lines::new(seeds)) }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.bar.elapsed()
    }

    /// One more seed has ended; so many were well, so many not.
    pub(super) fn ended(&self, failure: Option<&Failure>, passed: u64, failed: u64) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // The bar writes nothing where it cannot be seen.
        if self.bar.is_hidden() {
            lines.write(&mut std::io::stderr(), self.elapsed(), failure, [passed, failed]);
            return;
        }
        if let Some(line) = failure.and_then(|failure| lines.failure(failure)) {
            self.bar.println(line);
        }
        self.bar.set_message(format!("{failed} violations"));
        self.bar.inc(1);
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// What is told in words, and when.
struct Lines {
    seeds: u64,
    failures: usize,
    next: Duration,
}

impl Lines {
    const fn new(seeds: u64) -> Self {
        Self { seeds, failures: 0, next: LINE_EVERY }
    }

    fn write(
        &mut self,
        out: &mut impl Write,
        elapsed: Duration,
        failure: Option<&Failure>,
        [passed, failed]: [u64; 2],
    ) {
        // Whoever closes the log has seen enough.
        if let Some(line) = failure.and_then(|failure| self.failure(failure)) {
            let _ = writeln!(out, "sim: {line}");
        }
        if elapsed >= self.next {
            self.next = elapsed + LINE_EVERY.max(elapsed / 10);
            let (ended, seconds) = (passed + failed, elapsed.as_secs());
            let seeds = self.seeds;
            let _ = writeln!(
                out,
                "sim: {ended} of {seeds} seeds after {seconds} s, {failed} violations"
            );
        }
    }

    /// `None`: so many were told that one more says nothing.
    fn failure(&mut self, failure: &Failure) -> Option<String> {
        self.failures += 1;
        let Failure { seed, what, command, .. } = failure;
        (self.failures <= FAILURES_KEPT)
            .then(|| format!("seed {seed}: {what}; again with: {command}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumormill_sim::swarm::Kind;

    #[test]
    fn a_log_has_every_failure_with_its_command_and_a_line_now_and_then() {
        let mut lines = Lines::new(5_000);
        let mut log = Vec::new();
        let failure = Failure {
            seed: 7,
            kind: Kind::Breach,
            rule: "leaks".to_owned(),
            what: "it leaks".to_owned(),
            command: "sim run --seed 7".to_owned(),
        };
        for second in 0..5_000 {
            let failed = u64::from(second >= 10);
            let failure = (second == 10).then_some(&failure);
            let elapsed = Duration::from_secs(second);
            lines.write(&mut log, elapsed, failure, [1 + second - failed, failed]);
        }
        let log = String::from_utf8(log).unwrap();
        let told: Vec<_> = log.lines().collect();
        assert_eq!(told[0], "sim: seed 7: it leaks; again with: sim run --seed 7");
        assert_eq!(told[1], "sim: 31 of 5000 seeds after 30 s, 1 violations");
        assert!((30..60).contains(&told.len()), "{log}");
    }

    #[test]
    fn a_swarm_that_fails_everywhere_fills_no_disk() {
        let mut lines = Lines::new(1_000);
        let failure = Failure {
            seed: 7,
            kind: Kind::Panic,
            rule: "stumbles".to_owned(),
            what: "it stumbles".to_owned(),
            command: "sim run --seed 7".to_owned(),
        };
        let told = (0..1_000).filter_map(|_| lines.failure(&failure)).count();
        assert_eq!(told, FAILURES_KEPT);
    }
}
