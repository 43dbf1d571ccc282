//! The page to look at, from an experiment's folder.

use std::path::{Path, PathBuf};

use super::run::{self, RunError};
use super::{ExperimentError, run_dirs};
use crate::metrics::{Run, RunFigures, history};
use crate::page::{self, Shown};
use crate::report::{self, Results};

/// Writes the page about `results`, which are those of the experiment in `dir`, to `file`.
///
/// # Errors
///
/// [`ExperimentError`]; an older page of that name is untouched then.
pub fn write_page(dir: &Path, results: &Results, file: &Path) -> Result<(), ExperimentError> {
    let runs = run_dirs(dir)?
        .into_iter()
        .map(|dir| Ok((run::read_run_file(&dir).map_err(of(&dir))?.run, dir)))
        .collect::<Result<Vec<(Run, PathBuf)>, ExperimentError>>()?;
    let mut shown = Vec::new();
    for figures in page::runs_to_show(results) {
        if let Some((run, dir)) = runs.iter().find(|(run, _)| page::is_of(figures, run)) {
            shown.push(show(figures, run, dir)?);
        }
    }
    report::write_file(file, &page::render(results, &shown)?)?;
    Ok(())
}

fn show<'a>(figures: &'a RunFigures, run: &Run, dir: &Path) -> Result<Shown<'a>, ExperimentError> {
    let traces = run::read_traces(dir, run).map_err(of(dir))?;
    let history = history(run, &traces)
        .map_err(|error| RunError::Metrics { dir: dir.to_owned(), error })
        .map_err(of(dir))?;
    Ok(Shown { figures, history })
}

/// Says which run an error is about.
fn of(dir: &Path) -> impl FnOnce(RunError) -> ExperimentError {
    let label = dir.display().to_string();
    move |error| ExperimentError::Run { label, error }
}
