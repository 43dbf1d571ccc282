//! A node's configuration file: one file describes many nodes, and `--name` chooses one of them.
//!
//! Two formats say the same. **INI** is the original's, read as its files are:
//!
//! ```ini
//! [Node2]
//! bindAddr=0.0.0.0
//! advertiseAddr=10.0.0.1
//! bindPort=30001
//! memberlistAddr=10.0.0.1
//! memberlistPort=30000
//! neighbors="10.0.0.1:30000,10.0.0.2:30000"
//! port=30501
//! ```
//!
//! `advertiseAddr` may be absent (then `bindAddr` serves), `memberlistAddr` absent or empty (then
//! the node joins nobody), `port` is the HTTP port, on loopback. **TOML** is ours and can say more:
//!
//! ```toml
//! [defaults]                  # optional, and so is each key in it: see Overrides
//! mode = "matching"
//! gossip_interval_ms = 200
//! profile = "wan"             # or, as ever, preset
//! label = "production"
//! encrypt_key_file = "keys"   # beside this file; verify_incoming, verify_outgoing = true
//! compression = false
//! dns_server = "10.0.0.53:53"
//!
//! [nodes.Node2]
//! bind = "0.0.0.0:30001"
//! advertise = "10.0.0.1:30001"
//! http = "127.0.0.1:30501"
//! join = ["10.0.0.1:30000", "seed.example.org", "_rumormill._udp.example.org"]
//! neighbors = ["10.0.0.1:30000", "10.0.0.2:30000"]
//! ```
//!
//! Only `bind` is required. In both formats a seed that is the node itself is left out, and of
//! equal neighbours the first is kept. What is wrong in another node's section only that node
//! reports, as long as the text is INI or TOML at all.

mod choice;
mod error;
mod from_ini;
mod from_toml;
mod seed;

use core::net::SocketAddr;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::wire::WireWishes;

pub use choice::{Mode, Phase, Preset, UnknownMode, UnknownPreset};
pub use error::{ConfigError, Place, Problem};
pub use seed::{BadAddr, BadSeed, SEED_PORT, Seed, SeedAddr, SeedPlace};

/// The environment variables that say what a flag of `kv-demo node` says. Flags win over them, and
/// they win over files. A node of an experiment inherits none of them.
pub const ENVIRONMENT: [&str; 14] = [
    "KV_DEMO_ADVERTISE",
    "KV_DEMO_BIND",
    "KV_DEMO_COMPRESSION",
    "KV_DEMO_CONFIG",
    "KV_DEMO_DNS_SERVER",
    "KV_DEMO_ENCRYPT_KEY_FILE",
    "KV_DEMO_HTTP",
    "KV_DEMO_JOIN",
    "KV_DEMO_LABEL",
    "KV_DEMO_MODE",
    "KV_DEMO_NAME",
    "KV_DEMO_PROFILE",
    "KV_DEMO_VERIFY_INCOMING",
    "KV_DEMO_VERIFY_OUTGOING",
];

/// What a configuration file says about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFile {
    /// The section's name.
    pub name: String,
    /// The name that the cluster knows the node by: the original's nodes are named by their
    /// advertised address, ours by their section.
    pub wire_name: String,
    /// Where to listen for gossip, UDP and TCP.
    pub bind: SocketAddr,
    /// What to tell others to send to. `None` when the file does not say and `bind` is every
    /// address: the node must then find out or be told.
    pub advertise: Option<SocketAddr>,
    /// Where to answer HTTP; `None`: nowhere.
    pub http: Option<SocketAddr>,
    /// Whom to join, in the file's order, without the node itself.
    pub seeds: Vec<Seed>,
    /// The static overlay's links, in the file's order, without duplicates.
    pub neighbors: Vec<SocketAddr>,
    /// What the file's `[defaults]` say; all `None` for INI.
    pub overrides: Overrides,
    /// What they say about label, keys and compression; all `None` for INI.
    pub wire: WireWishes,
    /// The DNS server that they name; `None` for INI.
    pub dns_server: Option<SocketAddr>,
}

/// Knobs that a file may set for all of its nodes; `None` leaves the preset's value.
///
/// The node checks that the values fit together; here only their types are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// How rumours spread.
    pub mode: Option<Mode>,
    /// Which set of numbers the other knobs start from.
    pub preset: Option<Preset>,
    /// Time between gossip ticks, in milliseconds.
    pub gossip_interval_ms: Option<u32>,
    /// Members that a gossip tick sends to.
    pub fanout: Option<u32>,
    /// Factor of the retransmit limit: copies of a rumour per node = this · ⌈log10(N + 1)⌉.
    pub retransmit_mult: Option<u32>,
    /// Whether rumours also ride on probes and their answers.
    pub piggyback: Option<bool>,
    /// Largest datagram to send, in bytes.
    pub packet_size_max: Option<u32>,
    /// Time between probes, in milliseconds.
    pub probe_interval_ms: Option<u32>,
    /// Time between push/pull exchanges, in milliseconds; 0 turns them off.
    pub push_pull_interval_ms: Option<u32>,
    /// When periodic actions begin; files do not say.
    pub phase: Option<Phase>,
    /// All modes but matching: whether a copy of what is known is dropped rather than queued again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<bool>,
    /// Mode matching: whether rumours are forwarded the moment they arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immediate: Option<bool>,
    /// Mode matching: whether links that bring duplicates carry ids only from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<bool>,
    /// Mode matching: whether nodes tell each other what they have, and ask for what they lack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<bool>,
    /// Mode matching: whether links computed from the members keep the cluster connected when others
    /// die.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<bool>,
}

