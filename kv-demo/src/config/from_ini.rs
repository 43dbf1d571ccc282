//! The original's topology files.
//!
//! The parser accepts more than a topology file may say (a key or a quoted value that runs over
//! several lines) and keeps no line numbers, so its result is checked and the lines are looked up.

use core::net::{IpAddr, SocketAddr};

use ini::{Ini, ParseOption, Properties};

use super::{ConfigError, NodeFile, Overrides, Problem, Seed, SeedAddr, advertise_of};
use crate::topology::door_ip;
use crate::wire::WireWishes;

const BIND_ADDR: &str = "bindAddr";
const ADVERTISE_ADDR: &str = "advertiseAddr";
const BIND_PORT: &str = "bindPort";
const MEMBERLIST_ADDR: &str = "memberlistAddr";
const MEMBERLIST_PORT: &str = "memberlistPort";
const NEIGHBORS: &str = "neighbors";
const HTTP_PORT: &str = "port";

/// Every key of a section, in the order of the original's files.
const KEYS: [&str; 7] =
    [BIND_ADDR, ADVERTISE_ADDR, BIND_PORT, MEMBERLIST_ADDR, MEMBERLIST_PORT, NEIGHBORS, HTTP_PORT];

pub(super) fn parse(text: &str, name: &str) -> Result<NodeFile, ConfigError> {
    let options = ParseOption { enabled_escape: false, ..ParseOption::default() };
    let ini = Ini::load_from_str_opt(text, options).map_err(|error| {
        // What the parser misses at the end began somewhere above: that line would mislead.
        let line = (!error.msg.contains("EOF")).then_some(error.line);
        let found = error.msg.trim_end_matches('.');
        let reason = format!("{found}: close every quote and bracket, one key=value a line");
        Problem::MalformedIni { reason }.on_line(line)
    })?;
    check_lines(&ini, text)?;

    let mut sections = ini.section_all(Some(name));
    let Some(properties) = sections.next() else {
        return Err(Problem::no_such_node(name, ini.sections().flatten()));
    };
    if sections.next().is_some() {
        let line = line_of_header(text, name);
        return Err(Problem::NodeTwice { name: name.to_owned() }.on_line(line));
    }
    Section { text, name, properties }.read()
}

/// Refuses what spans lines, and what stands before the first section.
fn check_lines(ini: &Ini, text: &str) -> Result<(), ConfigError> {
    let malformed = |start: &str, problem: &str| {
        let first_line = start.lines().next().unwrap_or_default();
        let reason = format!("`{first_line}` {problem}");
        let line = text.lines().position(|line| line.contains(first_line));
        Problem::MalformedIni { reason }.on_line(line.map(|index| index + 1))
    };
    for (section, properties) in ini {
        if let Some(name) = section.filter(|name| name.contains('\n')) {
            return Err(malformed(&format!("[{name}"), "lacks its closing bracket"));
        }
        for (key, value) in properties {
            if key.contains('\n') {
                return Err(malformed(key, "is no key=value: add the `=`, or a `;` before it"));
            }
            if value.contains('\n') {
                return Err(malformed(key, "has a quote that ends on another line: close it"));
            }
            if section.is_none() {
                return Err(malformed(key, "stands before the first section: put a [name] above"));
            }
        }
    }
    Ok(())
}

/// One node's section.
struct Section<'a> {
    text: &'a str,
    name: &'a str,
    properties: &'a Properties,
}

