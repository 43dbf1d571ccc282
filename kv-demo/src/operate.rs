//! Operating a running node from outside, over its HTTP door: join, leave, keys.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rumormill::Keyring;
use rumormill_mio::Clock;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::{BadSeed, Seed, SeedAddr};
use crate::keys::{self, KeyFile, KeyFileError};
use crate::members::{AskError, Door};
use crate::node::{JOIN_WAIT_MAX_MS, JoinView, KeysView, Reached};

/// Beyond what the node may take to answer: the way there and back.
const WAY: Duration = Duration::from_secs(5);
/// Pause between two looks whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Longest text of keys that is read from standard input, in bytes.
const INPUT_LEN_MAX: u64 = 64 << 10;

/// Why it was not done; one line that names the fix.
#[derive(Debug, Error)]
pub enum OperateError {
    /// The node could not be asked, or refused.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There is nobody to join.
    #[error("say whom to join: kv-demo join HOST[:PORT]...")]
    NoSeed,
    /// What is to be joined is no seed.
    #[error(transparent)]
    Seed(#[from] BadSeed),
    /// The wait is too long.
    #[error("a node waits {} s at most: shorten --timeout", JOIN_WAIT_MAX_MS / 1_000)]
    TooPatient,
    /// Nobody answered.
    #[error(
        "nobody answered, so the node has joined nobody: see why above, or give it another address"
    )]
    NobodyJoined,
    /// The process goes on.
    #[error(
        "the node has left its cluster, but its process has not ended after {}: end it",
        seconds(*waited)
    )]
    StillRunning {
        /// How long it was watched.
        waited: Duration,
    },
    /// What is to be installed is no key.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Has the node join members now; each address is tried once, for `wait` at most.
///
/// # Errors
///
/// [`OperateError`]; also when nobody answered.
pub fn join(
    door: &SeedAddr,
    seeds: &[String],
    wait: Duration,
    out: &mut impl Write,
) -> Result<(), OperateError> {
    if seeds.is_empty() {
        return Err(OperateError::NoSeed);
    }
    if wait > Duration::from_millis(JOIN_WAIT_MAX_MS) {
        return Err(OperateError::TooPatient);
    }
    let seeds = seeds.iter().map(|seed| seed.parse()).collect::<Result<Vec<Seed>, _>>()?;
    let mut query = vec![("wait_ms", wait.as_millis().to_string())];
    query.extend(seeds.iter().map(|seed| ("seed", seed.to_string())));
    // Names are resolved first, and that may take as long as the joining.
    let view: JoinView = Door::patient(door.clone(), 2 * wait + WAY).post("join", &query, b"")?;
    print_join(&view, out)?;
    if view.joined == 0 { Err(OperateError::NobodyJoined) } else { Ok(()) }
}

fn print_join(view: &JoinView, out: &mut impl Write) -> io::Result<()> {
    for seed in &view.seeds {
        if let Some(why) = &seed.unresolved {
            writeln!(out, "{}: {why}", seed.seed)?;
        }
        for address in &seed.addresses {
            let addr = address.addr.to_string();
            let given = if addr == seed.seed { addr } else { format!("{} ({addr})", seed.seed) };
            let reached = match &address.reached {
                Reached::Joined => "joined",
                Reached::Itself => "this is the node itself",
                Reached::Silent => "no answer",
                Reached::Failed(why) => why,
            };
            writeln!(out, "{given}: {reached}")?;
        }
    }
    let addresses: usize = view.seeds.iter().map(|seed| seed.addresses.len()).sum();
    writeln!(out, "{} of {addresses} addresses joined", view.joined)
}

