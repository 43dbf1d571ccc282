//! Our own configuration files.

use core::net::SocketAddr;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::wire::WireWishes;

use super::{ConfigError, NodeFile, Overrides, Place, Problem, Seed, advertise_of};

/// The file as it is written; values whose mistakes we explain ourselves are still text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    nodes: BTreeMap<Spanned<String>, Node>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    bind: Option<Spanned<String>>,
    advertise: Option<Spanned<String>>,
    http: Option<Spanned<String>>,
    #[serde(default)]
    join: Vec<Spanned<String>>,
    #[serde(default)]
    neighbors: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    mode: Option<Spanned<String>>,
    #[serde(alias = "profile")]
    preset: Option<Spanned<String>>,
    dns_server: Option<Spanned<String>>,
    label: Option<String>,
    encrypt_key_file: Option<PathBuf>,
    verify_incoming: Option<bool>,
    verify_outgoing: Option<bool>,
    compression: Option<bool>,
    gossip_interval_ms: Option<u32>,
    fanout: Option<u32>,
    retransmit_mult: Option<u32>,
    piggyback: Option<bool>,
    packet_size_max: Option<u32>,
    probe_interval_ms: Option<u32>,
    push_pull_interval_ms: Option<u32>,
    dedup: Option<bool>,
    immediate: Option<bool>,
    prune: Option<bool>,
    repair: Option<bool>,
    floor: Option<bool>,
}

pub(super) fn parse(text: &str, name: &str) -> Result<NodeFile, ConfigError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| Place::line_at(text, span.start));
        Problem::MalformedToml { reason: error.message().replace('\n', " ") }.on_line(line)
    })?;
    let dns_server = file.defaults.dns_server.as_ref();
    let dns_server = dns_server.map(|addr| address(text, "dns_server", addr)).transpose()?;
    let wire = file.defaults.wire();
    let overrides = file.defaults.read(text)?;
    let Some((key, node)) = file.nodes.iter().find(|(key, _)| key.get_ref() == name) else {
        let mut names: Vec<&Spanned<String>> = file.nodes.keys().collect();
        names.sort_unstable_by_key(|name| name.span().start);
        return Err(Problem::no_such_node(name, names.iter().map(|name| name.get_ref().as_str())));
    };
    let node = node.read(text, key, overrides)?;
    Ok(NodeFile { wire, dns_server, ..node })
}

impl Node {
    fn read(
        &self,
        text: &str,
        name: &Spanned<String>,
        overrides: Overrides,
    ) -> Result<NodeFile, ConfigError> {
        let optional = |key, value: &Option<Spanned<String>>| {
            value.as_ref().map(|value| address(text, key, value)).transpose()
        };
        let Some(bind) = optional("bind", &self.bind)? else {
            let (name_text, example) = (name.get_ref().clone(), " = \"IP:PORT\"");
            let problem = Problem::MissingKey { name: name_text, key: "bind", example };
            return Err(problem.at(text, name.span()));
        };
        let seed = |value| read(text, value, |given| Problem::BadJoin { given });
        let neighbor = |value| address(text, "neighbors", value);
        Ok(NodeFile {
            name: name.get_ref().clone(),
            wire_name: name.get_ref().clone(),
            bind,
            advertise: optional("advertise", &self.advertise)?.or_else(|| advertise_of(bind)),
            http: optional("http", &self.http)?,
            seeds: self.join.iter().map(seed).collect::<Result<Vec<Seed>, _>>()?,
            neighbors: self.neighbors.iter().map(neighbor).collect::<Result<_, _>>()?,
            overrides,
            wire: WireWishes::default(),
            dns_server: None,
        })
    }
}

impl Defaults {
    fn wire(&self) -> WireWishes {
        WireWishes {
            label: self.label.clone(),
            encrypt_key_file: self.encrypt_key_file.clone(),
            verify_incoming: self.verify_incoming,
            verify_outgoing: self.verify_outgoing,
            compression: self.compression,
        }
    }

