//! Finding and building the peers. What is missing is named; `RUMORMILL_REQUIRE_PEERS=1` makes that
//! a failure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::process::{Outcome, Peer};

/// A column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// hashicorp/memberlist 0.7.0.
    Newest,
    /// hashicorp/memberlist 0.2.2.
    Oldest,
    /// Debian's Serf.
    Serf,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Newest, Self::Oldest, Self::Serf];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Newest => "memberlist 0.7.0",
            Self::Oldest => "memberlist 0.2.2",
            Self::Serf => "Serf 0.9.4",
        }
    }
}

/// The programs.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) ours: PathBuf,
    pub(crate) newest: PathBuf,
    pub(crate) oldest: PathBuf,
    pub(crate) serf: PathBuf,
}

/// All programs, or `None` with a line that says which one is missing. They are built once for all
/// tests of a run.
///
/// # Panics
///
/// If one is missing that must not, or cannot be built.
pub(crate) fn find() -> Option<&'static Peers> {
    static FOUND: OnceLock<Option<Peers>> = OnceLock::new();
    FOUND.get_or_init(build).as_ref()
}

fn build() -> Option<Peers> {
    let peers = on_path("go").and_then(|go| {
        let (newest, oldest) = (build_go(&go, None)?, build_go(&go, Some("v0.2.2"))?);
        Ok(Peers { ours: build_ours(), newest, oldest, serf: on_path("serf")? })
    });
    peers
        .map_err(|missing| {
            let required = std::env::var("RUMORMILL_REQUIRE_PEERS").is_ok_and(|value| value == "1");
            assert!(!required, "{missing}, and RUMORMILL_REQUIRE_PEERS is 1");
            // Past the test harness, which shows what is printed by tests that fail only.
            let _ = writeln!(std::io::stderr(), "skipped: {missing}");
        })
        .ok()
}

fn on_path(program: &str) -> Outcome<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(program));
    paths.find(|path| path.is_file()).ok_or_else(|| format!("{program} is not on the PATH"))
}

/// Where this test was built: `target/<profile>`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().into()
}

/// Builds the Go program; Go knows what changed. It may be too old, or without its modules.
fn build_go(go: &Path, version: Option<&str>) -> Outcome<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peer");
    let out = profile_folder().join("interop").join(version.unwrap_or("newest"));
    let mut build = Command::new(go);
    build.current_dir(source).args(["build", "-buildvcs=false", "-o"]).arg(&out);
    if let Some(version) = version {
        build.arg(format!("-modfile={version}.mod")).args(["-tags", "oldest"]);
    }
    run(build.arg(".")).map(|()| out)
}

/// The example is no part of what `cargo test --test interop` builds.
fn build_ours() -> PathBuf {
    let folder = profile_folder();
    let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "rumormill-mio", "--example", "peer"]);
    build.args(["--profile", profile]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // A test may have been built elsewhere than the environment says.
    run(build.env("CARGO_TARGET_DIR", folder.parent().unwrap())).unwrap();
    folder.join("examples/peer")
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?} failed: {said}")) }
}

/// Impatient timings for one host. The copies are those of a LAN: the local preset's two of each
/// rumour would miss one of four members now and then.
const FAST: [&str; 10] = [
    "--profile",
    "lan",
    "--probe-interval",
    "500ms",
    "--probe-timeout",
    "250ms",
    "--gossip-interval",
    "50ms",
    "--push-pull",
    "60000ms",
];

impl Peers {
    /// Starts a member of ours.
    pub(crate) fn ours(&self, name: &str, flags: &[&str]) -> Outcome<Peer> {
        Peer::start(name, &mut Command::new(&self.ours), &[&FAST[..], flags].concat())
    }

    /// Starts a Go member.
    pub(crate) fn go(&self, kind: Kind, name: &str, flags: &[&str]) -> Outcome<Peer> {
        let program = if kind == Kind::Oldest { &self.oldest } else { &self.newest };
        Peer::start(name, &mut Command::new(program), &[&FAST[..], flags].concat())
    }
}
