//! From a seed to addresses: host names by the system's resolver, services by their SRV records.
//!
//! Everything here waits for others, so it runs beside the node's loop, never in it.

mod dns;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::{fs, io};

use thiserror::Error;

use crate::config::{Seed, SeedAddr, SeedPlace};
use dns::{Kind, Record, Service};

/// Most addresses that one seed stands for; the node keeps no more seeds in all.
pub const ADDRESSES_MAX: usize = rumormill::SEEDS_MAX;
/// Most hosts of one service that are looked up.
pub const TARGETS_MAX: usize = 32;
/// Where the system says which servers to ask for SRV records.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of DNS servers.
const DNS_PORT: u16 = 53;

/// Why a seed stands for no address now. All of it may be otherwise a moment later.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The system's resolver knows no such host.
    #[error("the host `{name}` is not known ({reason})")]
    System {
        /// The name.
        name: String,
        /// What the system said.
        reason: io::Error,
    },
    /// The DNS knows the name, or does not, but no record that would help.
    #[error("the DNS has no {records} records of `{name}`")]
    NoRecords {
        /// The name.
        name: String,
        /// Their types.
        records: &'static str,
    },
    /// Nobody can be asked.
    #[error("no DNS server is known ({reason}): name one with --dns-server")]
    NoServer {
        /// What is wrong with the system's list.
        reason: String,
    },
    /// A server was asked and gave no answer that counts.
    #[error("the DNS server {server} did not answer ({reason})")]
    Server {
        /// Which.
        server: SocketAddr,
        /// What it did instead.
        reason: String,
    },
}

/// Looks seeds up.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// The server to ask about everything, instead of what the system is set up to do.
    server: Option<SocketAddr>,
}

/// Whom to ask about SRV records, and what else a name may mean.
struct Servers {
    addrs: Vec<SocketAddr>,
    search: Vec<String>,
}

impl Resolver {
    /// Asks `server` about everything; without one, the system's resolver about hosts and the
    /// servers of `/etc/resolv.conf` about services.
    #[must_use]
    pub const fn new(server: Option<SocketAddr>) -> Self {
        Self { server }
    }

    /// What a seed stands for now: at least one address, at most [`ADDRESSES_MAX`], each once. The
    /// hosts of a service come in the order of their priority.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]; of several, the last.
    pub async fn resolve(&self, seed: &Seed) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = match &seed.place {
            SeedPlace::Host(host) => self.host(host).await?,
            SeedPlace::Service(name) => self.service(name).await?,
        };
        let mut addresses = Vec::new();
        for address in found {
            if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }

    async fn host(&self, host: &SeedAddr) -> Result<Vec<SocketAddr>, ResolveError> {
        if let Some(address) = host.socket_addr() {
            return Ok(vec![address]);
        }
        let Some(server) = self.server else { return by_system(host).await };
        let (v4, v6) = tokio::join!(
            dns::ask(server, &host.host, Kind::A),
            dns::ask(server, &host.host, Kind::Aaaa)
        );
        let mut addresses = Vec::new();
        // One family is enough. An error counts only if there is nothing else.
        let mut error = None;
        for records in [v4, v6] {
            match records {
                Ok(records) => addresses.extend(records.iter().filter_map(Record::ip)),
                Err(found) => error = Some(found),
            }
        }
        match error {
            Some(error) if addresses.is_empty() => Err(error),
            _ if addresses.is_empty() => {
                Err(ResolveError::NoRecords { name: host.host.clone(), records: "A and AAAA" })
            }
            _ => Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, host.port)).collect()),
        }
    }

    async fn service(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let mut services = self.services(name).await?;
        services.sort_by_key(|service| (service.priority, core::cmp::Reverse(service.weight)));
        let mut addresses = Vec::new();
        let mut last = ResolveError::NoRecords { name: name.to_owned(), records: "SRV" };
        for service in services.into_iter().take(TARGETS_MAX) {
            let Some(host) = SeedAddr::from_parts(&service.target, service.port) else { continue };
            match self.host(&host).await {
                Ok(found) => addresses.extend(found),
                Err(error) => {
                    tracing::debug!(service = name, %host, %error, "a service's host is passed over");
                    last = error;
                }
            }
        }
        if addresses.is_empty() { Err(last) } else { Ok(addresses) }
    }

    /// The SRV records of a name, or of the first name made of it and the search list that has some.
    async fn services(&self, name: &str) -> Result<Vec<Service>, ResolveError> {
        let servers = self.servers().await?;
        let mut last = ResolveError::NoRecords { name: name.to_owned(), records: "SRV" };
        for name in names(name, &servers.search) {
            for &server in &servers.addrs {
                match dns::ask(server, &name, Kind::Srv).await {
                    Ok(records) => {
                        let services: Vec<Service> =
                            records.into_iter().filter_map(Record::service).collect();
                        if !services.is_empty() {
                            return Ok(services);
                        }
                        // It has answered: another server would say the same.
                        break;
                    }
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    async fn servers(&self) -> Result<Servers, ResolveError> {
        if let Some(server) = self.server {
            return Ok(Servers { addrs: vec![server], search: Vec::new() });
        }
        // Read each time: a laptop moves, a container's file is written late.
        let read = tokio::task::spawn_blocking(|| system_servers(Path::new(RESOLV_CONF))).await;
        read.unwrap_or_else(|error| Err(ResolveError::NoServer { reason: error.to_string() }))
    }
}

async fn by_system(host: &SeedAddr) -> Result<Vec<SocketAddr>, ResolveError> {
    let found = tokio::net::lookup_host((host.host.as_str(), host.port)).await;
    let name = || host.host.clone();
    let addresses: Vec<SocketAddr> =
        found.map_err(|reason| ResolveError::System { name: name(), reason })?.collect();
    if addresses.is_empty() {
        return Err(ResolveError::NoRecords { name: name(), records: "A and AAAA" });
    }
    Ok(addresses)
}

fn system_servers(path: &Path) -> Result<Servers, ResolveError> {
    let wrong = |reason: String| {
        let path = path.display();
        ResolveError::NoServer { reason: format!("{path}: {reason}") }
    };
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    // Like the system's own reader, what makes no sense is passed over.
    let (config, _) = resolv_conf::Config::parse_with_errors(&text);
    let addrs: Vec<SocketAddr> = config
        .nameservers
        .iter()
        .map(|server| SocketAddr::new(IpAddr::from(server.clone()), DNS_PORT))
        .collect();
    if addrs.is_empty() {
        return Err(wrong("it has no `nameserver` line".to_owned()));
    }
    let search = config.get_last_search_or_domain().map(ToOwned::to_owned).collect();
    Ok(Servers { addrs, search })
}

/// The name itself, and unless a dot ends it, with each suffix of the search list behind it.
fn names(name: &str, search: &[String]) -> Vec<String> {
    let mut names = vec![name.trim_end_matches('.').to_owned()];
    if !name.ends_with('.') {
        let suffixes = search.iter().map(|suffix| suffix.trim_matches('.'));
        let suffixes = suffixes.filter(|suffix| !suffix.is_empty());
        names.extend(suffixes.map(|suffix| format!("{name}.{suffix}")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_tried_by_itself_and_then_along_the_search_list() {
        let search = ["svc.cluster.local".to_owned(), ".".to_owned(), "local.".to_owned()];
        let tried = names("_a._udp.b", &search);
        assert_eq!(tried, ["_a._udp.b", "_a._udp.b.svc.cluster.local", "_a._udp.b.local"]);
        assert_eq!(names("_a._udp.b.", &search), ["_a._udp.b"]);
    }

    #[test]
    fn servers_are_those_of_the_systems_file() {
        let path = std::env::temp_dir().join(format!("kv-demo-resolv-{}", std::process::id()));
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            system_servers(&path)
        };
        let text =
            "# by hand\nnameserver 192.0.2.53\nnonsense\nnameserver 2001:db8::53\nsearch a.b c\n";
        let servers = read(text).unwrap();
        let addrs = servers.addrs.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addrs, ["192.0.2.53:53", "[2001:db8::53]:53"]);
        assert_eq!(servers.search, ["a.b", "c"]);
        let refused = read("search a\n").map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("nameserver") && refused.contains("--dns-server"), "{refused}");
        fs::remove_file(&path).unwrap();
        let refused = system_servers(&path).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("--dns-server"), "{refused}");
    }
}
