//! Names among the seeds, of hosts and of services: resolved outside the loop, again and again.

use std::net::SocketAddr;
use std::time::Duration;

use rumormill_mio::Handle;

use super::command::Command;
use crate::config::Seed;
use crate::resolve::Resolver;

/// First and longest pause between two attempts to resolve.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Splits seeds into addresses and names.
pub(crate) fn split(seeds: &[Seed]) -> (Vec<SocketAddr>, Vec<Seed>) {
    let addresses = seeds.iter().filter_map(Seed::socket_addr).collect();
    let names = seeds.iter().filter(|seed| seed.socket_addr().is_none()).cloned().collect();
    (addresses, names)
}

/// What the names among the seeds stand for.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Name>);

#[derive(Debug, Default)]
struct Name {
    addresses: Vec<SocketAddr>,
    /// The one that answered last. A member may call itself by another address.
    answered: Option<SocketAddr>,
}

/// What follows for the node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) join: Vec<SocketAddr>,
    pub(crate) forget: Vec<SocketAddr>,
}

impl Names {
    /// Takes what the names resolve to now. A name is joined through all of its addresses until one
    /// of them is known; `is_known` says whether a live member has an address, and `is_alone`
    /// whether there is none at all.
    pub(crate) fn resolved(
        &mut self,
        names: Vec<Vec<SocketAddr>>,
        is_known: impl Fn(SocketAddr) -> bool,
        is_alone: bool,
    ) -> Plan {
        self.0.resize_with(names.len(), Name::default);
        let mut plan = Plan::default();
        for (name, addresses) in self.0.iter_mut().zip(names) {
            // A name that could not be resolved stands for what it stood for.
            if !addresses.is_empty() {
                let gone = name.addresses.iter().filter(|addr| !addresses.contains(addr));
                plan.forget.extend(gone);
                name.addresses = addresses;
            }
            let answered = name.answered.filter(|addr| name.addresses.contains(addr));
            name.answered = answered.filter(|_| !is_alone);
            if name.answered.is_some() || name.addresses.iter().any(|&addr| is_known(addr)) {
                plan.forget.extend(&name.addresses);
            } else {
                plan.join.extend(&name.addresses);
            }
        }
        plan.forget.retain(|addr| !plan.join.contains(addr));
        plan
    }

    /// Whether one of the names stands for an address.
    pub(crate) fn include(&self, addr: SocketAddr) -> bool {
        self.0.iter().any(|name| name.addresses.contains(&addr))
    }

    /// A seed has answered. Returns the other addresses of its name, which need not.
    pub(crate) fn answered(&mut self, seed: SocketAddr) -> Vec<SocketAddr> {
        let mut others = Vec::new();
        for name in self.0.iter_mut().filter(|name| name.addresses.contains(&seed)) {
            name.answered = Some(seed);
            others.extend(name.addresses.iter().copied().filter(|&addr| addr != seed));
        }
        others
    }
}

/// Resolves names on a thread of its own and hands the addresses to the loop. What was resolved is
/// resolved again later: a name may move.
pub(crate) fn resolve_for_ever(names: Vec<Seed>, resolver: Resolver, handle: Handle<Command>) {
    if names.is_empty() {
        return;
    }
    let resolve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(keep_resolving(&names, &resolver, &handle)),
            Err(error) => tracing::error!(%error, "names among the seeds cannot be resolved"),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("resolver".to_owned()).spawn(resolve) {
        tracing::error!(%error, "names among the seeds cannot be resolved");
    }
}

async fn keep_resolving(names: &[Seed], resolver: &Resolver, handle: &Handle<Command>) {
    let (mut pause, longest) = PAUSE;
    while tell(handle, resolve_once(names, resolver).await) {
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(longest);
    }
}

/// What each name stands for now; nothing for one that was not resolved.
async fn resolve_once(names: &[Seed], resolver: &Resolver) -> Vec<Vec<SocketAddr>> {
    // All at once: a server that is silent about one name does not hold up the others.
    let lookups: Vec<_> = names
        .iter()
        .map(|name| {
            let (name, resolver) = (name.clone(), resolver.clone());
            tokio::spawn(async move {
                let found = resolver.resolve(&name).await;
                let found = found.inspect_err(|error| {
                    tracing::warn!(seed = %name, %error, "a seed's name was not resolved");
                });
                found.unwrap_or_default()
            })
        })
        .collect();
    let mut addresses = Vec::with_capacity(lookups.len());
    for lookup in lookups {
        addresses.push(lookup.await.unwrap_or_default());
    }
    addresses
}

/// `false` once the loop has ended.
fn tell(handle: &Handle<Command>, addresses: Vec<Vec<SocketAddr>>) -> bool {
    let sent = handle.send(Command::Join(addresses));
    !matches!(sent, Err(rumormill_mio::HandleError::Stopped(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_name_is_joined_until_one_of_its_addresses_is_known() {
        let mut names = Names::default();
        let both = || vec![vec![addr(1), addr(2)], vec![addr(3)]];
        let plan = names.resolved(both(), |_| false, true);
        assert_eq!((plan.join, plan.forget), (vec![addr(1), addr(2), addr(3)], vec![]));
        let plan = names.resolved(both(), |known| known == addr(2), false);
        assert_eq!((plan.join, plan.forget), (vec![addr(3)], vec![addr(1), addr(2)]));
        // It is gone again.
        let plan = names.resolved(both(), |_| false, false);
        assert_eq!(plan.join, [addr(1), addr(2), addr(3)]);
    }

    #[test]
    fn an_answer_is_enough_even_of_a_member_that_calls_itself_otherwise() {
        let mut names = Names::default();
        let both = || vec![vec![addr(1), addr(2)]];
        names.resolved(both(), |_| false, true);
        assert_eq!(names.answered(addr(1)), [addr(2)]);
        assert_eq!(names.answered(addr(9)), []);
        assert_eq!(names.resolved(both(), |_| false, false).join, []);
        // Nobody is left: the name is the way back.
        assert_eq!(names.resolved(both(), |_| false, true).join, [addr(1), addr(2)]);
    }

    #[test]
    fn a_name_that_moves_leaves_its_old_addresses() {
        let mut names = Names::default();
        names.resolved(vec![vec![addr(1), addr(2)]], |_| false, true);
        let plan = names.resolved(vec![vec![addr(2), addr(3)]], |_| false, true);
        assert_eq!((plan.join, plan.forget), (vec![addr(2), addr(3)], vec![addr(1)]));
        let plan = names.resolved(vec![vec![]], |_| false, true);
        assert_eq!((plan.join, plan.forget), (vec![addr(2), addr(3)], vec![]));
    }

    #[test]
    fn addresses_need_no_resolving() {
        let seeds: Vec<Seed> = ["127.0.0.1:1", "seed.example.org:2", "[::1]:3", "_a._udp.b"]
            .map(|seed| seed.parse().unwrap())
            .into();
        let (addresses, names) = split(&seeds);
        assert_eq!(addresses.len(), 2);
        assert_eq!(names, [seeds[1].clone(), seeds[3].clone()]);
    }
}
