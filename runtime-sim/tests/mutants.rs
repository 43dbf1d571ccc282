//! The bugs on purpose can still be put in. Whether somebody sees them takes long: `sim mutants`.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rumormill_sim::fields::Field;
use rumormill_sim::mutants::{Mutant, MutantError, Sight, Workshop};

const MUTANTS_MIN: usize = 20;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rumormill-mutants-{name}-{}", std::process::id()))
}

fn workshop(name: &str) -> Workshop {
    Workshop::copy(here().parent().unwrap(), scratch(name)).unwrap()
}

/// All sources of the copy.
fn sources(folder: &Path) -> BTreeSet<(PathBuf, String)> {
    let mut sources = BTreeSet::new();
    let mut folders = vec![folder.join("core/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.insert((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources
}

#[test]
fn every_bug_can_be_put_in_and_taken_out_again() {
    let mutants = Mutant::all_in(&here().join("mutants")).unwrap();
    assert!(mutants.len() >= MUTANTS_MIN, "{} mutants", mutants.len());
    let workshop = workshop("all");
    let healthy = sources(workshop.folder());
    for mutant in &mutants {
        workshop.put_in(mutant).unwrap();
        assert_ne!(sources(workshop.folder()), healthy, "{}", mutant.name);
        workshop.take_out(mutant).unwrap();
        assert_eq!(sources(workshop.folder()), healthy, "{}", mutant.name);
    }
    let folder = workshop.folder().to_owned();
    drop(workshop);
    assert!(!folder.exists());
}

#[test]
fn whoever_should_see_a_bug_exists() {
    let crates = [here().parent().unwrap().join("core"), here().to_owned()];
    for mutant in Mutant::all_in(&here().join("mutants")).unwrap() {
        let Mutant { name, sight, .. } = mutant;
        match sight {
            Sight::Swarm { words } => assert!(!words.is_empty(), "{name}"),
            Sight::Field { name: field } => assert!(Field::named(&field).is_some(), "{name}"),
            Sight::Test { file, .. } if file == "lib" => {}
            Sight::Test { file, filter } => {
                let (path, function) = match filter.rsplit_once("::") {
                    Some((module, function)) => (format!("tests/{file}/{module}.rs"), function),
                    None => (format!("tests/{file}.rs"), &filter[..]),
                };
                let text = crates.iter().find_map(|of| fs::read_to_string(of.join(&path)).ok());
                let is_there = text.is_some_and(|text| text.contains(&format!("fn {function}")));
                assert!(is_there, "{name}: {file}::{filter}");
            }
        }
    }
}

#[test]
fn a_patch_that_fits_in_part_changes_nothing_and_is_named() {
    let folder = scratch("half");
    fs::create_dir(&folder).unwrap();
    let hunk = |file: &str, old: &str| {
        format!("--- a/core/src/{file}\n+++ b/core/src/{file}\n@@ -1 +1 @@\n-{old}\n+//! New.\n")
    };
    let first = fs::read_to_string(here().join("../core/src/rng.rs")).unwrap();
    let first = first.lines().next().unwrap();
    let patch = hunk("rng.rs", first) + &hunk("time.rs", "no such line");
    let header = "breaks: Nothing.\nseen by: swarm: nobody\n\n";
    fs::write(folder.join("01-half.patch"), header.to_owned() + &patch).unwrap();
    let mutants = Mutant::all_in(&folder).unwrap();
    let workshop = workshop("half-copy");
    let healthy = sources(workshop.folder());
    let error = workshop.put_in(&mutants[0]).unwrap_err();
    assert!(matches!(&error, MutantError::DoesNotApply { name, .. } if name == "01-half"));
    assert_eq!(sources(workshop.folder()), healthy);
    fs::write(folder.join("01-half.patch"), patch).unwrap();
    assert!(matches!(Mutant::all_in(&folder), Err(MutantError::Header(_))));
    fs::remove_dir_all(folder).unwrap();
}
