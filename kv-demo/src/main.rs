//! The `kv-demo` binary: reads the command line, calls the library, prints errors in one line.

mod cli;
mod open;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use kv_demo::agent;
use kv_demo::experiment::epidemic::{self, Verdict};
use kv_demo::experiment::{self, ExperimentError};
use kv_demo::keys;
use kv_demo::members::{self, Door};
use kv_demo::node::{self, Control};
use kv_demo::report::{ReportError, Results, write_file};
use kv_demo::topology::{self, Plan, Ports, to_ini, to_toml};
use tracing_subscriber::EnvFilter;

use cli::{
    CalibrateArgs, Cli, Command, EpidemicArgs, EpidemicFormat, ExperimentArgs, ExperimentCommand,
    MembersArgs, OutputFormat, ReportArgs, SetupError, TopologyArgs, WrongFlags,
};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Node(args) => run_node(*args),
        Command::Members(args) => print_members(&args),
        Command::Join(args) => args.run().map_err(Into::into),
        Command::Leave(args) => args.run().map_err(Into::into),
        Command::Keys(args) => args.run().map_err(Into::into),
        Command::Keygen => print_key(),
        Command::Topology(args) => print_topology(&args),
        Command::Experiment(args) => run_experiment(&args),
        Command::Report(args) => report(&args),
        Command::Agent => agent::run().map_err(Into::into),
        Command::Flood(args) => experiment::flood::run_node(args.bind).map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // `kv-demo members | head`: the reader has seen enough.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv-demo: {error}");
            exit_code(error.as_ref())
        }
    }
}

/// As clap says that values are wrong.
const EXIT_USAGE: u8 = 2;

