//! Many runs: one after the other with processes, which would disturb each other, and one per core in
//! virtual time, where nothing can.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::cluster::Site;
use super::machines::Machines;
use super::processes::Processes;
use super::run::{self, Keep, RunError, RunPlan, Stage};
use super::world::WorldPlan;
use super::{Continue, ExperimentError, course, label};
use crate::metrics::{Run, RunFigures};
use crate::report::Floor;
use crate::summary::Statistics;

/// Nodes of all worlds that run side by side, at most: a thousand take up to 700 MiB.
const NODES_AT_ONCE_MAX: usize = 8_192;

/// What all runs of an experiment share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub(super) keep: Keep,
    pub(super) go_on: Continue,
    pub(super) floors: &'a [Floor],
    pub(super) bar: &'a ProgressBar,
}

/// What the workers have come to.
#[derive(Debug, Default)]
struct Progress {
    next: AtomicUsize,
    is_over: AtomicBool,
    figures: Mutex<Vec<RunFigures>>,
    finished: AtomicUsize,
    error: Mutex<Option<(String, RunError)>>,
}

/// Carries out one run and leaves its traces.
type CarryOut<'a> = &'a mut dyn FnMut(&RunPlan, &mut dyn FnMut(Stage)) -> Result<(), RunError>;

impl Batch<'_> {
    /// Carries out all runs with processes.
    ///
    /// # Errors
    ///
    /// The run that failed or was interrupted; those that were finished stay.
    pub(super) fn run_in_turn(
        &self,
        site: &mut Site,
        plans: &[RunPlan],
    ) -> Result<Vec<RunFigures>, ExperimentError> {
        let progress = Progress::default();
        self.work(plans, &progress, &mut |plan, stage| {
            course::run(plan, stage, || Processes::open(&mut *site, plan))
        });
        self.end(plans, progress)
    }

    /// Carries out all runs in virtual time.
    ///
    /// # Errors
    ///
    /// The first run that failed or was interrupted; those that were finished stay.
    pub(super) fn run_side_by_side(
        &self,
        world: WorldPlan,
        plans: &[RunPlan],
    ) -> Result<Vec<RunFigures>, ExperimentError> {
        let (progress, clock) = (Progress::default(), rumormill_mio::Clock::start());
        let work = || {
            self.work(plans, &progress, &mut |plan, stage| {
                course::run(plan, stage, || Ok(Machines::new(plan, world)))
            });
        };
        std::thread::scope(|scope| {
            for _ in 1..workers(plans) {
                scope.spawn(work);
            }
            work();
        });
        let figures = self.end(plans, progress)?;
        say(self.bar, &cost(plans.len(), clock.now()));
        Ok(figures)
    }

    fn end(
        &self,
        plans: &[RunPlan],
        progress: Progress,
    ) -> Result<Vec<RunFigures>, ExperimentError> {
        self.bar.finish_and_clear();
        let figures = progress.figures.into_inner().unwrap_or_default();
        let finished = progress.finished.into_inner();
        match progress.error.into_inner().unwrap_or_default() {
            None => Ok(figures),
            Some((_, error)) if error.is_interrupt() => {
                let out = plans.first().and_then(|plan| plan.dir.parent()?.parent());
                let out = out.unwrap_or(Path::new("out")).to_owned();
                Err(ExperimentError::Interrupted { finished, out })
            }
            Some((label, error)) => Err(ExperimentError::Run { label, error }),
        }
    }

    fn work(&self, plans: &[RunPlan], progress: &Progress, carry_out: CarryOut<'_>) {
        while !progress.is_over.load(Ordering::SeqCst)
            && let Some(plan) = plans.get(progress.next.fetch_add(1, Ordering::SeqCst))
        {
            let label = label(&plan.file.run);
            match self.run_one(plan, &label, carry_out) {
                Ok(figures) => {
                    say(self.bar, &line(&label, &figures, self.floors));
                    self.bar.inc(1);
                    progress.finished.fetch_add(1, Ordering::SeqCst);
                    lock(&progress.figures).extend(figures);
                }
                Err(error) => {
                    progress.is_over.store(true, Ordering::SeqCst);
                    if error.is_interrupt() || error.is_lost_host() {
                        // Its traces are lost, and half a run measures nothing.
                        let _ = fs::remove_dir_all(&plan.dir);
                    }
                    lock(&progress.error).get_or_insert((label, error));
                }
            }
        }
    }

    fn run_one(
        &self,
        plan: &RunPlan,
        label: &str,
        carry_out: CarryOut<'_>,
    ) -> Result<Vec<RunFigures>, RunError> {
        if self.go_on == Continue::Finished
            && let Some(figures) = run::finished(plan)?
        {
            return Ok(figures);
        }
        let mut progress = |stage| self.bar.set_message(message(label, &plan.file.run, stage));
        carry_out(plan, &mut progress)?;
        run::conclude(plan, self.keep)
    }
}

/// One per core, unless their worlds would be too large together.
fn workers(plans: &[RunPlan]) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let largest = plans.iter().map(|plan| plan.file.run.nodes as usize).max().unwrap_or(1);
    cores.min(NODES_AT_ONCE_MAX / largest.max(1)).max(1)
}

/// A thread that panicked has printed why, and the scope passes it on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn message(label: &str, run: &Run, stage: Stage) -> String {
    let nodes = run.nodes;
    match stage {
        Stage::Starting => format!("{label}: starting {nodes} nodes"),
        Stage::Joining(whole) => format!("{label}: {whole} of {nodes} nodes see all nodes"),
        Stage::Settling(settled) => format!("{label}: {settled} of {nodes} nodes have settled"),
        Stage::Spreading(infected) => format!("{label}: {infected} of {nodes} nodes have the key"),
        Stage::Watching => format!("{label}: watching the window to its end"),
    }
}

/// One run in a line, with the floor of this machine beside it: of several messages the mean rate and
/// the median time.
fn line(label: &str, figures: &[RunFigures], floors: &[Floor]) -> String {
    let over = |figure: fn(&RunFigures) -> Option<f64>| -> Statistics {
        figures.iter().filter_map(figure).collect()
    };
    let time = over(|run| run.convergence_ms).median();
    let time = time.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    let rate = over(|run| Some(run.convergence_rate)).mean().unwrap_or_default();
    let Some(run) = figures.first() else { return format!("{label:<32} nothing") };
    let floor =
        floors.iter().find(|floor| (floor.topology, floor.nodes) == (run.topology, run.nodes));
    let floor = floor.map_or(String::new(), |floor| format!(", floor {:.1} ms", floor.median_ms));
    format!("{label:<32} rate {rate:.2}, {time}{floor}")
}

/// What runs in virtual time cost this machine.
fn cost(runs: usize, now: rumormill::Instant) -> String {
    let seconds = now.saturating_since(rumormill::Instant::ZERO).as_secs_f64();
    let memory = peak_memory_mib().map(|mib| format!(", peak memory {mib} MiB"));
    format!("{runs} runs in {seconds:.1} s{}", memory.unwrap_or_default())
}

/// The most memory that this process ever had, where the system tells.
fn peak_memory_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1_024)
}

/// A line above the bar; without a terminal, a line of its own.
fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}

pub(super) fn progress_bar(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
