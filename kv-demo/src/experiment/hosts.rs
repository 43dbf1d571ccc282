//! The hosts of an experiment by name and address, and the command that reaches them. What happens
//! on them is `crew.rs`.

use std::ffi::OsString;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How an agent is started unless told otherwise: OpenSSH authenticates both sides.
pub const LAUNCHER_DEFAULT: &str = "ssh {host} kv-demo agent";

/// What stands for the host's name in a launcher.
const PLACEHOLDER: &str = "{host}";

/// Longest name of a host, in bytes: that of the DNS, and a user's name before it.
const NAME_LEN_MAX: usize = 320;

/// A host as it is named on the command line: `NAME` or `NAME=ADDR`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// What the launcher calls it.
    pub name: String,
    /// The address that its nodes bind and advertise; `None`: the one that the name has.
    pub addr: Option<IpAddr>,
}

/// Where agents are, and how they are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsPlan {
    /// The hosts; the first one has the first nodes.
    pub hosts: Vec<HostSpec>,
    /// The command, with `{host}` in it.
    pub launcher: String,
}

/// Hosts or a launcher that nobody can work with; one line that names the fix.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum HostsError {
    /// A host is written wrongly.
    #[error("`{given}` is no host: write NAME or NAME=ADDR, such as b=192.0.2.2")]
    BadHost {
        /// What was given.
        given: String,
    },
    /// A host is named twice.
    #[error("host {name}: is named twice: name each host once")]
    Twice {
        /// The host.
        name: String,
    },
    /// There are not enough nodes to go round.
    #[error("{hosts} hosts for {nodes} nodes: name at most {nodes} hosts or raise the dimension")]
    MoreHostsThanNodes {
        /// How many hosts were given.
        hosts: usize,
        /// How many nodes the smallest topology has.
        nodes: usize,
    },
    /// A name has no address.
    #[error(
        "host {name}: its address is not known ({reason}): write {name}=ADDR with the one that the other hosts reach it by"
    )]
    Unknown {
        /// The host.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// An address that only the host itself can use.
    #[error(
        "host {name}: {addr} is no address that the other hosts reach it by: write {name}=ADDR with one that is"
    )]
    Unusable {
        /// The host.
        name: String,
        /// The address.
        addr: IpAddr,
    },
    /// A socket speaks one family, so half of the cluster could not reach the other.
    #[error("hosts mix IPv4 ({v4}) and IPv6 ({v6}): write NAME=ADDR with addresses of one family")]
    MixedFamilies {
        /// One host's address of the first family.
        v4: IpAddr,
        /// One host's address of the second family.
        v6: IpAddr,
    },
    /// The launcher is no command.
    #[error("--launcher `{launcher}` is no command: name a program, and close every quote")]
    NoCommand {
        /// What was given.
        launcher: String,
    },
    /// The launcher would start all agents on one host.
    #[error(
        "--launcher `{launcher}` would reach the same host every time: put {PLACEHOLDER} where the host's name belongs"
    )]
    NoPlace {
        /// What was given.
        launcher: String,
    },
}

impl FromStr for HostSpec {
    type Err = HostsError;

    fn from_str(text: &str) -> Result<Self, HostsError> {
        let bad = || HostsError::BadHost { given: text.to_owned() };
        let (name, addr) = match text.split_once('=') {
            Some((name, addr)) => (name, Some(addr.parse().map_err(|_| bad())?)),
            None => (text, None),
        };
        // What begins with a hyphen would be an option to the launcher.
        let is_name = !name.is_empty()
            && name.len() <= NAME_LEN_MAX
            && !name.starts_with('-')
            && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        if is_name { Ok(Self { name: name.to_owned(), addr }) } else { Err(bad()) }
    }
}

/// A host whose address is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) addr: IpAddr,
    /// The command that starts its agent; never empty.
    pub(super) command: Vec<OsString>,
}

impl HostsPlan {
    /// Checks what can be checked before anything starts; `nodes` are those of the smallest
    /// topology.
    ///
    /// # Errors
    ///
    /// [`HostsError`].
    pub fn check(&self, nodes: usize) -> Result<(), HostsError> {
        for (index, host) in self.hosts.iter().enumerate() {
            if self.hosts[..index].iter().any(|other| other.name == host.name) {
                return Err(HostsError::Twice { name: host.name.clone() });
            }
        }
        if self.hosts.len() > nodes {
            return Err(HostsError::MoreHostsThanNodes { hosts: self.hosts.len(), nodes });
        }
        self.command("a name").map(drop)
    }

    /// Finds the addresses.
    ///
    /// # Errors
    ///
    /// [`HostsError`].
    pub(super) fn resolve(&self) -> Result<Vec<Host>, HostsError> {
        let is_alone = self.hosts.len() == 1;
        let mut found: Vec<Host> = Vec::with_capacity(self.hosts.len());
        for spec in &self.hosts {
            let name = spec.name.clone();
            let addr = match spec.addr {
                Some(addr) => addr,
                None => look_up(&name)?,
            };
            // Whoever writes a loopback address down means it: one host plays several.
            let is_usable = spec.addr.is_some() || is_alone || !addr.is_loopback();
            if addr.is_unspecified() || !is_usable {
                return Err(HostsError::Unusable { name, addr });
            }
            if let Some(other) =
                found.first().filter(|other| other.addr.is_ipv4() != addr.is_ipv4())
            {
                let (v4, v6) = if addr.is_ipv4() { (addr, other.addr) } else { (other.addr, addr) };
                return Err(HostsError::MixedFamilies { v4, v6 });
            }
            let command = self.command(&name)?;
            found.push(Host { name, addr, command });
        }
        Ok(found)
    }

