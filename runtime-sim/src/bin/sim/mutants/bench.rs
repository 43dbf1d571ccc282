//! A copy of the workspace in which bugs are built and looked at.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rumormill_sim::mutants::{Mutant, MutantError, Sight, Workshop};
use rumormill_sim::swarm::Tally;
use serde_json::Value;
use thiserror::Error;

use crate::EXIT_NO_CONVERGENCE;

/// A program that says nothing for so long is stuck, which nobody could overlook.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often a program that runs is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a build that failed which are shown.
const LINES_SHOWN: usize = 20;
/// The seed of fields.
const FIELD_SEED: u64 = 1;

const BUILD_SIM: [&str; 5] = ["build", "--package", "rumormill-sim", "--bin", "sim"];

#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Mutant(#[from] MutantError),
    #[error("no bug's name contains `{given}`; there are {names}")]
    NoSuchMutant { given: String, names: String },
    #[error("the workspace has no patch in runtime-sim/mutants")]
    NoMutants,
    #[error("{0}: {1}")]
    Program(&'static str, io::Error),
    #[error("{0} does not build:\n{1}")]
    Build(String, String),
    #[error("{0} printed what cannot be read: {1}")]
    Words(String, serde_json::Error),
    #[error("{0} has no test of this name")]
    NoTest(String),
    #[error("the healthy core fails already: {0}")]
    Sick(String),
    #[error("interrupted")]
    Interrupted,
}

/// How a program ended.
enum End {
    Exit(ExitStatus),
    Stuck,
}

/// What somebody saw of a bug.
#[derive(Debug)]
pub(super) struct Catch {
    /// Who: a swarm, a field, or the test that failed.
    pub(super) by: String,
    /// Of the swarm or the field.
    pub(super) seed: Option<u64>,
    /// What happened.
    pub(super) what: String,
    /// Whether the patch says so.
    pub(super) is_as_said: bool,
}

/// How it is built, and how long it looks for a bug.
pub(super) struct Settings {
    pub(super) target: PathBuf,
    pub(super) jobs: Option<usize>,
    pub(super) seeds: u64,
}

/// The copy, and how to build and run it.
pub(super) struct Bench {
    pub(super) workshop: Workshop,
    pub(super) settings: Settings,
    pub(super) is_over: Arc<AtomicBool>,
}

impl Bench {
    /// What a program printed.
    fn log(&self) -> PathBuf {
        self.workshop.folder().join("log")
    }

    /// What it complained of.
    fn errors(&self) -> PathBuf {
        self.workshop.folder().join("errors")
    }

