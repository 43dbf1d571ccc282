//! `sim`: runs scenarios that seeds draw.

mod crowd;
mod fields;
mod mutants;
mod progress;
mod swarm;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Parser, Subcommand};
use rumormill_sim::scenario::{BROADCASTS_MAX, CRASHES_MAX, Class, NODES_MAX, Scenario, Violation};
use rumormill_sim::{Ratio, Tracer};

/// What a shell sees after arguments that make no sense.
const EXIT_USAGE: u8 = 2;
/// What a shell sees if something that must come does not.
const EXIT_NO_CONVERGENCE: u8 = 3;
/// What a shell sees if something happens that never may.
const EXIT_BREACH: u8 = 4;
/// What a shell sees after Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

/// Runs clusters of nodes in virtual time. The same seed gives the same run, everywhere.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the scenario of a seed: its configuration is printed first, its hash last.
    ///
    /// Exit codes: 0 all is well, 1 the trace cannot be written, 2 bad arguments, 3 no convergence,
    /// 4 a rule was broken, 101 a bug of ours.
    Run(RunArgs),
    /// Run the scenarios of many seeds and add up what came of them.
    ///
    /// Standard output is a function of the seeds, the masks and the version; what fails, at once, and
    /// how far it is go to standard error. Ctrl-C ends it after the seeds that are under way, with what
    /// came of them.
    ///
    /// Exit codes, the worst that happened: 0 all is well, 2 bad arguments, 3 no convergence, 4 a
    /// rule was broken, 5 a kind of fault never happened in 200 seeds or more, 101 a bug of ours,
    /// 130 interrupted.
    Swarm(swarm::SwarmArgs),
    /// Add up what `sim swarm --format json` printed for different seeds.
    ///
    /// All parts must come from programs that behave alike, which a hash of a few small runs in each
    /// part tells, and have as many results as seeds.
    ///
    /// Exit codes as of `swarm`; 1 if the files cannot be added up.
    Merge(swarm::MergeArgs),
    /// Put bugs into a copy of the core, one after the other, and tell who sees each.
    ///
    /// The copy, and what is built from it unless --target names a folder that stays, lie in the
    /// folder for temporary files, and go at the end. Each patch in `runtime-sim/mutants` says what it
    /// breaks and who is to see that: a swarm of seeds, one of the `fields`, or a test.
    ///
    /// Exit codes: 0 every bug was seen, 1 something could not be copied or built, or fails without a
    /// bug too, 2 bad arguments, 6 a bug was not seen or cannot be put in any more, 130 interrupted.
    Mutants(mutants::MutantsArgs),
    /// Run what fails in the field, and print what came of it as a table.
    ///
    /// Exit codes: 0 all is well, 2 bad arguments, 3 a bar was missed with a seed, or not missed with
    /// what was reported, 101 a bug of ours.
    Fields(fields::FieldsArgs),
    /// Run a large cluster: all nodes start at once and join the first one, then they broadcast.
    ///
    /// All nodes are whole ones with the defaults for a local network, delays are 1 to 6 ms, nothing
    /// is lost. It tells how long it took until all saw all, what was on the wire, whether everybody
    /// heard every broadcast, and how fast all of this was on one core. A quick one:
    /// `sim crowd --nodes 200 --seconds 5`. Memory grows with the square of the nodes.
    ///
    /// Exit codes: 0 all is well, 2 bad arguments, 3 some did not meet or did not hear something, 6
    /// slower than --at-least, 101 a bug of ours, 130 interrupted.
    Crowd(crowd::CrowdArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Draws everything that no flag decides
    #[arg(long, value_name = "S")]
    seed: u64,
    /// How many nodes
    #[arg(long, value_name = "N", value_parser = nodes)]
    nodes: Option<usize>,
    /// Share of datagrams that are lost until the links heal, such as 5% or 0.05
    #[arg(long, value_name = "P")]
    loss: Option<Ratio>,
    /// Share of datagrams that arrive twice until then
    #[arg(long, value_name = "P")]
    duplication: Option<Ratio>,
    /// Share of datagrams that are overtaken until then
    #[arg(long, value_name = "P")]
    reordering: Option<Ratio>,
    /// Crashes until then
    #[arg(long, value_name = "N", value_parser = crashes)]
    crashes: Option<u64>,
    /// Broadcasts until then
    #[arg(long, value_name = "N", value_parser = broadcasts)]
    broadcasts: Option<u64>,
    /// Kinds of faults that do not happen, with commas between them; all others happen as before
    #[arg(long, value_name = "FAULTS", value_delimiter = ',')]
    no: Vec<Class>,
    /// Write a line for every step to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

fn nodes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(nodes) if (2..=NODES_MAX).contains(&nodes) => Ok(nodes),
        _ => Err(format!("give a number of nodes from 2 to {NODES_MAX}")),
    }
}

