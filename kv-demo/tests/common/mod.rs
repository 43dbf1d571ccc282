//! Processes of the binary under test, and patience.

#![allow(dead_code, unreachable_pub, reason = "each test file uses another part")]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

pub mod dns;

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use kv_demo::members::Door;
use kv_demo::node::{Change, MembersView, What};
use rumormill_mio::Clock;

/// No test waits longer than this for its condition; none waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kv-demo"))
}

/// A folder of one test, removed at its end.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kv-demo-test-{test}-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Looks until it sees what it waits for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    loop {
        if let Some(found) = look() {
            return found;
        }
        let waited = Duration::from_micros(clock.now().as_micros());
        assert!(waited < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first of so many ports that are free now, for TCP and UDP. They lie below those that systems
/// give to whoever asks for any, so that no other connection takes them meanwhile.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = (std::process::id() % 1_000) as u16;
    wait_for("a block of free ports", || {
        let base = 10_000 + (process * 20 + NEXT.fetch_add(count, Ordering::Relaxed)) % 22_000;
        let is_free = |port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok()
                && UdpSocket::bind(("127.0.0.1", port)).is_ok()
        };
        (base..base + count).all(is_free).then_some(base)
    })
}

/// A running node; it is killed at the end of its test.
pub struct Node {
    process: Child,
    pub gossip: SocketAddr,
    pub http: SocketAddr,
    log: PathBuf,
}

impl Node {
    /// Starts a node on free ports, with gossip that does not keep tests waiting.
    pub fn start(dir: &Dir, name: &str, arguments: &[&str]) -> Self {
        let quick = ["--interval", "50ms", "--preset", "local"];
        let doors = ["--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--name", name];
        Self::start_with(dir, name, &[&["node"], &doors[..], &quick, arguments].concat())
    }

    /// Starts a node with exactly these arguments.
    pub fn start_with(dir: &Dir, name: &str, arguments: &[&str]) -> Self {
        Self::start_in(dir, name, &[], arguments)
    }

    /// Starts a node with exactly these arguments and these variables in its environment.
    pub fn start_in(
        dir: &Dir,
        name: &str,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let out = dir.path().join(format!("{name}.out"));
        let log = dir.path().join(format!("{name}.log"));
        let mut process = binary()
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let (gossip, http) = wait_for("the node tells its doors", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "{name}: {}", std::fs::read_to_string(&log).unwrap());
            doors(&std::fs::read_to_string(&out).unwrap())
        });
        Self { process, gossip, http, log }
    }

    pub fn join(&self) -> String {
        self.gossip.to_string()
    }

    pub fn members(&self) -> MembersView {
        Door::new(self.http).members().unwrap()
    }

    #[track_caller]
    pub fn wait_live(&self, live: usize) {
        wait_for("so many members are live", || (self.members().live == live).then_some(()));
    }

    /// The state that the node believes a member to be in.
    pub fn state_of(&self, name: &str) -> Option<String> {
        let view = self.members();
        view.members.into_iter().find(|member| member.name == name).map(|member| member.state)
    }

    /// The first change of a kind about a member.
    #[track_caller]
    pub fn wait_change(&self, what: What, member: &str) -> Change {
        wait_for("the change is told", || {
            let changes: Vec<Change> = serde_json::from_str(&self.get("/events").1).unwrap();
            changes.into_iter().find(|change| change.what == what && change.member == member)
        })
    }

    /// Status and body of a request to the node's door.
    pub fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get_bytes(path);
        (status, String::from_utf8(body).unwrap())
    }

    pub fn get_bytes(&self, path: &str) -> (u16, Vec<u8>) {
        let url = format!("http://{}{path}", self.http);
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut answer = ureq::Agent::from(config).get(url).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_vec().unwrap())
    }

    #[track_caller]
    pub fn wait_value(&self, key: &str, value: Option<&str>) {
        let expected = value.map_or((404, String::new()), |value| (200, value.to_owned()));
        let path = format!("/get?key={key}");
        wait_for("the key has this value", || (self.get(&path) == expected).then_some(()));
    }

    /// Sends a signal by its name.
    pub fn signal(&self, signal: &str) {
        signal_process(self.process.id(), signal);
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        wait_for("the node ends", || self.process.try_wait().unwrap())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The addresses in what a node prints when it is up.
fn doors(out: &str) -> Option<(SocketAddr, SocketAddr)> {
    let gossip = out.lines().find_map(|line| line.strip_prefix("gossip on "))?;
    let http = out.lines().find_map(|line| line.strip_prefix("HTTP on http://"))?;
    let gossip = gossip.split(' ').next()?.parse().ok()?;
    Some((gossip, http.trim_end_matches('/').parse().ok()?))
}

pub fn signal_process(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// What a command says that must fail: one line, without the program's name.
#[track_caller]
pub fn refusal(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "it must fail");
    one_line(&output)
}

/// What the program says about a command line that it refuses as a whole, or a value of it.
#[track_caller]
pub fn misuse(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    text
}

#[track_caller]
fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line that names the fix: {text}");
    text.trim().strip_prefix("kv-demo: ").expect("the program names itself").to_owned()
}
