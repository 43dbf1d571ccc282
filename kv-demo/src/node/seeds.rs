//! Host names among the seeds: resolved outside the loop, again and again until one answers.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use rumormill_mio::Handle;

use super::command::Command;
use crate::config::SeedAddr;

/// First and longest pause between two attempts to resolve.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Splits seeds into addresses and names.
pub(crate) fn split(seeds: &[SeedAddr]) -> (Vec<SocketAddr>, Vec<SeedAddr>) {
    let addresses = seeds.iter().filter_map(SeedAddr::socket_addr).collect();
    let names = seeds.iter().filter(|seed| seed.socket_addr().is_none()).cloned().collect();
    (addresses, names)
}

/// Resolves names on a thread of its own and hands the addresses to the loop. What was resolved is
/// resolved again later: a name may move, and joining an address that is known costs nothing.
pub(crate) fn resolve_for_ever(names: Vec<SeedAddr>, handle: Handle<Command>) {
    if names.is_empty() {
        return;
    }
    let resolve = move || {
        let (mut pause, longest) = PAUSE;
        while resolve_once(&names, &handle) {
            std::thread::sleep(pause);
            pause = (2 * pause).min(longest);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("resolver".to_owned()).spawn(resolve) {
        tracing::error!(%error, "host names among the seeds cannot be resolved");
    }
}

/// `false` once the loop has ended.
fn resolve_once(names: &[SeedAddr], handle: &Handle<Command>) -> bool {
    let mut found = Vec::new();
    for name in names {
        match (name.host.as_str(), name.port).to_socket_addrs() {
            Ok(addresses) => found.extend(addresses),
            Err(error) => tracing::warn!(seed = %name, %error, "a seed's name was not resolved"),
        }
    }
    let sent = handle.send(Command::Join(found));
    !matches!(sent, Err(rumormill_mio::HandleError::Stopped(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_resolving() {
        let seeds: Vec<SeedAddr> = ["127.0.0.1:1", "seed.example.org:2", "[::1]:3"]
            .map(|seed| seed.parse().unwrap())
            .into();
        let (addresses, names) = split(&seeds);
        assert_eq!(addresses.len(), 2);
        assert_eq!(names, [seeds[1].clone()]);
    }
}