fn crashes(text: &str) -> Result<u64, String> {
    at_most(text, CRASHES_MAX, "crashes")
}

fn broadcasts(text: &str) -> Result<u64, String> {
    at_most(text, BROADCASTS_MAX, "broadcasts")
}

fn at_most(text: &str, most: u64, what: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|&number| number <= most);
    number.ok_or_else(|| format!("give a number of {what} from 0 to {most}"))
}

impl RunArgs {
    /// Flags that ask for what `--no` rules out, in words.
    fn contradiction(&self) -> Option<String> {
        let share = |ratio: Option<Ratio>| ratio.is_some_and(|ratio| ratio != Ratio::ZERO);
        let asked = [
            (Class::Loss, "loss", share(self.loss)),
            (Class::Duplication, "duplication", share(self.duplication)),
            (Class::Reordering, "reordering", share(self.reordering)),
            (Class::Crash, "crashes", self.crashes.is_some_and(|crashes| crashes > 0)),
        ];
        let masked = asked.iter().find(|(class, _, is_asked)| *is_asked && self.no.contains(class));
        masked.map(|(class, flag, _)| {
            format!("--no {class} and --{flag} contradict each other: give one of them")
        })
    }

    fn scenario(&self) -> Scenario {
        let mut scenario = Scenario::draw(self.seed).without(self.no.iter().copied().collect());
        if let Some(nodes) = self.nodes {
            scenario = scenario.with_nodes(nodes);
        }
        scenario.broadcasts = self.broadcasts.unwrap_or(scenario.broadcasts);
        // What is asked for is a fault of this run, whatever the seed drew, and what is 0 is none.
        let Scenario { network, faults, crashes, .. } = &mut scenario;
        for (class, asked, drawn) in [
            (Class::Loss, self.loss, &mut network.loss),
            (Class::Duplication, self.duplication, &mut network.duplication),
            (Class::Reordering, self.reordering, &mut network.reordering),
        ] {
            if let Some(share) = asked {
                *drawn = share;
                faults.set(class, share != Ratio::ZERO);
            }
        }
        if let Some(asked) = self.crashes {
            *crashes = asked;
            faults.set(Class::Crash, asked > 0);
        }
        scenario
    }

    fn tracer(&self) -> std::io::Result<Tracer> {
        match &self.trace {
            Some(path) => Ok(Tracer::with_lines(BufWriter::new(File::create(path)?))),
            None => Ok(Tracer::default()),
        }
    }
}

/// The command that was given, for a shell.
fn command(args: impl Iterator<Item = OsString>) -> String {
    args.fold("sim".to_owned(), |command, arg| command + " " + &quoted(&arg))
}

/// An argument as a POSIX shell reads it back. Bytes that are no text are replaced.
fn quoted(arg: &OsStr) -> String {
    let text = arg.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+./:,%@".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whether somebody has pressed Ctrl-C, from now on. The first time lets what is under way come to an
/// end, the second time does not wait.
fn interruptions() -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&is_over);
    let handler = move || {
        if on_signal.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("sim: Ctrl-C will end this at once ({error})");
    }
    is_over
}

const fn exit_code(violation: &Violation) -> u8 {
    if violation.is_breach() { EXIT_BREACH } else { EXIT_NO_CONVERGENCE }
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run(args),
        Command::Swarm(args) => swarm::swarm(&args),
        Command::Merge(args) => swarm::merge(&args),
        Command::Mutants(args) => mutants::mutants(&args),
        Command::Fields(args) => fields::fields(&args),
        Command::Crowd(args) => crowd::crowd(&args),
    }
}

