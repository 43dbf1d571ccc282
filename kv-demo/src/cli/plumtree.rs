//! `kv-demo experiment plumtree`.

use std::io::{self, Write};
use std::ops::ControlFlow;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kv_demo::experiment;
use kv_demo::plumtree::{NODES_MAX, Phase, Plan, run};

use super::OutputFormat;

#[derive(Debug, Args)]
pub(crate) struct PlumtreeArgs {
    /// How many nodes, each with five neighbours
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = nodes)]
    nodes: usize,
    /// Broadcasts of one sender before anybody dies
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    cycles: u32,
    /// Shares of the nodes that die at once, in percent
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "10,20,30,40,50,60,70,80",
          value_parser = clap::value_parser!(u32).range(1..100))]
    deaths: Vec<u32>,
    /// How often each share dies, each time in another graph
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// Everything that is left to chance
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How to print what came of it
    #[arg(long, default_value = "table")]
    format: OutputFormat,
}

/// Figures that a tree should have and does not.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the figures are not what they should be: see OUT beside what was said and reached")]
struct NotAsItShould(usize);

fn nodes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|nodes| (6..=NODES_MAX).contains(nodes));
    number.ok_or_else(|| format!("give a number of nodes from 6 to {NODES_MAX}"))
}

impl PlumtreeArgs {
    pub(crate) fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let deaths = self.deaths.clone();
        let Self { nodes, cycles, runs, seed, .. } = *self;
        let steps = u64::from(cycles) + deaths.len() as u64 * u64::from(runs) * 2;
        let style = ProgressStyle::with_template("{wide_bar} {msg}, {elapsed}")?;
        let bar = ProgressBar::new(steps).with_style(style);
        let outcome = run(&Plan { seed, nodes, cycles, deaths, runs }, |phase| {
            bar.inc(1);
            bar.set_message(match phase {
                Phase::Cycle(cycle) => format!("broadcast {}", cycle + 1),
                Phase::Deaths(percent, repair, _) => {
                    format!("{percent} % die, repair {}", if repair { "on" } else { "off" })
                }
            });
            if experiment::is_interrupted() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        bar.finish_and_clear();
        let Some(outcome) = outcome else {
            std::process::exit(experiment::EXIT_INTERRUPTED.into());
        };
        let mut out = io::stdout().lock();
        match self.format {
            OutputFormat::Json => writeln!(out, "{}", serde_json::to_string(&outcome)?)?,
            OutputFormat::Table => write!(out, "{}", outcome.to_table())?,
        }
        match outcome.outside() {
            0 => Ok(()),
            outside => Err(NotAsItShould(outside).into()),
        }
    }
}
