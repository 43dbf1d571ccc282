//! `sim fields`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum, value_parser};
use rumormill_sim::fields::{Contrasts, FIELDS, Field, Figure, Survey, table};
use serde::Serialize;

use super::{EXIT_NO_CONVERGENCE, EXIT_USAGE};

/// Most seeds at a time: some hours.
const SEEDS_MAX: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table in Markdown
    Text,
    /// A list of objects
    Json,
}

#[derive(Debug, Args)]
pub(super) struct FieldsArgs {
    /// Which to run [default: all]
    #[arg(value_name = "NAME", value_parser = named)]
    names: Vec<Field>,
    /// Everything in them that is left to chance; of several seeds the first
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many seeds to run each with; of ours the median is told and the worst, of what was
    /// reported the best and the worst
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..=SEEDS_MAX))]
    seeds: u64,
    /// How to print what came of them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn named(name: &str) -> Result<Field, String> {
    Field::named(name).ok_or_else(|| {
        let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        format!("give one of {}", names.join(", "))
    })
}

/// A line of the list.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    reports: &'static str,
    story: &'static str,
    measure: &'static str,
    arose: (&'static str, u64),
    with: &'static str,
    ours: Ours,
    bar: Figure,
    contrast: Contrasts,
    seed: u64,
    seeds: usize,
    holds: bool,
}

#[derive(Serialize)]
struct Ours {
    median: Figure,
    worst: Figure,
}

impl From<&Survey> for Row {
    fn from(survey: &Survey) -> Self {
        let Field { name, reports, story, measure, .. } = survey.field;
        Self {
            name,
            reports,
            story,
            measure,
            arose: survey.arose(),
            with: survey.with(),
            ours: Ours { median: survey.median(), worst: survey.worst() },
            bar: survey.bar(),
            contrast: survey.contrast(),
            seed: survey.start,
            seeds: survey.verdicts.len(),
            holds: survey.missed().next().is_none(),
        }
    }
}

pub(super) fn fields(args: &FieldsArgs) -> ExitCode {
    let fields = if args.names.is_empty() { FIELDS } else { &args.names };
    let Some(end) = args.seed.checked_add(args.seeds) else {
        eprintln!("sim: there are not so many seeds from {} on", args.seed);
        return ExitCode::from(EXIT_USAGE);
    };
    let surveys = Survey::run(fields, args.seed..end);
    let told = match args.format {
        Format::Text => table(&surveys),
        Format::Json => {
            let rows: Vec<_> = surveys.iter().map(Row::from).collect();
            serde_json::to_string_pretty(&rows).expect("rows have only text keys") + "\n"
        }
    };
    // Whoever closes the output early has seen enough; the exit code still tells.
    let _ = std::io::stdout().lock().write_all(told.as_bytes());
    let mut all_hold = true;
    for survey in &surveys {
        for (seed, verdict) in survey.missed() {
            all_hold = false;
            let name = survey.field.name;
            eprintln!("sim: {verdict:?}; again with: sim fields {name} --seed {seed}");
        }
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO_CONVERGENCE) }
}