    fn read(self, text: &str) -> Result<Overrides, ConfigError> {
        Ok(Overrides {
            mode: choice(text, self.mode.as_ref())?,
            preset: choice(text, self.preset.as_ref())?,
            gossip_interval_ms: self.gossip_interval_ms,
            fanout: self.fanout,
            retransmit_mult: self.retransmit_mult,
            piggyback: self.piggyback,
            packet_size_max: self.packet_size_max,
            probe_interval_ms: self.probe_interval_ms,
            push_pull_interval_ms: self.push_pull_interval_ms,
            phase: None,
            dedup: self.dedup,
            immediate: self.immediate,
            prune: self.prune,
            repair: self.repair,
            floor: self.floor,
        })
    }
}

fn choice<T>(text: &str, value: Option<&Spanned<String>>) -> Result<Option<T>, ConfigError>
where
    T: FromStr,
    Problem: From<T::Err>,
{
    let parse = |value: &Spanned<String>| {
        let problem = |error| Problem::from(error).at(text, value.span());
        value.get_ref().parse().map_err(problem)
    };
    value.map(parse).transpose()
}

fn address(
    text: &str,
    key: &'static str,
    value: &Spanned<String>,
) -> Result<SocketAddr, ConfigError> {
    read(text, value, |given| Problem::BadAddress { key, given })
}

fn read<T: FromStr>(
    text: &str,
    value: &Spanned<String>,
    problem: impl Fn(String) -> Problem,
) -> Result<T, ConfigError> {
    let given = value.get_ref();
    given.parse().map_err(|_| problem(given.clone()).at(text, value.span()))
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Mode, Preset, parse as parse_config};
    use super::*;

    const COMPLETE: &str = r#"
[defaults]
mode = "thesis-matching"
preset = "wan"
gossip_interval_ms = 500
fanout = 3
retransmit_mult = 10
piggyback = false
packet_size_max = 3500
probe_interval_ms = 10_000
push_pull_interval_ms = 0
dedup = false
immediate = true
prune = false
repair = true
floor = false

[nodes.Node2]
bind = "0.0.0.0:30001"
advertise = "10.0.0.1:30001"
http = "127.0.0.1:30501"
join = ["10.0.0.1:30000", "seed.example.org:30000", "10.0.0.1:30001"]
neighbors = ["10.0.0.1:30000", "[::1]:30000", "10.0.0.1:30000"]

[nodes.Node10]
bind = "127.0.0.1:0"