fn exit_code(error: &(dyn Error + 'static)) -> ExitCode {
    let is_interrupt = matches!(
        error.downcast_ref(),
        Some(ExperimentError::Interrupted { .. } | ExperimentError::CalibrationInterrupted)
    );
    let is_kill = matches!(error.downcast_ref(), Some(ExperimentError::Kill(_)));
    let is_usage = is_kill
        || error.downcast_ref().is_some_and(WrongFlags::is_usage)
        || error.downcast_ref().is_some_and(SetupError::is_usage);
    match (is_interrupt, is_usage) {
        (true, _) => ExitCode::from(experiment::EXIT_INTERRUPTED),
        (false, true) => ExitCode::from(EXIT_USAGE),
        (false, false) => ExitCode::FAILURE,
    }
}

type Outcome = Result<(), Box<dyn Error>>;

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn run_node(args: cli::NodeArgs) -> Outcome {
    let setup = args.setup()?;
    let quiet = if setup.control == Control::Orders { "warn" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    Ok(node::run(&setup)?)
}

fn print_members(args: &MembersArgs) -> Outcome {
    let (door, mut out) = (Door::new(args.http.clone()), io::stdout().lock());
    if args.watch {
        members::watch(&door, args.format, &mut out)?;
    } else {
        members::print(&door, args.format, &mut out)?;
    }
    Ok(())
}

fn print_key() -> Outcome {
    let key = keys::generate()?;
    Ok(writeln!(io::stdout().lock(), "{}", *keys::to_text(&key))?)
}

fn print_topology(args: &TopologyArgs) -> Outcome {
    let ports = Ports { gossip: args.port, http: args.http_port };
    let plan = Plan::of(&args.graph()?, &args.hosts, ports)?;
    let text = match args.format {
        kv_demo::config::Format::Ini => to_ini(&plan),
        kv_demo::config::Format::Toml => to_toml(&plan),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn run_experiment(args: &ExperimentArgs) -> Outcome {
    experiment::catch_interrupts()?;
    let program = std::env::current_exe()?;
    match &args.command {
        Some(ExperimentCommand::Calibrate(args)) => return calibrate(&program, args),
        Some(ExperimentCommand::Epidemic(args)) => return study_epidemics(args),
        Some(ExperimentCommand::Plumtree(args)) => return args.run(),
        None => {}
    }
    let options = args.options()?;
    let results = experiment::run_all(&program, &options)?;
    let page = Page { file: options.out.join(PAGE_NAME), then: args.open.into() };
    finish(&results, args.format, &options.out, &page)
}

fn calibrate(program: &Path, args: &CalibrateArgs) -> Outcome {
    let hosts = args.hosts.plan();
    let graph = args.graph()?;
    let found = experiment::calibrate(program, hosts.as_ref(), &graph, args.repeat)?;
    let statistics: kv_demo::summary::Statistics = found.rounds_ms.iter().copied().collect();
    let mut out = io::stdout().lock();
    match args.format {
        OutputFormat::Json => {
            let object = serde_json::json!({
                "topology": graph.topology(),
                "dim": graph.dim(),
                "nodes": graph.nodes(),
                "rounds": found.rounds_ms.len(),
                "incomplete": found.incomplete,
                "median_ms": statistics.median(),
                "mean_ms": statistics.mean(),
                "std_ms": statistics.std(),
            });
            writeln!(out, "{object}")?;
        }
        OutputFormat::Table => {
            let number = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.2}"));
            writeln!(
                out,
                "a bare flood of {} takes {} ms {} (median of {}; mean {}, std {}; {} lost)",
                topology::stem(graph.topology(), graph.nodes()),
                number(statistics.median()),
                if hosts.is_some() { "between these hosts" } else { "here" },
                found.rounds_ms.len(),
                number(statistics.mean()),
                number(statistics.std()),
                found.incomplete,
            )?;
        }
    }
    Ok(())
}

/// Figures that are not as published.
#[derive(Debug, thiserror::Error)]
#[error("not as published: {0}; see OUT")]
struct NotAsPublished(usize);

fn study_epidemics(args: &EpidemicArgs) -> Outcome {
    let findings = epidemic::study(&args.study()).ok_or(ExperimentError::CalibrationInterrupted)?;
    if let Some(dir) = &args.out {
        let unwritable = |reason| ReportError::Unwritable { path: dir.clone(), reason };
        std::fs::create_dir_all(dir).map_err(unwritable)?;
        write_file(&dir.join("epidemic.json"), &findings.to_json())?;
        write_file(&dir.join("epidemic.csv"), &findings.to_csv())?;
    }
    let text = match args.format {
        EpidemicFormat::Table => findings.to_table(),
        EpidemicFormat::Json => findings.to_json(),
        EpidemicFormat::Csv => findings.to_csv(),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    match findings.count(Verdict::Outside) {
        0 => Ok(()),
        outside => Err(NotAsPublished(outside).into()),
    }
}

fn report(args: &ReportArgs) -> Outcome {
    let results = experiment::report_again(&args.dir)?;
    let file = args.html.clone().unwrap_or_else(|| args.dir.join(PAGE_NAME));
    finish(&results, args.format, &args.dir, &Page { file, then: args.open.into() })
}

/// What the page is called in its experiment's folder.
const PAGE_NAME: &str = "report.html";

/// The page to look at, and what happens when it is written.
struct Page {
    file: PathBuf,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Open,
    Nothing,
}

impl From<bool> for Then {
    fn from(open: bool) -> Self {
        if open { Self::Open } else { Self::Nothing }
    }
}

/// Prints results, writes the page and names it.
fn finish(results: &Results, format: OutputFormat, dir: &Path, page: &Page) -> Outcome {
    // Neither costs the other: results whose page fails are printed, and a reader who has seen enough
    // of them still gets the page.
    let written = experiment::write_page(dir, results, &page.file);
    print_results(results, format, dir)?;
    written?;
    // Not to standard output, where a program may read the results.
    eprintln!("the page to look at is {}", page.file.display());
    if page.then == Then::Open
        && let Err(error) = open::open(&page.file)
    {
        // The page is there all the same.
        eprintln!("kv-demo: {error}");
    }
    Ok(())
}

fn print_results(results: &Results, format: OutputFormat, dir: &Path) -> Outcome {
    let mut out = io::stdout().lock();
    match format {
        OutputFormat::Json => writeln!(out, "{}", results.to_json().trim_end())?,
        OutputFormat::Table => {
            writeln!(out, "{}", results.to_table().trim_end())?;
            writeln!(out, "\nresults, plots and traces are in {}", dir.display())?;
        }
    }
    Ok(())
}