impl Overrides {
    /// What replaces a preset's numbers, as far as the command line of a node can say it.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let number = |value: u32| value.to_string();
        let switch = |is_on| if is_on { "on" } else { "off" }.to_owned();
        let flags = [
            ("--interval", self.gossip_interval_ms.map(|ms| format!("{ms}ms"))),
            ("--fanout", self.fanout.map(number)),
            ("--retransmit", self.retransmit_mult.map(number)),
            ("--piggyback", self.piggyback.map(switch)),
            ("--phase", self.phase.map(|phase| phase.name().to_owned())),
            ("--dedup", self.dedup.map(switch)),
            ("--immediate", self.immediate.map(switch)),
            ("--prune", self.prune.map(switch)),
            ("--repair", self.repair.map(switch)),
            ("--floor", self.floor.map(switch)),
        ];
        let given = flags.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
        given.flatten().collect()
    }
}

/// The language of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The original's topology files.
    Ini,
    /// Our own.
    Toml,
}

impl Format {
    /// By the extension of `path` (`.ini`, `.toml`, in any case), else by what `text` looks like:
    /// our TOML has a table `[nodes.…]` or `[defaults]`, the original's INI never.
    #[must_use]
    pub fn of(path: &Path, text: &str) -> Self {
        let has_extension =
            |name: &str| path.extension().is_some_and(|it: &OsStr| it.eq_ignore_ascii_case(name));
        if has_extension("toml") {
            return Self::Toml;
        }
        let is_ours = |line: &str| {
            let line = line.trim_start();
            ["[nodes", "[defaults]"].iter().any(|start| line.starts_with(start))
        };
        if !has_extension("ini") && text.lines().any(is_ours) { Self::Toml } else { Self::Ini }
    }
}

/// Reads what the file at `path` says about the node `name`.
///
/// # Errors
///
/// [`ConfigError`], one line that names the file, the line where it is known, and the fix.
pub fn load(path: &Path, name: &str) -> Result<NodeFile, ConfigError> {
    let read = || {
        let text = std::fs::read_to_string(path).map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => Problem::Missing.nowhere(),
            _ => Problem::Unreadable { reason }.nowhere(),
        })?;
        parse(&text, Format::of(path, &text), name)
    };
    let mut node = read().map_err(|error| error.in_file(path))?;
    // What a file names lies beside it, wherever the node is started.
    if let (Some(keys), Some(folder)) = (&mut node.wire.encrypt_key_file, path.parent()) {
        *keys = folder.join(&*keys);
    }
    Ok(node)
}

/// Reads what `text` says about the node `name`.
///
/// # Errors
///
/// [`ConfigError`], without the name of a file.
pub fn parse(text: &str, format: Format, name: &str) -> Result<NodeFile, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut node = match format {
        Format::Ini => from_ini::parse(text, name),
        Format::Toml => from_toml::parse(text, name),
    }?;
    let own = [Some(node.bind), node.advertise];
    node.seeds.retain(|seed| !own.contains(&seed.socket_addr()));
    node.neighbors = without_repeats(&node.neighbors);
    Ok(node)
}

/// `bind`, unless it stands for every address of the host.
fn advertise_of(bind: SocketAddr) -> Option<SocketAddr> {
    (!bind.ip().is_unspecified()).then_some(bind)
}

fn without_repeats(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut kept: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !kept.contains(address) {
            kept.push(*address);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_decides_the_format_before_the_text_does() {
        let format = |path: &str, text| Format::of(Path::new(path), text);
        assert_eq!(format("ring.ini", "[nodes.Node1]"), Format::Ini);
        assert_eq!(format("ring.TOML", "[Node1]"), Format::Toml);
        assert_eq!(format("ring.conf", "# ours\n[nodes.Node1]\n"), Format::Toml);
        assert_eq!(format("ring.conf", "  [defaults]\n"), Format::Toml);
        assert_eq!(format("ring", "; bus\n[Node1]\nbindAddr=::1\n"), Format::Ini);
    }

    #[test]
    fn a_missing_file_says_where_to_get_one() {
        let error = load(Path::new("/nonexistent/ring.toml"), "Node1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nonexistent/ring.toml: no such file: name an existing one, \
             or write one with `kv-demo topology`"
        );
    }

    #[test]
    fn an_unreadable_file_says_why() {
        let directory = std::env::temp_dir();
        let message = load(&directory, "Node1").unwrap_err().to_string();
        assert!(message.contains(": cannot be read ("), "{message}");
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn errors_of_a_loaded_file_name_file_and_line() {
        let path =
            std::env::temp_dir().join(format!("rumormill-config-{}.ini", std::process::id()));
        std::fs::write(&path, "[Node1]\nbindAddr=::1\nbindPort=0\n").unwrap();
        let message = load(&path, "Node1").unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            message,
            format!("{}:3: `bindPort` is `0`: write a port from 1 to 65535", path.display())
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_mistake() {
        let ini = "\u{feff}[Node1]\nbindAddr=::1\nbindPort=1\n";
        assert!(parse(ini, Format::Ini, "Node1").is_ok());
        let toml = "\u{feff}[nodes.Node1]\nbind = \"[::1]:1\"\n";
        assert!(parse(toml, Format::Toml, "Node1").is_ok());
    }
}