[nodes.Node1]
bind = "0.0.0.0:1"
"#;

    #[test]
    fn a_complete_file_is_read_completely() {
        let node = parse(COMPLETE, "Node2").unwrap();
        assert_eq!(node.bind, address("0.0.0.0:30001"));
        assert_eq!(node.advertise, Some(address("10.0.0.1:30001")));
        assert_eq!(node.http, Some(address("127.0.0.1:30501")));
        assert_eq!(node.neighbors, [address("10.0.0.1:30000"), address("[::1]:30000")]);
        assert_eq!(
            node.overrides,
            Overrides {
                mode: Some(Mode::ThesisMatching),
                preset: Some(Preset::Wan),
                gossip_interval_ms: Some(500),
                fanout: Some(3),
                retransmit_mult: Some(10),
                piggyback: Some(false),
                packet_size_max: Some(3_500),
                probe_interval_ms: Some(10_000),
                push_pull_interval_ms: Some(0),
                phase: None,
                dedup: Some(false),
                immediate: Some(true),
                prune: Some(false),
                repair: Some(true),
                floor: Some(false),
            }
        );
    }

    #[test]
    fn the_node_itself_is_no_seed() {
        let seeds: Vec<String> =
            parse(COMPLETE, "Node2").unwrap().seeds.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["10.0.0.1:30000", "seed.example.org:30000"]);
    }

    #[test]
    fn what_is_around_messages_is_said_once_for_all_nodes() {
        let text = "[defaults]\nprofile = \"serf\"\nlabel = \"blue\"\nencrypt_key_file = \"keys\"\n\
                    verify_incoming = false\nverify_outgoing = true\ncompression = true\n\
                    dns_server = \"[::1]:53\"\n[nodes.N]\nbind = \"[::1]:9\"\n";
        let node = parse(text, "N").unwrap();
        let wire = WireWishes {
            label: Some("blue".to_owned()),
            encrypt_key_file: Some(PathBuf::from("keys")),
            verify_incoming: Some(false),
            verify_outgoing: Some(true),
            compression: Some(true),
        };
        assert_eq!((node.wire, node.overrides.preset), (wire, Some(Preset::Serf)));
        assert_eq!(node.dns_server, Some(address("[::1]:53")));
    }

    #[test]
    fn only_bind_is_required() {
        let node = parse(COMPLETE, "Node10").unwrap();
        assert_eq!(node.advertise, Some(address("127.0.0.1:0")));
        assert_eq!(node.http, None);
        assert_eq!(parse(COMPLETE, "Node1").unwrap().advertise, None);
        let bare = parse("[nodes.N]\nbind = \"[::1]:9\"\n", "N").unwrap();
        assert_eq!(bare.overrides, Overrides::default());
    }

    #[test]
    fn names_are_listed_in_the_order_of_the_file() {
        assert_eq!(
            parse(COMPLETE, "Node3").unwrap_err().to_string(),
            "no node `Node3` here: choose Node2, Node10, Node1"
        );
    }

    #[test]
    fn every_mistake_is_one_line_with_its_place_and_fix() {
        let cases = [
            ("[nodes.N]\nhttp = \"[::1]:1\"", "line 1: [N] lacks `bind`: add bind = \"IP:PORT\""),
            (
                "[nodes.N]\nbind = \"127.0.0.1\"",
                "line 2: `bind` has `127.0.0.1`: \
                 write ip:port, such as 10.0.0.1:30000 or [::1]:30000",
            ),
            (
                "[nodes.N]\nbind = \"[::1]:1\"\nhttp = \"[::1]:99999\"",
                "line 3: `http` has `[::1]:99999`: \
                 write ip:port, such as 10.0.0.1:30000 or [::1]:30000",
            ),
            (
                "[nodes.N]\nbind = \"[::1]:1\"\njoin = [\n  \"db1:1\",\n  \"db2:\",\n]",
                "line 5: `join` has `db2:`: \
                 write host, host:port, [IPv6]:port or _service._udp.domain",
            ),
            (
                "[nodes.N]\nbind = \"[::1]:1\"\nneighbors = [\"db1:1\"]",
                "line 3: `neighbors` has `db1:1`: \
                 write ip:port, such as 10.0.0.1:30000 or [::1]:30000",
            ),
            (
                "[defaults]\nmode = \"epidemic\"\n[nodes.N]\nbind = \"[::1]:1\"",
                "line 2: `epidemic` is not a mode: \
                 use thesis-classic, thesis-matching, classic or matching",
            ),
            (
                "[defaults]\npreset = \"moon\"\n[nodes.N]\nbind = \"[::1]:1\"",
                "line 2: `moon` is not a profile: use lan, wan, local, serf, thesis or seed",
            ),
            ("", "no node `N` here: choose another file, this one has no nodes"),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text, "N").unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn what_the_parser_refuses_keeps_its_line_and_its_words() {
        let cases = [
            ("[nodes.N]\nbind = ", "line 2: not a usable TOML file: "),
            (
                "[nodes.N]\nbnd = \"[::1]:1\"",
                "line 2: not a usable TOML file: unknown field `bnd`, expected one of `bind`, \
                 `advertise`, `http`, `join`, `neighbors`",
            ),
            (
                "[defaults]\nfan_out = 3",
                "line 2: not a usable TOML file: unknown field `fan_out`, expected one of `mode`",
            ),
            ("[node.N]", "line 1: not a usable TOML file: unknown field `node`, expected"),
            ("[defaults]\nfanout = -1", "line 2: not a usable TOML file: invalid value"),
            ("[defaults]\nfanout = \"3\"", "line 2: not a usable TOML file: invalid type"),
            ("[nodes.N]\n[nodes.N]", "line 2: not a usable TOML file: duplicate key"),
        ];
        for (text, start) in cases {
            let message = parse(text, "N").unwrap_err().to_string();
            assert!(message.starts_with(start), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }

    fn parse(text: &str, name: &str) -> Result<NodeFile, ConfigError> {
        parse_config(text, Format::Toml, name)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }
}