impl Section<'_> {
    fn read(&self) -> Result<NodeFile, ConfigError> {
        self.check_keys()?;
        let bind_ip = self.required(BIND_ADDR, self.ip(BIND_ADDR)?, "=IP")?;
        let bind_port = self.required(BIND_PORT, self.port(BIND_PORT)?, "=PORT")?;
        let bind = SocketAddr::new(bind_ip, bind_port);
        let advertise = match self.ip(ADVERTISE_ADDR)? {
            Some(ip) => Some(SocketAddr::new(ip, bind_port)),
            None => advertise_of(bind),
        };
        let http = self.port(HTTP_PORT)?.map(|port| SocketAddr::new(door_ip(bind_ip), port));
        Ok(NodeFile {
            name: self.name.to_owned(),
            wire_name: advertise.unwrap_or(bind).to_string(),
            bind,
            advertise,
            http,
            seeds: self.seed()?.into_iter().collect(),
            neighbors: self.neighbors()?,
            overrides: Overrides::default(),
            wire: WireWishes::default(),
            dns_server: None,
        })
    }

    fn check_keys(&self) -> Result<(), ConfigError> {
        for (position, (key, _)) in self.properties.iter().enumerate() {
            if !KEYS.contains(&key) {
                let problem = Problem::UnknownKey { key: key.to_owned(), known: KEYS.join(", ") };
                return Err(self.at(key, problem));
            }
            if self.properties.iter().take(position).any(|(earlier, _)| earlier == key) {
                let reason = format!("`{key}` stands twice in [{}]: keep one of them", self.name);
                return Err(self.at(key, Problem::MalformedIni { reason }));
            }
        }
        Ok(())
    }

    /// The value of a key, `None` when it is absent or empty.
    fn value(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(str::trim).filter(|value| !value.is_empty())
    }

    fn required<T>(
        &self,
        key: &'static str,
        value: Option<T>,
        example: &'static str,
    ) -> Result<T, ConfigError> {
        let missing = || Problem::MissingKey { name: self.name.to_owned(), key, example };
        value.ok_or_else(|| missing().on_line(line_of_header(self.text, self.name)))
    }

    fn ip(&self, key: &'static str) -> Result<Option<IpAddr>, ConfigError> {
        let parse = |given: &str| {
            let problem = |_| self.at(key, Problem::BadIp { key, given: given.to_owned() });
            given.parse().map_err(problem)
        };
        self.value(key).map(parse).transpose()
    }

    fn port(&self, key: &'static str) -> Result<Option<u16>, ConfigError> {
        let parse = |given: &str| match given.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(self.at(key, Problem::BadPort { key, given: given.to_owned() })),
        };
        self.value(key).map(parse).transpose()
    }

    fn seed(&self) -> Result<Option<Seed>, ConfigError> {
        let Some(host) = self.value(MEMBERLIST_ADDR) else { return Ok(None) };
        let port = self.required(MEMBERLIST_PORT, self.port(MEMBERLIST_PORT)?, "=PORT")?;
        match SeedAddr::from_parts(host, port) {
            Some(seed) => Ok(Some(seed.into())),
            None => {
                let given = format!("{host}:{port}");
                Err(self.at(MEMBERLIST_ADDR, Problem::BadSeed { key: MEMBERLIST_ADDR, given }))
            }
        }
    }

    fn neighbors(&self) -> Result<Vec<SocketAddr>, ConfigError> {
        let parse = |given: &str| {
            let problem = |_| {
                let given = given.to_owned();
                self.at(NEIGHBORS, Problem::BadAddress { key: NEIGHBORS, given })
            };
            given.parse().map_err(problem)
        };
        let list = self.value(NEIGHBORS).unwrap_or_default();
        list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parse).collect()
    }

    fn at(&self, key: &str, problem: Problem) -> ConfigError {
        problem.on_line(line_of_key(self.text, self.name, key))
    }
}

/// The last line that opens the section: of two equal headers, the one to delete.
fn line_of_header(text: &str, name: &str) -> Option<usize> {
    let lines = text.lines().enumerate();
    lines.filter(|(_, line)| header(line) == Some(name)).last().map(|(index, _)| index + 1)
}

/// The last line within the section that sets the key.
fn line_of_key(text: &str, name: &str, key: &str) -> Option<usize> {
    let mut section = None;
    let mut found = None;
    for (index, line) in text.lines().enumerate() {
        section = header(line).or(section);
        let sets_key = line.split(['=', ':']).next().is_some_and(|start| start.trim() == key);
        if section == Some(name) && sets_key {
            found = Some(index + 1);
        }
    }
    found
}