    /// Runs a program to its end, or to Ctrl-C.
    fn run(&self, what: &'static str, command: &mut Command) -> Result<End, Failure> {
        let failed = |error| Failure::Program(what, error);
        let log = File::create(self.log()).map_err(failed)?;
        let errors = File::create(self.errors()).map_err(failed)?;
        command.current_dir(self.workshop.folder()).stdin(Stdio::null());
        set_apart(command);
        let mut child = command.stdout(log).stderr(errors).spawn().map_err(failed)?;
        let began = Instant::now();
        loop {
            if self.is_over.load(Ordering::Relaxed) {
                end(&mut child).map_err(failed)?;
                return Err(Failure::Interrupted);
            }
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Ok(End::Exit(status));
            }
            if began.elapsed() > PATIENCE {
                return end(&mut child).map(|()| End::Stuck).map_err(failed);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Cargo with what makes a build of one changed file short: a swarm up to its first failure
    /// takes less time than the compiler.
    fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        let (verb, rest) = args.split_first().unwrap_or((&"", &[]));
        command.arg(verb).arg("--target-dir").arg(&self.settings.target);
        for package in ["rumormill", "rumormill-sim"] {
            let level = format!("profile.dev.package.{package}.opt-level=1");
            command.args(["--config", &level]);
        }
        if let Some(jobs) = self.settings.jobs {
            command.arg("--jobs").arg(jobs.to_string());
        }
        command.args(rest);
        for (key, value) in [
            ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
            ("CARGO_PROFILE_DEV_DEBUG", "0"),
            ("CARGO_INCREMENTAL", "1"),
            // With it, incremental builds now and then do not link: rust-lang/rust#81280.
            ("CARGO_PROFILE_DEV_LTO", "off"),
            ("CARGO_TERM_COLOR", "never"),
        ] {
            command.env(key, value);
        }
        command
    }

    fn build(&self, name: &str, args: &[&str]) -> Result<(), Failure> {
        match self.run("cargo", &mut self.cargo(args))? {
            End::Exit(status) if status.success() => Ok(()),
            End::Exit(_) | End::Stuck => Err(Failure::Build(name.to_owned(), self.last_errors())),
        }
    }

    fn last_errors(&self) -> String {
        let errors = std::fs::read_to_string(self.errors()).unwrap_or_default();
        let lines: Vec<_> = errors.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }

    /// Runs all tests that are to see one of these, which must all be well without it, and keeps the
    /// simulator as it is without a bug.
    pub(super) fn prepare(&self, mutants: &[Mutant]) -> Result<(), Failure> {
        let mut files: Vec<&str> =
            mutants.iter().filter_map(|mutant| test_file(&mutant.sight)).collect();
        files.sort_unstable();
        files.dedup();
        for file in files {
            let args = self.test_args(file);
            self.build("the healthy core", &[&args[..], &["--no-run"]].concat())?;
            let end = self.run("cargo", &mut self.cargo(&args))?;
            if !matches!(end, End::Exit(status) if status.success()) {
                return Err(Failure::Sick(format!("test {file}")));
            }
        }
        if mutants.iter().any(|mutant| test_file(&mutant.sight).is_none()) {
            self.build("the healthy core", &BUILD_SIM)?;
            let copied = std::fs::copy(self.sim(), self.healthy_sim());
            copied.map_err(|error| Failure::Program("sim", error))?;
        }
        Ok(())
    }

    fn sim(&self) -> PathBuf {
        self.settings.target.join("debug").join(format!("sim{}", std::env::consts::EXE_SUFFIX))
    }

    fn healthy_sim(&self) -> PathBuf {
        self.workshop.folder().join(format!("sim{}", std::env::consts::EXE_SUFFIX))
    }

    /// Builds a bug that was put in; who caught it, if anybody did.
    pub(super) fn judge(&self, mutant: &Mutant) -> Result<Option<Catch>, Failure> {
        match &mutant.sight {
            Sight::Swarm { words } => self.swarm(&mutant.name, words),
            Sight::Field { name } => self.field(&mutant.name, name),
            Sight::Test { file, filter } => self.test(&mutant.name, file, filter),
        }
    }

    fn swarm(&self, name: &str, words: &str) -> Result<Option<Catch>, Failure> {
        self.build(name, &BUILD_SIM)?;
        let caught =
            |seed, what, is_as_said| Some(Catch { by: "swarm".to_owned(), seed, what, is_as_said });
        // A swarm that takes too long tells a slow machine as little as a bug.
        let Some(tally) = self.seeds(name, &self.sim(), 0, self.settings.seeds)? else {
            return Ok(None);
        };
        let Some(failure) = tally.failures.first() else { return Ok(None) };
        // A seed that fails without the bug too would say nothing about it.
        let healthy = self.seeds("the healthy core", &self.healthy_sim(), failure.seed, 1)?;
        if healthy.is_none_or(|tally| tally.failed > 0) {
            return Err(Failure::Sick(failure.command.clone()));
        }
        Ok(caught(Some(failure.seed), failure.what.clone(), failure.what.contains(words)))
    }

    /// What came of a swarm of this simulator, up to its first failure; `None` if it got stuck.
    fn seeds(
        &self,
        name: &str,
        sim: &Path,
        start: u64,
        seeds: u64,
    ) -> Result<Option<Tally>, Failure> {
        let mut command = Command::new(sim);
        command.args(["swarm", "--first", "--format", "json"]);
        command.args(["--start", &start.to_string(), "--seeds", &seeds.to_string()]);
        if let Some(jobs) = self.settings.jobs {
            command.args(["--jobs", &jobs.to_string()]);
        }
        if matches!(self.run("sim", &mut command)?, End::Stuck) {
            return Ok(None);
        }
        let tally = serde_json::from_slice(&self.printed()?);
        tally.map(Some).map_err(|error| Failure::Words(name.to_owned(), error))
    }

    fn printed(&self) -> Result<Vec<u8>, Failure> {
        std::fs::read(self.log()).map_err(|error| Failure::Program("sim", error))
    }

    fn field(&self, name: &str, field: &str) -> Result<Option<Catch>, Failure> {
        self.build(name, &BUILD_SIM)?;
        let Some(what) = self.missed(name, &self.sim(), field)? else { return Ok(None) };
        if self.missed("the healthy core", &self.healthy_sim(), field)?.is_some() {
            return Err(Failure::Sick(format!("sim fields {field} --seed {FIELD_SEED}")));
        }
        let by = format!("field {field}");
        Ok(Some(Catch { by, seed: Some(FIELD_SEED), what, is_as_said: true }))
    }

    /// What came of a field that does not hold.
    fn missed(&self, name: &str, sim: &Path, field: &str) -> Result<Option<String>, Failure> {
        let mut command = Command::new(sim);
        command.args(["fields", field, "--format", "json", "--seed", &FIELD_SEED.to_string()]);
        match self.run("sim", &mut command)? {
            End::Stuck => Ok(Some("it is stuck".to_owned())),
            End::Exit(status) if status.success() => Ok(None),
            End::Exit(status) if status.code() == Some(i32::from(EXIT_NO_CONVERGENCE)) => {
                let rows: Value = serde_json::from_slice(&self.printed()?)
                    .map_err(|error| Failure::Words(name.to_owned(), error))?;
                let word = |key| rows[0][key].as_str().unwrap_or_default();
                let (measure, ours, bar) = (word("measure"), word("ours"), word("bar"));
                let [proof, times] = [0, 1].map(|index| &rows[0]["arose"][index]);
                let proof = if *times == 0 { format!("; none of {proof}") } else { String::new() };
                Ok(Some(format!("{measure}: {ours}, at most {bar}{proof}")))
            }
            End::Exit(_) => Ok(Some(self.panic().unwrap_or_else(|| self.last_errors()))),
        }
    }

    /// Which tests of which package: the core's, or the simulator's if it alone has such a file.
    fn test_args<'a>(&self, file: &'a str) -> Vec<&'a str> {
        let is_of_core =
            |file| self.workshop.folder().join(format!("core/tests/{file}.rs")).exists();
        match file {
            "lib" => vec!["test", "--package", "rumormill", "--lib"],
            file if is_of_core(file) => vec!["test", "--package", "rumormill", "--test", file],
            file => vec!["test", "--package", "rumormill-sim", "--test", file],
        }
    }

    fn test(&self, name: &str, file: &str, filter: &str) -> Result<Option<Catch>, Failure> {
        let args = self.test_args(file);
        self.build(name, &[&args[..], &["--no-run"]].concat())?;
        let end = self.run("cargo", self.cargo(&args).args(["--", filter]))?;
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let caught = |test: &str, what| {
            Some(Catch { by: format!("test {file}::{test}"), seed: None, what, is_as_said: true })
        };
        Ok(match end {
            End::Stuck => caught(filter, "it is stuck".to_owned()),
            End::Exit(status) if status.success() => {
                let has_run = log.lines().any(|line| outcome(line, "ok").is_some());
                return if has_run { Ok(None) } else { Err(Failure::NoTest(file.to_owned())) };
            }
            End::Exit(_) => {
                let test = log.lines().find_map(|line| outcome(line, "FAILED"));
                caught(test.unwrap_or(filter), self.panic().unwrap_or_default())
            }
        })
    }

    /// The first line of what the first panic said.
    fn panic(&self) -> Option<String> {
        let said = [self.log(), self.errors()].map(std::fs::read_to_string);
        said.iter().flatten().find_map(|said| {
            let mut lines = said.lines().skip_while(|line| !line.contains("panicked at "));
            lines.nth(1).map(str::to_owned)
        })
    }
}

