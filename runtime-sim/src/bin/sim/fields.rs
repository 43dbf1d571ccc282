//! `sim fields`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use rumormill_sim::fields::{FIELDS, Field, Verdict, table};
use serde::Serialize;

use super::EXIT_NO_CONVERGENCE;

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
    /// Everything in them that is left to chance
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
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
    #[serde(flatten)]
    verdict: Verdict,
    holds: bool,
}

fn rows(verdicts: &[(Field, Verdict)]) -> Vec<Row> {
    let row = |&(field, verdict): &(Field, Verdict)| {
        let Field { name, reports, story, measure, .. } = field;
        Row { name, reports, story, measure, verdict, holds: verdict.holds() }
    };
    verdicts.iter().map(row).collect()
}

pub(super) fn fields(args: &FieldsArgs) -> ExitCode {
    let fields = if args.names.is_empty() { FIELDS } else { &args.names };
    let verdicts: Vec<_> = fields.iter().map(|field| (*field, field.run(args.seed))).collect();
    let told = match args.format {
        Format::Text => table(&verdicts),
        Format::Json => {
            let rows = rows(&verdicts);
            serde_json::to_string_pretty(&rows).expect("rows have only text keys") + "\n"
        }
    };
    // Whoever closes the output early has seen enough; the exit code still tells.
    let _ = std::io::stdout().lock().write_all(told.as_bytes());
    let missed: Vec<_> = verdicts.iter().filter(|(_, verdict)| !verdict.holds()).collect();
    for (field, verdict) in &missed {
        let name = field.name;
        eprintln!("sim: {verdict:?}; again with: sim fields {name} --seed {}", args.seed);
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO_CONVERGENCE) }
}