fn header(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.strip_suffix(']').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::super::{Format, parse as parse_config};
    use super::*;

    /// The shapes found in the original's repository: with and without advertiseAddr, with spaces
    /// around `=`, without a seed, without neighbours, with trailing blanks and comments.
    const ORIGINAL: &str = "\
;ring topology
[Node1]
bindAddr=0.0.0.0
advertiseAddr=10.0.0.1
bindPort=30000
memberlistAddr=10.0.0.1
memberlistPort=30000
neighbors=\"10.0.0.2:30000,10.0.0.3:30000\"
port=30500

; [commented]
; bindAddr=10.0.0.9

[Node2]
bindAddr = 10.0.0.2
bindPort = 30000
memberlistAddr = 10.0.0.1
memberlistPort = 30000
neighbors = \"10.0.0.3:30000, 10.0.0.1:30000,10.0.0.3:30000\"
port=30050 \t

[firstNode]
bindAddr=127.0.0.1
bindPort=35001
memberlistAddr=
memberlistPort=35001
port=10001";

    #[test]
    fn newer_files_advertise_another_address_than_they_bind() {
        let node = parse(ORIGINAL, "Node1").unwrap();
        assert_eq!(node.bind, address("0.0.0.0:30000"));
        assert_eq!(node.advertise, Some(address("10.0.0.1:30000")));
        assert_eq!(node.http, Some(address("127.0.0.1:30500")));
        assert_eq!(node.neighbors, [address("10.0.0.2:30000"), address("10.0.0.3:30000")]);
    }

    #[test]
    fn older_files_advertise_what_they_bind() {
        let node = parse(ORIGINAL, "Node2").unwrap();
        assert_eq!(node.bind, address("10.0.0.2:30000"));
        assert_eq!(node.advertise, Some(node.bind));
        assert_eq!(node.http, Some(address("127.0.0.1:30050")));
        assert_eq!(node.seeds, ["10.0.0.1:30000".parse().unwrap()]);
    }

    #[test]
    fn a_node_that_is_its_own_seed_has_none() {
        assert_eq!(parse(ORIGINAL, "Node1").unwrap().seeds, []);
    }

    #[test]
    fn an_empty_seed_is_none_and_neighbours_may_be_absent() {
        let node = parse(ORIGINAL, "firstNode").unwrap();
        assert_eq!(node.seeds, []);
        assert_eq!(node.neighbors, []);
    }

    #[test]
    fn of_equal_neighbours_the_first_is_kept() {
        let node = parse(ORIGINAL, "Node2").unwrap();
        assert_eq!(node.neighbors, [address("10.0.0.3:30000"), address("10.0.0.1:30000")]);
    }

    #[test]
    fn binding_every_address_leaves_the_advertised_one_open() {
        let node = parse("[N]\nbindAddr=0.0.0.0\nbindPort=1\n", "N").unwrap();
        assert_eq!(node.advertise, None);
    }

    #[test]
    fn ipv6_addresses_work_with_brackets_among_neighbours() {
        let text = "[N]\nbindAddr=::\nadvertiseAddr=2001:db8::1\nbindPort=7\nport=8\n\
                    memberlistAddr=2001:db8::2\nmemberlistPort=7\n\
                    neighbors=\"[2001:db8::2]:7,[2001:db8::3]:7\"\n";
        let node = parse(text, "N").unwrap();
        assert_eq!(node.advertise, Some(address("[2001:db8::1]:7")));
        assert_eq!(node.http, Some(address("[::1]:8")));
        assert_eq!(node.seeds, ["[2001:db8::2]:7".parse().unwrap()]);
        assert_eq!(node.neighbors, [address("[2001:db8::2]:7"), address("[2001:db8::3]:7")]);
    }

    #[test]
    fn a_seed_may_be_a_name() {
        let text = "[N]\nbindAddr=::1\nbindPort=7\nmemberlistAddr=db1\nmemberlistPort=8\n";
        assert_eq!(parse(text, "N").unwrap().seeds, ["db1:8".parse().unwrap()]);
    }

    #[test]
    fn windows_line_ends_are_no_mistake() {
        let node = parse(&ORIGINAL.replace('\n', "\r\n"), "Node2").unwrap();
        assert_eq!(node, parse(ORIGINAL, "Node2").unwrap());
    }

    #[test]
    fn a_mistake_in_another_section_does_not_matter() {
        let text = format!("{ORIGINAL}\n[bad]\nbindAddr=None\nsize=3\n");
        assert!(parse(&text, "Node2").is_ok());
    }

    #[test]
    fn every_mistake_is_one_line_with_its_place_and_fix() {
        let cases = [
            ("[N]\nbindPort=1", "line 1: [N] lacks `bindAddr`: add bindAddr=IP"),
            ("[N]\nbindAddr=::1\nbindPort=", "line 1: [N] lacks `bindPort`: add bindPort=PORT"),
            (
                "[N]\nbindAddr=::1\nbindPort=1\nmemberlistAddr=db1",
                "line 1: [N] lacks `memberlistPort`: add memberlistPort=PORT",
            ),
            (
                "[N]\nbindAddr=::1\nbindPort=65536",
                "line 3: `bindPort` is `65536`: write a port from 1 to 65535",
            ),
            (
                "[N]\nbindAddr=::1\nbindPort=1\nport=http",
                "line 4: `port` is `http`: write a port from 1 to 65535",
            ),
            (
                "[M]\nbindAddr=::1\n[N]\nbindAddr=None\nbindPort=1",
                "line 4: `bindAddr` is `None`: \
                 write an IP address without a port, such as 10.0.0.1 or ::1",
            ),
            (
                "[N]\nbindAddr=::1\nbindPort=1\nneighbors=\"10.0.0.1\"",
                "line 4: `neighbors` has `10.0.0.1`: \
                 write ip:port, such as 10.0.0.1:30000 or [::1]:30000",
            ),
            (
                "[N]\nbindAddr=::1\nbindPort=1\nmemberlistAddr=a b\nmemberlistPort=1",
                "line 4: `memberlistAddr` has `a b:1`: \
                 write host:port, such as db1:30000 or [::1]:30000",
            ),
            (
                "[N]\nbindAddr=::1\nbindPort=1\nneighbours=\"\"",
                "line 4: `neighbours` is not a key: use bindAddr, advertiseAddr, bindPort, \
                 memberlistAddr, memberlistPort, neighbors, port",
            ),
            (
                "[N]\nbindAddr=::1\nbindPort=1\nbindPort=2",
                "line 4: not an INI file: `bindPort` stands twice in [N]: keep one of them",
            ),
            (
                "[N]\nbindAddr=::1\n\n[N]\nbindPort=1",
                "line 4: the section [N] stands here twice: keep one of them",
            ),
            ("[M]\nbindAddr=::1", "no node `N` here: choose M"),
        ];
        for (text, message) in cases {
            assert_eq!(parse_config(text, Format::Ini, "N").unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn text_that_is_no_ini_is_refused_in_one_line() {
        let cases = [
            (
                "[N]\nbindAddr ::1\nbindPort 1\nport=3",
                "line 3: not an INI file: `bindPort 1` is no key=value: \
                 add the `=`, or a `;` before it",
            ),
            (
                "bindAddr=::1\n[N]",
                "line 1: not an INI file: `bindAddr` stands before the first section: \
                 put a [name] above",
            ),
            (
                "[N\nbindAddr=::1\nneighbors=[]",
                "line 1: not an INI file: `[N` lacks its closing bracket",
            ),
            (
                "[N]\nneighbors=\"10.0.0.1:1\n[M]\nneighbors=\"10.0.0.1:1\"",
                "line 2: not an INI file: `neighbors` has a quote that ends on another line: \
                 close it",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse_config(text, Format::Ini, "N").unwrap_err().to_string(), message);
        }
        let open = parse_config("[N]\nneighbors=\"10.0.0.1:1\n", Format::Ini, "N").unwrap_err();
        assert!(open.to_string().starts_with("not an INI file: "), "{open}");
        assert!(open.to_string().contains("close every quote"), "{open}");
        assert_eq!(open.to_string().lines().count(), 1);
        let keyless = parse_config("[N]\n\n=1\n", Format::Ini, "N").unwrap_err();
        assert!(keyless.to_string().starts_with("line 3: not an INI file: missing key"));
    }

    fn parse(text: &str, name: &str) -> Result<NodeFile, ConfigError> {
        parse_config(text, Format::Ini, name)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }
}