/// The file of tests that should see something.
fn test_file(sight: &Sight) -> Option<&str> {
    match sight {
        Sight::Test { file, .. } => Some(file),
        Sight::Swarm { .. } | Sight::Field { .. } => None,
    }
}

/// The name of a test, if this line says that it ended so.
fn outcome<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("test ")?.strip_suffix(word)?.strip_suffix(" ... ")
}

/// Ctrl-C at the terminal is for this program alone, which ends the others, and what they started.
#[cfg(unix)]
fn set_apart(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
const fn set_apart(_: &mut Command) {}

#[cfg(unix)]
fn end(child: &mut Child) -> io::Result<()> {
    // Compilers would go on without their cargo, and write into the folder that goes.
    let group = format!("-{}", child.id());
    let ended = Command::new("kill").args(["-KILL", "--", &group]).status();
    if !ended.is_ok_and(|status| status.success()) {
        child.kill()?;
    }
    child.wait().map(drop)
}

#[cfg(not(unix))]
fn end(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_tests_are_read_from_what_cargo_prints() {
        assert_eq!(outcome("test probe::a_b ... FAILED", "FAILED"), Some("probe::a_b"));
        assert_eq!(outcome("test a ... ok", "ok"), Some("a"));
        for line in ["test a ... ok", "test result: FAILED. 1 passed", "running 3 tests"] {
            assert_eq!(outcome(line, "FAILED"), None, "{line}");
        }
    }
}
