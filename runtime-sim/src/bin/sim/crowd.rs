//! `sim crowd`.

use std::fmt;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rumormill_sim::crowd::{NODES_MAX, Outcome, Phase, Plan, RATE_MAX, SECONDS_MAX, Traffic, run};
use serde::Serialize;

use super::{EXIT_INTERRUPTED, EXIT_NO_CONVERGENCE, interruptions};

/// What a shell sees if the simulator was slower than it should be.
const EXIT_SLOW: u8 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// One object
    Json,
}

#[derive(Debug, Args)]
pub(super) struct CrowdArgs {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = nodes)]
    nodes: usize,
    /// How long they broadcast, in virtual seconds
    #[arg(long, value_name = "T", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Broadcasts per virtual second, of all nodes together
    #[arg(long, value_name = "R", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=RATE_MAX))]
    rate: u64,
    /// Everything that is left to chance
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Fewest virtual seconds per second here while they broadcast, such as 1 or 2.5 [default: none]
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    at_least: Option<f64>,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn nodes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|nodes| (2..=NODES_MAX).contains(nodes));
    number.ok_or_else(|| format!("give a number of nodes from 2 to {NODES_MAX}"))
}

fn ratio(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio > 0.0);
    number.ok_or_else(|| "give a number above 0, such as 1 or 2.5".to_owned())
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    nodes: usize,
    seconds: u64,
    rate: u64,
    seed: u64,
    /// Virtual seconds until all counted all.
    formed_after_s: Option<f64>,
    formed_in_wall_s: f64,
    forming: Traffic,
    broadcasts: u64,
    wanted: u64,
    heard: u64,
    failures: u64,
    broadcasting: Traffic,
    broadcasting_wall_s: f64,
    /// Virtual seconds after the last broadcast in which copies were still sent.
    settling_s: f64,
    /// Virtual seconds per second here while they broadcast.
    speed: f64,
    peak_memory_bytes: Option<u64>,
    hash: String,
}

/// Traffic for people.
struct Wire(Traffic);

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traffic { datagrams, datagram_bytes, stream_bytes } = self.0;
        write!(
            f,
            "{datagrams} datagrams of {datagram_bytes} bytes, {stream_bytes} bytes on streams"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, seconds, rate, seed, .. } = self;
        writeln!(
            f,
            "crowd           {nodes} nodes, {rate} broadcasts/s for {seconds} s, seed {seed}"
        )?;
        match self.formed_after_s {
            Some(after) => writeln!(f, "all see all     after {after:.1} s")?,
            None => writeln!(f, "all see all     never")?,
        }
        writeln!(f, "  on the wire   {}", Wire(self.forming))?;
        writeln!(f, "  here          {:.1} s", self.formed_in_wall_s)?;
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let share = self.heard as f64 * 100.0 / self.wanted.max(1) as f64;
        let missing = self.wanted - self.heard;
        writeln!(f, "broadcasts      {}", self.broadcasts)?;
        writeln!(f, "  delivered     {share:.4} % of {} pairs, {missing} missing", self.wanted)?;
        writeln!(f, "  told dead     {}", self.failures)?;
        writeln!(f, "  on the wire   {}", Wire(self.broadcasting))?;
        writeln!(f, "  here          {:.1} s", self.broadcasting_wall_s)?;
        writeln!(f, "  last copies   {:.1} s later", self.settling_s)?;
        writeln!(f, "speed           {:.2} virtual s per second", self.speed)?;
        match self.peak_memory_bytes {
            Some(bytes) => writeln!(f, "peak memory     {} MiB", bytes >> 20)?,
            None => writeln!(f, "peak memory     unknown on this system")?,
        }
        writeln!(f, "hash            {}", self.hash)
    }
}

/// Shows how far it is, and takes the time of each part.
struct Progress {
    bar: ProgressBar,
    begun: Instant,
    broadcasting_since: Option<Instant>,
    settling_since: Option<Instant>,
}

#[allow(clippy::disallowed_methods, reason = "how fast the simulator is, is told in real seconds")]
fn wall_clock() -> Instant {
    Instant::now()
}

impl Progress {
    fn start(seconds: u64) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {msg}, {elapsed}");
        let bar = ProgressBar::new(seconds * 1_000);
        let bar = style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style));
        Self { bar, begun: wall_clock(), broadcasting_since: None, settling_since: None }
    }

    fn show(&mut self, phase: Phase) {
        match phase {
            Phase::Forming(seen) => {
                let (whole, tenth) = (seen / 10, seen % 10);
                self.bar.set_message(format!("{whole}.{tenth} % of all pairs have met"));
            }
            Phase::Formed => self.broadcasting_since = Some(wall_clock()),
            Phase::Broadcasting(done) => {
                self.bar.set_message(format!("{:.1} virtual s", done.as_secs_f64()));
                self.bar.set_position(u64::try_from(done.as_millis()).unwrap_or(u64::MAX));
            }
            Phase::Settling => {
                self.settling_since.get_or_insert_with(wall_clock);
                self.bar.set_message("the last copies travel");
            }
        }
    }

    /// How long forming and broadcasting took here.
    fn finish(self) -> (Duration, Duration) {
        self.bar.finish_and_clear();
        let end = wall_clock();
        let formed = self.broadcasting_since.unwrap_or(end);
        (formed - self.begun, self.settling_since.unwrap_or(end) - formed)
    }
}

