//! `sim`: runs a scenario that a seed draws.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rumormill_sim::scenario::{NODES_MAX, Scenario};
use rumormill_sim::{Ratio, Tracer};

/// What a shell sees if something that must hold does not.
const EXIT_NO_CONVERGENCE: u8 = 3;

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
    /// Exit codes: 0 all is well, 1 bad arguments or files, 3 no convergence, 101 a bug of ours.
    Run(RunArgs),
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
    #[arg(long, value_name = "N")]
    crashes: Option<u64>,
    /// Broadcasts until then
    #[arg(long, value_name = "N")]
    broadcasts: Option<u64>,
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

impl RunArgs {
    fn scenario(&self) -> Scenario {
        let mut scenario = Scenario::draw(self.seed);
        scenario.nodes = self.nodes.unwrap_or(scenario.nodes);
        scenario.crashes = self.crashes.unwrap_or(scenario.crashes);
        scenario.broadcasts = self.broadcasts.unwrap_or(scenario.broadcasts);
        let network = &mut scenario.network;
        network.loss = self.loss.unwrap_or(network.loss);
        network.duplication = self.duplication.unwrap_or(network.duplication);
        network.reordering = self.reordering.unwrap_or(network.reordering);
        scenario
    }

    fn tracer(&self) -> std::io::Result<Tracer> {
        match &self.trace {
            Some(path) => Ok(Tracer::with_lines(BufWriter::new(File::create(path)?))),
            None => Ok(Tracer::default()),
        }
    }
}

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
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
            eprintln!("sim: {violation}; again with: sim run --seed {}", scenario.seed);
            ExitCode::from(EXIT_NO_CONVERGENCE)
        }
    }
}
