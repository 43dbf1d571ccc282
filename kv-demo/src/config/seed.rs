//! Whom to join: the forms that memberlist knows (protocol page §4.17), and service names.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

/// The port of a seed that names none: memberlist's.
pub const SEED_PORT: u16 = 7_946;

/// A host and a port: an IP address or a host name.
///
/// Names stay names here, because they are resolved again at every attempt.
///
/// ```
/// use kv_demo::config::SeedAddr;
///
/// let door: SeedAddr = "node.example.org:30500".parse().unwrap();
/// assert_eq!(door.host, "node.example.org");
/// let door: SeedAddr = "[::1]:30500".parse().unwrap();
/// assert_eq!(door.host, "::1");
/// assert_eq!(door.to_string(), "[::1]:30500");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeedAddr {
    /// Host name or IP address, an IPv6 address without its brackets.
    pub host: String,
    /// Port, 1..=65535.
    pub port: u16,
}

impl SeedAddr {
    /// Length of the longest host name that the DNS can hold, in bytes.
    pub const HOST_LEN_MAX: usize = 253;

    /// The address, when `host` is one already.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Joins the two halves; `None` when `host` can be neither a name nor an address.
    pub(crate) fn from_parts(host: &str, port: u16) -> Option<Self> {
        let fits = port != 0 && (host.parse::<IpAddr>().is_ok() || is_name(host));
        fits.then(|| Self { host: host.to_owned(), port })
    }

    /// With [`SEED_PORT`] where the text has none.
    fn with_default_port(text: &str) -> Option<Self> {
        if text.parse::<IpAddr>().is_ok() || !text.contains(':') {
            return Self::from_parts(text, SEED_PORT);
        }
        if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let is_v6 = address.contains(':');
            return is_v6.then(|| Self::from_parts(address, SEED_PORT)).flatten();
        }
        text.parse().ok()
    }
}

/// Whether the DNS could hold it; a dot at the end is allowed.
fn is_name(host: &str) -> bool {
    let bare = host.strip_suffix('.').unwrap_or(host);
    !bare.is_empty()
        && bare.len() <= SeedAddr::HOST_LEN_MAX
        && !bare.contains(|c: char| c.is_whitespace() || ":,[]/\"'".contains(c))
}

impl fmt::Display for SeedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl From<SocketAddr> for SeedAddr {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

/// Text that is not `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no door: write it as host:port, an IPv6 address in brackets")]
pub struct BadAddr {
    /// What was given.
    pub given: String,
}

impl FromStr for SeedAddr {
    type Err = BadAddr;

    fn from_str(text: &str) -> Result<Self, BadAddr> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| {
            let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            // Brackets belong to IPv6 addresses, and IPv6 addresses into brackets.
            let host = match bracketed {
                Some(address) if address.contains(':') => address,
                None if !host.contains(':') => host,
                _ => return None,
            };
            Self::from_parts(host, port.parse().ok()?)
        });
        parts.ok_or_else(|| BadAddr { given: text.to_owned() })
    }
}

/// Where members to join are found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeedPlace {
    /// One host; a name stands for all of its addresses.
    Host(SeedAddr),
    /// A service: the hosts and ports that the SRV records of this name list.
    Service(String),
}

/// A member to join.
///
/// ```
/// use kv_demo::config::{Seed, SeedPlace};
///
/// let seed: Seed = "seed.example.org".parse().unwrap();
/// assert_eq!(seed.to_string(), "seed.example.org:7946");
/// let seed: Seed = "_rumormill._udp.example.org".parse().unwrap();
/// assert!(matches!(seed.place, SeedPlace::Service(_)));
/// let seed: Seed = "alpha/192.0.2.7:7946".parse().unwrap();
/// assert_eq!(seed.member.as_deref(), Some("alpha"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed {
    /// What memberlist's form `name/host:port` expects the member to be called. It is carried along
    /// and not checked: whoever answers there is joined.
    pub member: Option<String>,
    /// Where it is.
    pub place: SeedPlace,
}

impl Seed {
    /// The address, when it needs no resolving.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match &self.place {
            SeedPlace::Host(host) => host.socket_addr(),
            SeedPlace::Service(_) => None,
        }
    }
}

impl From<SeedAddr> for Seed {
    fn from(addr: SeedAddr) -> Self {
        Self { member: None, place: SeedPlace::Host(addr) }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(member) = &self.member {
            write!(f, "{member}/")?;
        }
        match &self.place {
            SeedPlace::Host(host) => host.fmt(f),
            SeedPlace::Service(name) if name.starts_with('_') => f.write_str(name),
            SeedPlace::Service(name) => write!(f, "srv:{name}"),
        }
    }
}

/// Text that is no seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSeed {
    /// It is neither a host nor a service.
    #[error(
        "`{given}` is not a seed: write it as host, host:port, [IPv6]:port or _service._udp.domain"
    )]
    Malformed {
        /// What was given.
        given: String,
    },
    /// It begins with the slash that ends a member's name.
    #[error("`{given}` has no name before the slash: write it as name/host:port, or host:port")]
    Nameless {
        /// What was given.
        given: String,
    },
    /// A service has ports of its own.
    #[error("`{given}` is a service, whose ports its SRV records tell: leave the port out")]
    ServiceWithPort {
        /// What was given.
        given: String,
    },
}