pub(super) fn crowd(args: &CrowdArgs) -> ExitCode {
    let is_over = interruptions();
    let plan = Plan { seed: args.seed, nodes: args.nodes, seconds: args.seconds, rate: args.rate };
    let mut progress = Progress::start(args.seconds);
    let outcome = run(&plan, |phase| {
        progress.show(phase);
        match is_over.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let walls = progress.finish();
    let Some(outcome) = outcome else {
        eprintln!("sim: interrupted");
        return ExitCode::from(EXIT_INTERRUPTED);
    };
    let report = report(&plan, &outcome, walls);
    let told = match args.format {
        Format::Text => report.to_string(),
        Format::Json => {
            serde_json::to_string_pretty(&report).expect("a report has only text keys") + "\n"
        }
    };
    // Whoever closes the output early has seen enough; the exit code still tells.
    let _ = std::io::stdout().lock().write_all(told.as_bytes());
    verdict(&outcome, &report, args.at_least)
}

fn report(plan: &Plan, outcome: &Outcome, walls: (Duration, Duration)) -> Report {
    let (forming, broadcasting) = walls;
    let (forming, broadcasting) = (forming.as_secs_f64(), broadcasting.as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "seconds are few")]
    let seconds = plan.seconds as f64;
    Report {
        nodes: plan.nodes,
        seconds: plan.seconds,
        rate: plan.rate,
        seed: plan.seed,
        formed_after_s: outcome.formed.map(|taken| taken.as_secs_f64()),
        formed_in_wall_s: forming,
        forming: outcome.forming,
        broadcasts: outcome.broadcasts,
        wanted: outcome.wanted,
        heard: outcome.heard,
        failures: outcome.failures,
        broadcasting: outcome.broadcasting,
        broadcasting_wall_s: broadcasting,
        settling_s: outcome.settling.as_secs_f64(),
        speed: seconds / broadcasting.max(1e-9),
        peak_memory_bytes: peak_memory(),
        hash: outcome.hash.to_string(),
    }
}

/// The most memory that this process ever held, where the system says so as Linux does.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

fn verdict(outcome: &Outcome, report: &Report, at_least: Option<f64>) -> ExitCode {
    if !outcome.is_whole() {
        let what = match outcome.formed {
            None => "they have not all met",
            Some(_) if outcome.failures > 0 => "members that are well were believed dead",
            Some(_) => "not everybody heard everything",
        };
        eprintln!("sim: {what}");
        return ExitCode::from(EXIT_NO_CONVERGENCE);
    }
    if let Some(bar) = at_least.filter(|&bar| report.speed < bar) {
        eprintln!("sim: {:.2} virtual s per second, {bar} are wanted", report.speed);
        return ExitCode::from(EXIT_SLOW);
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_have_limits_and_the_message_names_them() {
        assert_eq!(nodes("2"), Ok(2));
        assert!(nodes("1").unwrap_err().contains("2 to 10000"));
        assert!(nodes("10001").is_err() && nodes("x").is_err());
        assert_eq!(ratio("2.5"), Ok(2.5));
        assert!(ratio("0").is_err() && ratio("NaN").is_err() && ratio("inf").is_err());
    }

    #[test]
    fn the_exit_code_tells_what_was_missed() {
        let plan = Plan { seed: 1, nodes: 4, seconds: 1, rate: 2 };
        let outcome = run(&plan, |_| ControlFlow::Continue(())).unwrap();
        let second = Duration::from_secs(1);
        let report = report(&plan, &outcome, (second, second));
        let code = |outcome: &Outcome, bar| format!("{:?}", verdict(outcome, &report, bar));
        let of = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(&outcome, None), of(0));
        assert_eq!(code(&outcome, Some(0.5)), of(0));
        assert_eq!(code(&outcome, Some(1_000.0)), of(EXIT_SLOW));
        let deaf = Outcome { heard: outcome.heard - 1, ..outcome };
        assert_eq!(code(&deaf, None), of(EXIT_NO_CONVERGENCE));
        let text = report.to_string();
        assert!(text.contains("100.0000 % of 6 pairs, 0 missing"), "{text}");
    }
}
