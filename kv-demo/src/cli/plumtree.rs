//! `kv-demo experiment plumtree`.

use std::io::{self, Write};
use std::ops::ControlFlow;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kv_demo::experiment;
use kv_demo::plumtree::{Cycle, Deaths, NODES_MAX, Outcome, Phase, Plan, run};

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
            OutputFormat::Table => print(&outcome, &mut out)?,
        }
        Ok(())
    }
}

fn print(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let nodes = outcome.nodes;
    writeln!(out, "{nodes} nodes with five neighbours each, one sender, a hop is a millisecond\n")?;
    writeln!(out, "broadcast  reached  payload     RMR  control  last hop  t_full")?;
    for (number, cycle) in outcome.cycles.iter().enumerate() {
        let Cycle { reached, payload, control, last_hop, t_full_ms } = cycle;
        let rmr = rmr(*payload, *reached);
        writeln!(
            out,
            "{:>9}  {reached:>7}  {payload:>7}  {rmr:>6.3}  {control:>7}  {last_hop:>8}  {t_full_ms:>3.0} ms",
            number + 1
        )?;
    }
    if outcome.deaths.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n  dead  repair   live  linked  first reached      %  t_full ms  second reached     RMR"
    )?;
    for deaths in &outcome.deaths {
        let Deaths { percent, repair, live, linked, first, second, .. } = deaths;
        writeln!(
            out,
            "{percent:>4} %  {:>6}  {live:>5}  {linked:>6}  {:>13}  {:>5.1}  {:>9.0}  {:>14}  {:>6.3}",
            if *repair { "on" } else { "off" },
            first.reached,
            share(first.reached, *live),
            first.t_full_ms,
            second.reached,
            rmr(second.payload, second.reached),
        )?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn rmr(payload: u64, reached: usize) -> f64 {
    payload as f64 / (reached.max(2) - 1) as f64 - 1.0
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}