/// Has the node say goodbye and end, and waits for both.
///
/// # Errors
///
/// [`OperateError`].
pub fn leave(door: &SeedAddr, wait: Duration, out: &mut impl Write) -> Result<(), OperateError> {
    let clock = Clock::start();
    let node = Door::patient(door.clone(), wait).members()?.node;
    Door::patient(door.clone(), wait).order("leave")?;
    let look = Door::new(door.clone());
    while look.members().is_ok() {
        let waited = Duration::from_micros(clock.now().as_micros());
        if waited > wait {
            return Err(OperateError::StillRunning { waited });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(writeln!(out, "{node} has left its cluster and ended")?)
}

/// Prints the fingerprints of the node's keys.
///
/// # Errors
///
/// [`OperateError`].
pub fn list_keys(door: &SeedAddr, out: &mut impl Write) -> Result<(), OperateError> {
    let view: KeysView = Door::new(door.clone()).ask("keys")?;
    Ok(print_keys(&view, out)?)
}

/// Installs the keys of a file, `-` for standard input.
///
/// # Errors
///
/// [`OperateError`]; keys before the one that failed are installed.
pub fn install_keys(
    door: &SeedAddr,
    file: &Path,
    out: &mut impl Write,
) -> Result<(), OperateError> {
    let ring = if file.as_os_str() == "-" { read_input()? } else { KeyFile::open(file)?.1 };
    for key in ring.keys() {
        let text = keys::to_text(key);
        let view: KeysView = Door::new(door.clone()).post("keys/install", &[], text.as_bytes())?;
        print_change("installed", &view, out)?;
    }
    Ok(())
}

fn read_input() -> Result<Keyring, KeyFileError> {
    let path = || PathBuf::from("standard input");
    let mut text = Zeroizing::new(String::new());
    let read = io::stdin().lock().take(INPUT_LEN_MAX).read_to_string(&mut text);
    read.map_err(|reason| KeyFileError::Unreadable { path: path(), reason })?;
    let wrong = |(line, reason)| KeyFileError::Text { path: path(), line, reason };
    keys::parse(&text).map_err(wrong)
}

/// Has the node encrypt with another of its keys.
///
/// # Errors
///
/// [`OperateError`].
pub fn use_key(
    door: &SeedAddr,
    fingerprint: &str,
    out: &mut impl Write,
) -> Result<(), OperateError> {
    change_key(door, "keys/use", fingerprint, "primary", out)
}

/// Has the node forget a key.
///
/// # Errors
///
/// [`OperateError`].
pub fn remove_key(
    door: &SeedAddr,
    fingerprint: &str,
    out: &mut impl Write,
) -> Result<(), OperateError> {
    change_key(door, "keys/remove", fingerprint, "removed", out)
}

fn change_key(
    door: &SeedAddr,
    path: &str,
    fingerprint: &str,
    what: &str,
    out: &mut impl Write,
) -> Result<(), OperateError> {
    let query = [("key", fingerprint.to_owned())];
    let view: KeysView = Door::new(door.clone()).post(path, &query, b"")?;
    Ok(print_change(what, &view, out)?)
}

fn print_change(what: &str, view: &KeysView, out: &mut impl Write) -> io::Result<()> {
    if let Some(key) = &view.changed {
        writeln!(out, "{key} {what}; the node's keys are now")?;
    }
    print_keys(view, out)
}

fn print_keys(view: &KeysView, out: &mut impl Write) -> io::Result<()> {
    for (index, key) in view.keys.iter().enumerate() {
        let role = if index == 0 { "primary: encrypts and decrypts" } else { "decrypts" };
        writeln!(out, "  {key}  {role}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{AddressView, SeedView};

    #[test]
    fn a_join_tells_what_became_of_each_address() {
        let seed = |seed: &str, unresolved: Option<&str>, addresses: Vec<AddressView>| SeedView {
            seed: seed.to_owned(),
            unresolved: unresolved.map(ToOwned::to_owned),
            addresses,
        };
        let address = |addr: &str, reached| AddressView { addr: addr.parse().unwrap(), reached };
        let refused = Reached::Failed("the connection failed".to_owned());
        let seeds = vec![
            seed("192.0.2.1:1", None, vec![address("192.0.2.1:1", Reached::Joined)]),
            seed("_a._udp.b", Some("no SRV records"), Vec::new()),
            seed(
                "c:1",
                None,
                vec![address("192.0.2.2:1", refused), address("192.0.2.3:1", Reached::Silent)],
            ),
        ];
        let view = JoinView { joined: 1, seeds };
        let json = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<JoinView>(&json).unwrap(), view, "{json}");
        let mut out = Vec::new();
        print_join(&view, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "192.0.2.1:1: joined\n_a._udp.b: no SRV records\n\
             c:1 (192.0.2.2:1): the connection failed\nc:1 (192.0.2.3:1): no answer\n\
             1 of 3 addresses joined\n"
        );
    }

    #[test]
    fn whoever_asks_for_nothing_is_told_what_to_say() {
        let door: SeedAddr = "127.0.0.1:1".parse().unwrap();
        let refusal = |seeds: &[&str], wait| {
            let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
            join(&door, &seeds, Duration::from_secs(wait), &mut Vec::new()).unwrap_err()
        };
        assert!(refusal(&[], 1).to_string().contains("kv-demo join HOST"));
        assert!(refusal(&["a:b"], 1).to_string().contains("host:port"));
        assert!(refusal(&["a"], 61).to_string().contains("60 s at most"));
    }
}