fn run(args: RunArgs) -> ExitCode {
    if let Some(contradiction) = args.contradiction() {
        eprintln!("sim: {contradiction}");
        return ExitCode::from(EXIT_USAGE);
    }
    let tracer = match args.tracer() {
        Ok(tracer) => tracer,
        Err(error) => {
            let path = args.trace.unwrap_or_default();
            eprintln!("sim: {}: the trace cannot be written ({error})", path.display());
            return ExitCode::FAILURE;
        }
    };
    let scenario = args.scenario();
    let mut out = std::io::stdout().lock();
    // Whoever closes the output early has seen enough; the exit code still tells.
    let _ = writeln!(out, "{scenario}").and_then(|()| out.flush());
    let (result, mut tracer) = scenario.run(tracer);
    if let Err(error) = tracer.flush() {
        let path = args.trace.unwrap_or_default();
        eprintln!("sim: {}: the trace is not complete ({error})", path.display());
        return ExitCode::FAILURE;
    }
    match result {
        Ok(outcome) => {
            let _ = write!(out, "{outcome}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            let _ = writeln!(out, "hash            {}", tracer.hash());
            eprintln!("sim: {violation}; again with: {}", command(std::env::args_os().skip(1)));
            ExitCode::from(exit_code(&violation))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumormill_sim::Latency;
    use rumormill_sim::scenario::Classes;

    #[test]
    fn a_command_can_be_given_again_as_it_is_printed() {
        let printed = |args: &[&str]| command(args.iter().map(OsString::from));
        assert_eq!(printed(&["run", "--seed=7", "--loss", "5%"]), "sim run --seed=7 --loss 5%");
        assert_eq!(printed(&["--trace", "it's here"]), r"sim --trace 'it'\''s here'");
        assert_eq!(printed(&[""]), "sim ''");
    }

    #[test]
    fn numbers_beyond_their_limits_are_refused_in_words() {
        for (flag, most) in [
            ("--nodes", NODES_MAX as u64),
            ("--crashes", CRASHES_MAX),
            ("--broadcasts", BROADCASTS_MAX),
        ] {
            let given = |number: u64| {
                Cli::try_parse_from(["sim", "run", "--seed", "1", flag, &number.to_string()])
            };
            assert!(given(most).is_ok());
            let error = given(most + 1).unwrap_err().to_string();
            assert!(error.contains(&format!("to {most}")), "{error}");
        }
    }

    #[test]
    fn what_is_ruled_out_and_asked_for_is_refused_in_words() {
        for (flags, told) in [
            (&["--no", "loss", "--loss", "5%"][..], Some("--no loss and --loss contradict")),
            (&["--no", "loss", "--loss", "0"], None),
            (&["--no", "reordering", "--loss", "5%"], None),
            (&["--no", "delay,crash", "--crashes", "3"], Some("--no crash and --crashes")),
        ] {
            let args = [&["sim", "run", "--seed", "1"], flags].concat();
            let Command::Run(args) = Cli::try_parse_from(args).unwrap().command else {
                panic!("it was told to run");
            };
            let contradiction = args.contradiction();
            let is_as_told = match told {
                Some(told) => contradiction.as_ref().is_some_and(|words| words.contains(told)),
                None => contradiction.is_none(),
            };
            assert!(is_as_told, "{flags:?}: {contradiction:?}");
        }
    }

    #[test]
    fn faults_that_are_printed_are_those_that_happen() {
        let quiet = (0..).map(Scenario::draw).find(|drawn| drawn.faults == Classes::NONE);
        let seed = quiet.unwrap().seed.to_string();
        for (flags, faults) in [
            (&["--no", "crash", "--crashes", "0"][..], "none"),
            (&["--loss", "5%", "--crashes", "2"], "loss,crash"),
            (
                &["--loss", "0", "--duplication", "1%", "--reordering", "2%"],
                "duplication,reordering",
            ),
        ] {
            let args = [&["sim", "run", "--seed", &seed], flags].concat();
            let Command::Run(args) = Cli::try_parse_from(args).unwrap().command else {
                panic!("it was told to run");
            };
            let printed = args.scenario().to_string();
            assert!(printed.contains(&format!("faults      = {faults}\n")), "{printed}");
        }
    }

    #[test]
    fn another_number_of_nodes_leaves_as_many_groups() {
        let sizes = |seed: &str| {
            [8, 300].map(|nodes: usize| {
                let args = ["sim", "run", "--seed", seed, "--nodes", &nodes.to_string()];
                let Command::Run(args) = Cli::try_parse_from(args).unwrap().command else {
                    panic!("it was told to run");
                };
                match args.scenario().network.latency {
                    Latency::Groups { size, .. } => Some(size),
                    Latency::Uniform(_) => None,
                }
            })
        };
        let drawn = (0..20).map(|seed| sizes(&seed.to_string()));
        let grouped: Vec<_> = drawn.filter(|sizes| sizes[0].is_some()).collect();
        assert!(!grouped.is_empty());
        assert!(grouped.iter().all(|sizes| *sizes == [Some(2), Some(75)]), "{grouped:?}");
    }

    #[test]
    fn bad_arguments_end_with_the_exit_code_that_the_help_names() {
        let error = Cli::try_parse_from(["sim", "run", "--seed", "x"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let help = Cli::try_parse_from(["sim", "run", "--help"]).unwrap_err().to_string();
        assert!(help.contains("2 bad arguments, 3 no convergence"), "{help}");
    }
}