    /// The launcher's words for one host: split as a shell would, run without one.
    fn command(&self, name: &str) -> Result<Vec<OsString>, HostsError> {
        let launcher = || self.launcher.clone();
        let words = shlex::split(&self.launcher).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| HostsError::NoCommand { launcher: launcher() })?;
        if !words.iter().any(|word| word.contains(PLACEHOLDER)) {
            return Err(HostsError::NoPlace { launcher: launcher() });
        }
        Ok(words.iter().map(|word| word.replace(PLACEHOLDER, name).into()).collect())
    }
}

/// The address that a name has. SSH's `user@host` names the host.
fn look_up(name: &str) -> Result<IpAddr, HostsError> {
    let unknown = |reason: String| HostsError::Unknown { name: name.to_owned(), reason };
    let host = name.rsplit_once('@').map_or(name, |(_, host)| host);
    if let Ok(addr) = host.parse() {
        return Ok(addr);
    }
    let mut found = (host, 0).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    let first = found.next().ok_or_else(|| unknown("it has none".to_owned()))?;
    Ok(first.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(hosts: &[&str], launcher: &str) -> HostsPlan {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        HostsPlan { hosts, launcher: launcher.to_owned() }
    }

    #[test]
    fn a_host_has_a_name_and_perhaps_an_address() {
        let spec: HostSpec = "b=2001:db8::2".parse().unwrap();
        assert_eq!((spec.name.as_str(), spec.addr), ("b", "2001:db8::2".parse().ok()));
        let spec: HostSpec = "user@192.0.2.7".parse().unwrap();
        assert_eq!((spec.name.as_str(), spec.addr), ("user@192.0.2.7", None));
        for bad in ["", "=192.0.2.1", "b=", "b=here", "-oProxyCommand=x", "-v", "a b", "a\n"] {
            let error = bad.parse::<HostSpec>().unwrap_err().to_string();
            assert!(error.contains("NAME=ADDR"), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_an_address_needs_no_other() {
        let hosts = plan(&["192.0.2.1", "user@192.0.2.2", "c=192.0.2.3"], LAUNCHER_DEFAULT);
        let addrs: Vec<String> =
            hosts.resolve().unwrap().iter().map(|host| host.addr.to_string()).collect();
        assert_eq!(addrs, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }

    #[test]
    fn the_launcher_is_split_like_a_shell_line_and_a_name_stays_one_word() {
        let hosts = plan(&["b;$(x)=192.0.2.1"], "ssh -o 'User name' {host} \"kv demo\" on-{host}");
        let command = hosts.resolve().unwrap().remove(0).command;
        assert_eq!(command, ["ssh", "-o", "User name", "b;$(x)", "kv demo", "on-b;$(x)"]);
    }

    #[test]
    fn launchers_that_cannot_work_are_refused_with_the_fix() {
        for (launcher, fix) in [
            ("", "name a program"),
            ("ssh '{host}", "close every quote"),
            ("kv-demo agent", PLACEHOLDER),
        ] {
            let error = plan(&["a=192.0.2.1"], launcher).check(2).unwrap_err().to_string();
            assert!(error.contains(fix), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    #[test]
    fn hosts_that_cannot_reach_each_other_are_refused_with_the_fix() {
        let cases = [
            (vec!["a=0.0.0.0", "b=192.0.2.1"], "host a: 0.0.0.0 is no address"),
            (vec!["192.0.2.1", "127.0.0.1"], "host 127.0.0.1: 127.0.0.1 is no address"),
            (vec!["a=192.0.2.1", "b=2001:db8::1"], "mix IPv4 (192.0.2.1) and IPv6 (2001:db8::1)"),
            (vec!["a=2001:db8::1", "b=192.0.2.1"], "mix IPv4 (192.0.2.1) and IPv6 (2001:db8::1)"),
        ];
        for (hosts, start) in cases {
            let error = plan(&hosts, LAUNCHER_DEFAULT).resolve().unwrap_err().to_string();
            assert!(error.contains(start) && error.contains("=ADDR"), "{error}");
        }
        assert!(plan(&["a=127.0.0.1", "b=127.0.0.1"], LAUNCHER_DEFAULT).resolve().is_ok());
        assert!(plan(&["127.0.0.1"], LAUNCHER_DEFAULT).resolve().is_ok());
    }

    #[test]
    fn hosts_are_counted_and_named_once() {
        let twice = plan(&["a=192.0.2.1", "b=192.0.2.2", "a=192.0.2.3"], LAUNCHER_DEFAULT);
        assert_eq!(twice.check(8), Err(HostsError::Twice { name: "a".to_owned() }));
        let three = plan(&["a=192.0.2.1", "b=192.0.2.2", "c=192.0.2.3"], LAUNCHER_DEFAULT);
        assert_eq!(three.check(2), Err(HostsError::MoreHostsThanNodes { hosts: 3, nodes: 2 }));
        assert_eq!(three.check(3), Ok(()));
    }
}
