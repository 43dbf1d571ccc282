//! Joining by names, with a DNS server that the test plays.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::net::IpAddr;

use common::dns::Dns;
use common::{Dir, Node, wait_for};

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// A node that joins what a name of this server stands for.
fn joiner(dir: &Dir, name: &str, dns: &Dns, seed: &str) -> Node {
    Node::start(dir, name, &["--dns-server", &dns.addr.to_string(), "--join", seed])
}

#[test]
fn a_service_is_joined_through_any_of_its_hosts() {
    let (dir, dns) = (Dir::new("srv"), Dns::start());
    let (a, b) = (Node::start(&dir, "a", &[]), Node::start(&dir, "b", &[]));
    dns.host("one.test", &[loopback(1)]);
    dns.host("two.test", &[loopback(1)]);
    let both = [(a.gossip.port(), "one.test"), (b.gossip.port(), "two.test")];
    dns.service("_rumormill._udp.test", &both);
    let c = joiner(&dir, "c", &dns, "_rumormill._udp.test");
    // Both targets are tried: `a` and `b` meet through `c`.
    for node in [&a, &b, &c] {
        node.wait_live(3);
    }
}

#[test]
fn a_service_of_which_one_host_is_dead_and_one_unknown_is_joined_through_the_third() {
    let (dir, dns) = (Dir::new("srv-dead"), Dns::start());
    let a = Node::start(&dir, "a", &[]);
    let unused = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    dns.host("here.test", &[loopback(1)]);
    let dead = unused.local_addr().unwrap().port();
    let targets = [(dead, "here.test"), (1, "nowhere.test"), (a.gossip.port(), "here.test")];
    dns.service("gossip.test", &targets);
    let b = joiner(&dir, "b", &dns, "srv:gossip.test");
    b.wait_live(2);
    // One answer is enough: the dead host is no longer waited for.
    wait_for("no seed is waited for", || (b.members().seeds_waiting == 0).then_some(()));
}

#[test]
fn an_answer_that_does_not_fit_a_datagram_is_fetched_by_tcp() {
    let (dir, dns) = (Dir::new("tcp"), Dns::start());
    let a = Node::start(&dir, "a", &[]);
    dns.answer_by_tcp_only();
    dns.host("a.test", &[loopback(1)]);
    dns.service("_rumormill._udp.test", &[(a.gossip.port(), "a.test")]);
    joiner(&dir, "b", &dns, "_rumormill._udp.test").wait_live(2);
}

#[test]
fn all_addresses_of_a_host_are_tried() {
    let (dir, dns) = (Dir::new("many"), Dns::start());
    let a = Node::start(&dir, "a", &[]);
    // Nobody listens on the first, and IPv6 is of no use to a node on IPv4.
    dns.host("a.test", &[loopback(9), "::1".parse().unwrap(), loopback(1)]);
    joiner(&dir, "b", &dns, &format!("a/a.test:{}", a.gossip.port())).wait_live(2);
}

#[test]
fn a_name_whose_address_changes_is_followed() {
    let (dir, dns) = (Dir::new("moves"), Dns::start());
    let a = Node::start(&dir, "a", &[]);
    dns.host("a.test", &[loopback(9)]);
    let b = joiner(&dir, "b", &dns, &format!("a.test:{}", a.gossip.port()));
    wait_for("the first address is tried", || {
        let waiting = b.members().seeds_waiting;
        (waiting == 1 && b.get("/events").1.contains("127.0.0.9")).then_some(())
    });
    assert_eq!(b.members().live, 1);
    dns.host("a.test", &[loopback(1)]);
    b.wait_live(2);
    wait_for("the old address is forgotten", || (b.members().seeds_waiting == 0).then_some(()));
}

#[test]
fn a_name_that_does_not_exist_yet_is_asked_for_again() {
    let (dir, dns) = (Dir::new("later"), Dns::start());
    let a = Node::start(&dir, "a", &[]);
    let b = joiner(&dir, "b", &dns, "_rumormill._udp.test");
    wait_for("the name was asked for twice", || {
        (dns.questions("_rumormill._udp.test") >= 2).then_some(())
    });
    assert!(b.log().contains("no SRV records of `_rumormill._udp.test`"), "{}", b.log());
    dns.host("a.test", &[loopback(1)]);
    dns.service("_rumormill._udp.test", &[(a.gossip.port(), "a.test")]);
    b.wait_live(2);
}