impl FromStr for Seed {
    type Err = BadSeed;

    fn from_str(text: &str) -> Result<Self, BadSeed> {
        let given = || text.to_owned();
        let (member, place) = match text.split_once('/') {
            Some(("", _)) => return Err(BadSeed::Nameless { given: given() }),
            Some((member, place)) => (Some(member.to_owned()), place),
            None => (None, text),
        };
        let service = place.strip_prefix("srv:");
        let place = match service.or_else(|| place.starts_with('_').then_some(place)) {
            Some(name) if is_name(name) && name.contains('.') => {
                SeedPlace::Service(name.to_owned())
            }
            Some(name) if name.contains(':') => {
                return Err(BadSeed::ServiceWithPort { given: given() });
            }
            Some(_) => return Err(BadSeed::Malformed { given: given() }),
            None => SeedPlace::Host(
                SeedAddr::with_default_port(place)
                    .ok_or_else(|| BadSeed::Malformed { given: given() })?,
            ),
        };
        Ok(Self { member, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_names_or_addresses_with_a_port() {
        let door = |text: &str| text.parse::<SeedAddr>();
        assert_eq!(door("10.0.0.1:1").unwrap().socket_addr(), "10.0.0.1:1".parse().ok());
        assert_eq!(door("[2001:db8::1]:65535").unwrap().host, "2001:db8::1");
        assert_eq!(door("db-1.local:7946").unwrap().socket_addr(), None);
        for bad in [
            "",
            "host",
            "host:",
            ":7946",
            "host:0",
            "host:65536",
            "host:-1",
            "::1:7946",
            "[::1]",
            "[host]:1",
            "a b:1",
            "http://host:1",
            "\"host\":1",
        ] {
            assert!(door(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn host_names_end_where_the_dns_ends() {
        let seed = |len: usize| format!("{}:1", "h".repeat(len)).parse::<SeedAddr>();
        assert!(seed(SeedAddr::HOST_LEN_MAX - 1).is_ok());
        assert!(seed(SeedAddr::HOST_LEN_MAX).is_ok());
        assert!(seed(SeedAddr::HOST_LEN_MAX + 1).is_err());
    }

    /// memberlist's `TestMemberList_ResolveAddr`: each form by itself and behind a member's name.
    #[test]
    fn a_seed_has_the_forms_of_memberlists_addresses() {
        let cases = [
            ("localhost", Some("localhost:7946")),
            ("localhost:80", Some("localhost:80")),
            ("[::1]:80", Some("[::1]:80")),
            ("[::1]", Some("[::1]:7946")),
            ("::1", Some("[::1]:7946")),
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("127.0.0.1", Some("127.0.0.1:7946")),
            ("[2001:db8:a0b:12f0::1]", Some("[2001:db8:a0b:12f0::1]:7946")),
            (":80", None),
            ("localhost:80000", None),
            ("/localhost", None),
        ];
        for (text, address) in cases {
            let seed = text.parse::<Seed>().ok();
            assert_eq!(seed.as_ref().map(ToString::to_string).as_deref(), address, "{text}");
            assert!(seed.is_none_or(|seed| seed.member.is_none()), "{text}");

            let named = format!("foo.bar/{text}");
            let seed = named.parse::<Seed>().ok();
            let expected = address.map(|address| format!("foo.bar/{address}"));
            assert_eq!(seed.as_ref().map(ToString::to_string), expected, "{named}");
            assert!(seed.is_none_or(|seed| seed.member.as_deref() == Some("foo.bar")), "{named}");
        }
    }

    #[test]
    fn a_service_is_known_by_its_underscore_or_by_its_prefix() {
        for (text, name) in [
            ("_rumormill._udp.example.org", "_rumormill._udp.example.org"),
            ("_rumormill._udp.example.org.", "_rumormill._udp.example.org."),
            ("srv:gossip.default.svc.cluster.local", "gossip.default.svc.cluster.local"),
            ("alpha/_gossip._tcp.example.org", "_gossip._tcp.example.org"),
        ] {
            let seed: Seed = text.parse().unwrap();
            assert_eq!(seed.place, SeedPlace::Service(name.to_owned()), "{text}");
            assert_eq!((seed.socket_addr(), seed.to_string()), (None, text.to_owned()));
        }
        for bad in ["_", "srv:", "srv:.", "_gossip", "srv:a b.c"] {
            assert!(matches!(bad.parse::<Seed>(), Err(BadSeed::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn what_is_no_seed_is_refused_with_the_form() {
        let refusal = |text: &str| text.parse::<Seed>().unwrap_err().to_string();
        assert!(refusal("").contains("host:port"), "{}", refusal(""));
        assert!(refusal("[::1").contains("[IPv6]:port"));
        assert!(refusal("[host]").contains("is not a seed"));
        assert!(refusal("host:").contains("is not a seed"));
        assert!(refusal("a/b/c").contains("is not a seed"));
        assert!(refusal("/b:1").contains("before the slash"));
        assert!(refusal("_a._udp.b:7946").contains("leave the port out"));
    }
}
