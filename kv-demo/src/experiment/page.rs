//! The page to look at, from an experiment's folder.

use std::path::{Path, PathBuf};

use super::run::{self, RunError, RunFile};
use super::{ExperimentError, read_graph, run_dirs};
use crate::metrics::{RunFigures, history_of};
use crate::page::{self, Shown};
use crate::report::{self, Results};
use crate::topology::Graph;

/// Writes the page about `results`, which are those of the experiment in `out`, to `file`.
///
/// # Errors
///
/// [`ExperimentError`]; an older page of that name is untouched then.
pub fn write_page(out: &Path, results: &Results, file: &Path) -> Result<(), ExperimentError> {
    let runs = run_dirs(out)?
        .into_iter()
        .map(|dir| Ok((run::read_run_file(&dir).map_err(of(&dir))?, dir)))
        .collect::<Result<Vec<(RunFile, PathBuf)>, ExperimentError>>()?;
    let mut shown = Vec::new();
    for figures in page::runs_to_show(results) {
        if let Some((file, dir)) = runs.iter().find(|(file, _)| page::is_of(figures, &file.run)) {
            let graph = read_graph(out, &file.run)?;
            shown.extend(show(figures, file, dir, graph)?);
        }
    }
    report::write_file(file, &page::render(results, &shown)?)?;
    Ok(())
}

/// `None` where only figures were kept.
fn show<'a>(
    figures: &'a RunFigures,
    file: &RunFile,
    dir: &Path,
    graph: Graph,
) -> Result<Option<Shown<'a>>, ExperimentError> {
    let traces = run::read_traces(dir, file).map_err(of(dir))?;
    if traces.len() < file.run.nodes as usize && run::is_finished(dir) {
        return Ok(None);
    }
    let scene = run::scene(file, Some(&graph));
    let history = history_of(&file.run, &scene, &traces, figures.delivery.message)
        .map_err(|error| RunError::Metrics { dir: dir.to_owned(), error })
        .map_err(of(dir))?;
    Ok(Some(Shown { figures, history, graph }))
}

/// Says which run an error is about.
fn of(dir: &Path) -> impl FnOnce(RunError) -> ExperimentError {
    let label = dir.display().to_string();
    move |error| ExperimentError::Run { label, error }
}
