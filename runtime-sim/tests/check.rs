//! Each rule catches what breaks it, and lets pass what does not.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use core::net::SocketAddr;
use core::time::Duration;

use rumormill::wire::message::{Accusation, Ack, Alive, Message};
use rumormill::wire::packet::{Checksum, PacketWriter};
use rumormill::wire::tags::{Advert, CAPABILITY_ENVELOPE};
use rumormill::{
    BootEpoch, Cause, Channel, Config, Delivery, Event, Fact, Identity, Incarnation, Instant, Mode,
    Node, NodeName, Output, Params, RumorId, SeqNo,
};
use rumormill_sim::check::{Checker, Rule};
use rumormill_sim::{ProcessId, Watch};

const HOME: [u8; 4] = [10, 0, 0, 9];
const AWAY: [u8; 4] = [10, 0, 0, 8];

#[test]
fn a_node_that_learns_keeps_all_rules() {
    let mut checker = Checker::default();
    let mut node = observed(&mut checker, &[]);
    for statements in
        [&[alive(1, HOME, b"")][..], &[suspect(1)], &[alive(2, HOME, b"x")], &[dead(2)]]
    {
        hand(&mut checker, &mut node, statements);
    }
    hand(&mut checker, &mut node, &[alive(3, HOME, b"")]);
    assert_eq!(checker.breach(), None);
}

#[test]
fn an_incarnation_that_falls_is_seen_unless_the_member_was_forgotten_or_moved() {
    let fallen = |between: Option<Event>| {
        let mut checker = Checker::default();
        let before = observed(&mut checker, &[alive(5, HOME, b"")]);
        if let Some(event) = between {
            checker.told(Instant::ZERO, first(), &before, &event);
        }
        swapped(&mut checker, &[alive(4, HOME, b"")])
    };
    assert_eq!(fallen(None), Some(Rule::IncarnationFell));
    assert_eq!(fallen(Some(event(0, Fact::Reaped { name: name("m") }))), None);
    let mut checker = Checker::default();
    observed(&mut checker, &[alive(5, HOME, b"")]);
    assert_eq!(swapped(&mut checker, &[alive(4, AWAY, b"")]), None);
}

#[test]
fn the_dead_must_rise_above_what_they_died_with() {
    for (incarnation, breach) in [(5, Some(Rule::Resurrected)), (6, None)] {
        let mut checker = Checker::default();
        observed(&mut checker, &[alive(5, HOME, b""), dead(5)]);
        let found = swapped(&mut checker, &[alive(incarnation, HOME, b"")]);
        assert_eq!(found, breach, "at {incarnation}");
    }
}

#[test]
fn one_incarnation_says_one_thing_to_all_observers() {
    let said = |addr, meta: &'static [u8], excuse: fn(&mut Checker)| {
        let mut checker = Checker::default();
        excuse(&mut checker);
        observed(&mut checker, &[alive(5, HOME, b"a")]);
        observe(&mut checker, ProcessId::new(1), &[alive(5, addr, meta)]);
        rule(&checker)
    };
    assert_eq!(said(HOME, b"a", |_| {}), None);
    assert_eq!(said(AWAY, b"a", |_| {}), Some(Rule::TwoStatements));
    assert_eq!(said(HOME, b"b", |_| {}), Some(Rule::TwoStatements));
    assert_eq!(said(HOME, b"b", |checker| checker.excuse(b"m")), None);
    assert_eq!(said(HOME, b"b", Checker::expect_garbling), None);
}

#[test]
fn what_is_too_long_or_goes_to_a_victim_is_seen() {
    let victim: SocketAddr = "192.0.2.1:53".parse().unwrap();
    for (len, to, breach) in [
        (1_400, "10.0.0.1:1", None),
        (1_401, "10.0.0.1:1", Some(Rule::DatagramTooLong)),
        (100, "192.0.2.1:53", Some(Rule::Reflected)),
    ] {
        let mut checker = Checker::default();
        checker.protect(victim);
        let node = observed(&mut checker, &[]);
        checker.sent(Instant::ZERO, first(), &node, to.parse().unwrap(), &vec![0; len]);
        assert_eq!(rule(&checker), breach, "{len} bytes to {to}");
    }
}

#[test]
fn more_streams_than_may_be_are_seen() {
    for (more, breach) in [(0, None), (1, Some(Rule::OverLimit))] {
        let mut checker = Checker::default();
        let node = observed(&mut checker, &[]);
        checker.turned(Instant::ZERO, first(), &node, node.params().streams_max + more);
        assert_eq!(rule(&checker), breach);
    }
}

#[test]
fn datagrams_and_events_that_are_not_counted_are_seen() {
    // A datagram that the node was never handed.
    let mut checker = Checker::default();
    let node = observed(&mut checker, &[]);
    checker.received(Instant::ZERO, first(), "10.0.0.1:1".parse().unwrap(), b"x");
    checker.turned(Instant::ZERO, first(), &node, 0);
    assert_eq!(rule(&checker), Some(Rule::Unaccounted));
    // An event that is missing; one that was dropped and told so.
    for (number, fact, breach) in [
        (2, Fact::LeaveDone, Some(Rule::Unaccounted)),
        (1, Fact::LeaveDone, None),
        (3, Fact::Resync { dropped: 3 }, None),
    ] {
        let mut checker = Checker::default();
        let node = observed(&mut checker, &[]);
        checker.told(Instant::ZERO, first(), &node, &event(0, Fact::LeaveDone));
        checker.told(Instant::ZERO, first(), &node, &event(number, fact));
        assert_eq!(rule(&checker), breach);
    }
}

/// What a member tells another arrives, and the other throws it away or not.
fn handed(prepare: impl Fn(&mut Node), cause: Cause, is_thrown_away: bool) -> Option<Rule> {
    let (me, peer) = (first(), ProcessId::new(1));
    let mut checker = Checker::default();
    let mut sender = observe(&mut checker, peer, &[alive(1, HOME, b"")]);
    prepare(&mut sender);
    let (mut buf, mut now) = (vec![0; 1_400], Instant::ZERO);
    let len = loop {
        match sender.poll_output(&mut buf) {
            Output::Send { len, .. } if sender.last_datagram().cause == cause => break len,
            Output::Timer(_) => {
                now += Duration::from_millis(10);
                sender.handle_tick(now);
            }
            _ => {}
        }
    };
    checker.sent(now, peer, &sender, member_addr(), &buf[..len]);
    let identity = Identity {
        name: name("m"),
        addr: member_addr(),
        incarnation: Incarnation(1),
        boot_epoch: BootEpoch(1),
    };
    let params = Params::try_from(Config { rumor_mode: Mode::Classic, ..Config::lan() }).unwrap();
    let mut node = Node::new(Instant::ZERO, identity, params, [2; 32]);
    checker.started(now, me, &node);
    checker.received(now, me, sender.local().addr, &buf[..len]);
    if is_thrown_away {
        // As long, and without any consequence.
        let ack = |payload_len| {
            let payload = vec![0; payload_len];
            packet(&Message::Ack(Ack { seq: SeqNo(9), payload: payload[..].into() }))
        };
        let nothing = (0..len).map(ack).find(|bytes| bytes.len() == len).unwrap();
        node.handle_packet(now, sender.local().addr, &nothing).unwrap();
    } else {
        node.handle_packet(now, sender.local().addr, &buf[..len]).unwrap();
    }
    loop {
        match node.poll_output(&mut buf) {
            Output::Send { to, len } => checker.sent(now, me, &node, to, &buf[..len]),
            Output::Event(event) => checker.told(now, me, &node, &event),
            Output::Timer(_) => break,
            _ => {}
        }
    }
    checker.turned(now, me, &node, 0);
    rule(&checker)
}

#[test]
fn what_a_datagram_brings_and_nobody_counts_is_seen() {
    let say = |node: &mut Node| {
        node.broadcast(Instant::ZERO, Channel::BARE, &[b'n'; 64]).unwrap();
    };
    let send = |node: &mut Node| {
        let best = Delivery::BestEffort;
        node.send(Instant::ZERO, &name("m"), Channel::BARE, &[b'n'; 64], best).unwrap();
    };
    for cause in [Cause::Tick, Cause::Probe, Cause::Direct] {
        let prepare = |node: &mut Node| match cause {
            Cause::Tick => say(node),
            Cause::Direct => send(node),
            _ => {}
        };
        assert_eq!(handed(prepare, cause, false), None, "{cause:?}");
        assert_eq!(handed(prepare, cause, true), Some(Rule::Unaccounted), "{cause:?}");
    }
}

#[test]
fn a_rumour_that_is_counted_and_not_told_is_seen() {
    let mut checker = Checker::default();
    let mut node = observed(&mut checker, &[]);
    let bytes = packet(&Message::User(b"news"));
    checker.received(Instant::ZERO, first(), stranger(), &bytes);
    node.handle_packet(Instant::ZERO, stranger(), &bytes).unwrap();
    checker.turned(Instant::ZERO, first(), &node, 0);
    assert_eq!(rule(&checker), Some(Rule::Unaccounted));
}

#[test]
fn a_rumour_is_told_once_to_a_life() {
    let rumor = |number: u64| {
        let id = RumorId::Numbered { origin: name("m"), epoch: BootEpoch(1), sequence: 1 };
        let (from, payload) = ("10.0.0.1:1".parse().unwrap(), Default::default());
        event(number, Fact::Rumor { id, channel: Channel(1), hop: None, from, payload })
    };
    for (pause, breach) in [(1, Some(Rule::RumorTwice)), (200, None)] {
        let mut checker = Checker::default();
        let node = observed(&mut checker, &[]);
        checker.told(Instant::ZERO, first(), &node, &rumor(0));
        checker.told(Instant::ZERO + Duration::from_secs(pause), first(), &node, &rumor(1));
        assert_eq!(rule(&checker), breach, "after {pause} s");
        let mut checker = Checker::default();
        let node = observed(&mut checker, &[]);
        checker.told(Instant::ZERO, first(), &node, &rumor(0));
        checker.started(Instant::ZERO, first(), &node);
        checker.told(Instant::ZERO, first(), &node, &rumor(0));
        assert_eq!(rule(&checker), None, "another life");
    }
}

#[test]
fn a_rumour_that_is_repeated_beyond_its_budget_is_seen() {
    let mut checker = Checker::default();
    let node = gossiping(&mut checker);
    // As if that were sent over and over.
    for _ in 0..4 {
        checker.sent(Instant::ZERO, first(), &node, member_addr(), b"x");
    }
    assert_eq!(rule(&checker), None, "a budget of four times one digit");
    checker.sent(Instant::ZERO, first(), &node, member_addr(), b"x");
    assert_eq!(rule(&checker), Some(Rule::OverBudget));
}

#[test]
fn gossip_to_a_member_that_left_is_seen() {
    let goodbye = Message::Dead(Accusation { from: b"m"[..].into(), ..accusation(1) });
    for (last_word, to, breach) in [
        (dead(1), member_addr(), None),
        (goodbye.clone(), member_addr(), Some(Rule::GossipToLeft)),
        (goodbye, stranger(), None),
    ] {
        let mut checker = Checker::default();
        let mut node = gossiping(&mut checker);
        node.handle_packet(Instant::ZERO, stranger(), &packet(&last_word)).unwrap();
        checker.sent(Instant::ZERO, first(), &node, to, b"x");
        assert_eq!(rule(&checker), breach, "{last_word:?} to {to}");
    }
}

/// A node that knows a member, and whose last datagram was gossip with a rumour on board.
fn gossiping(checker: &mut Checker) -> Node {
    let mut node = observed(checker, &[alive(1, HOME, b"")]);
    node.broadcast(Instant::ZERO, Channel::BARE, b"news").unwrap();
    let mut buf = vec![0; 1_400];
    let mut now = Instant::ZERO;
    let gossips = |node: &Node| {
        node.last_datagram().cause == Cause::Tick && !node.last_datagram().rumors().is_empty()
    };
    while !matches!(node.poll_output(&mut buf), Output::Send { .. } if gossips(&node)) {
        now += Duration::from_millis(10);
        node.handle_tick(now);
    }
    node
}

/// A node that has a rumour to tell to `m`, who understands it.
fn telling(checker: &mut Checker, mode: Mode) -> (Node, RumorId) {
    let config = Config {
        rumor_mode: mode,
        neighbors: vec![member_addr()],
        probe_interval: None,
        ..Config::lan()
    };
    let mut node = node_with(config, &[]);
    checker.started(Instant::ZERO, first(), &node);
    let tags = Advert { capabilities: CAPABILITY_ENVELOPE, epoch: BootEpoch(7), zone: 0 };
    let meta = tags.add_to(b"").unwrap();
    hand(checker, &mut node, &[alive(1, HOME, Vec::leak(meta))]);
    let rumor = node.broadcast(Instant::ZERO, Channel::BARE, b"news").unwrap();
    (node, rumor)
}

#[test]
fn a_rumour_that_goes_back_to_its_sender_is_seen() {
    let mut checker = Checker::default();
    let (mut node, id) = telling(&mut checker, Mode::Matching);
    let mut buf = vec![0; 1_400];
    while !matches!(node.poll_output(&mut buf), Output::Send { .. }) {}
    assert_eq!(node.last_datagram().cause, Cause::Forward);
    let told = |checker: &mut Checker, number, from| {
        let (channel, payload) = (Channel::BARE, Default::default());
        let fact = Fact::Rumor { id: id.clone(), channel, hop: None, from, payload };
        checker.told(Instant::ZERO, first(), &node, &event(number, fact));
    };
    checker.sent(Instant::ZERO, first(), &node, member_addr(), b"x");
    told(&mut checker, 0, stranger());
    assert_eq!(rule(&checker), None, "it came from somebody else");
    checker.started(Instant::ZERO, first(), &node);
    checker.sent(Instant::ZERO, first(), &node, member_addr(), b"x");
    told(&mut checker, 0, member_addr());
    assert_eq!(rule(&checker), Some(Rule::SentBack));
}

#[test]
fn a_rumour_that_waits_while_others_travel_is_seen() {
    for (carries, breach) in [(false, Some(Rule::Starved)), (true, None)] {
        let mut checker = Checker::default();
        let (mut node, rumor) = telling(&mut checker, Mode::Classic);
        let (mut buf, mut now) = (vec![0; 1_400], Instant::ZERO);
        let is_wanted = |node: &Node| {
            let datagram = node.last_datagram();
            datagram.cause == Cause::Tick && datagram.rumors().is_empty() != carries
        };
        assert!(carries || node.withdraw(&rumor));
        while !matches!(node.poll_output(&mut buf), Output::Send { .. } if is_wanted(&node)) {
            now += Duration::from_millis(10);
            node.handle_tick(now);
        }
        node.broadcast(now, Channel::BARE, b"more news").unwrap();
        for _ in 0..21 {
            assert_eq!(rule(&checker).filter(|rule| *rule == Rule::Starved), None);
            checker.sent(now, first(), &node, member_addr(), b"x");
        }
        assert_eq!(rule(&checker).filter(|rule| *rule == Rule::Starved), breach);
    }
}

#[test]
fn members_of_another_cluster_are_seen() {
    let mut checker = Checker::default();
    checker.belongs(name("me"), 0);
    checker.belongs(name("m"), 1);
    observed(&mut checker, &[alive(1, HOME, b"")]);
    assert_eq!(rule(&checker), Some(Rule::Merged));
}

#[test]
fn failures_in_a_healthy_cluster_are_false_alarms_and_goodbyes_are_none() {
    let failed = |number| {
        let fact = Fact::Failed {
            name: name("m"),
            addr: "10.0.0.9:7946".parse().unwrap(),
            reported_by: name("me"),
            accusers: Vec::new(),
        };
        event(number, fact)
    };
    let alarm = |prepare: &dyn Fn(&mut Checker)| {
        let mut checker = Checker::default();
        let node = observed(&mut checker, &[]);
        prepare(&mut checker);
        checker.told(Instant::ZERO, first(), &node, &failed(0));
        rule(&checker)
    };
    assert_eq!(alarm(&|_| {}), None);
    assert_eq!(alarm(&|checker| checker.is_healthy([name("other")])), None);
    let healthy = |checker: &mut Checker| checker.is_healthy([name("m")]);
    assert_eq!(alarm(&healthy), Some(Rule::FalseAlarm));
    let leaving = |checker: &mut Checker| {
        healthy(checker);
        checker.leaves(name("m"));
    };
    assert_eq!(alarm(&leaving), Some(Rule::LeaveAsFailure));
}

/// A checker that knows where `m` lived itself, counting from 5.
fn owned(homes: &[[u8; 4]]) -> Checker {
    let mut checker = Checker::default();
    for &home in homes {
        let identity = Identity {
            name: name("m"),
            addr: (home, 7_946).into(),
            incarnation: Incarnation(5),
            boot_epoch: BootEpoch(1),
        };
        let params = Params::try_from(Config::lan()).unwrap();
        let owner = Node::new(Instant::ZERO, identity, params, [1; 32]);
        checker.started(Instant::ZERO, ProcessId::new(1), &owner);
    }
    checker
}

#[test]
fn a_number_far_beyond_what_its_owner_said_is_seen_where_the_member_was_known() {
    for (homes, incarnation, breach) in [
        (&[HOME][..], 5 + (1 << 17), None),
        (&[HOME], 6 + (1 << 17), Some(Rule::Leapt)),
        (&[], 6 + (1 << 17), None),
    ] {
        let mut checker = owned(homes);
        observed(&mut checker, &[alive(5, HOME, b"")]);
        assert_eq!(
            swapped(&mut checker, &[alive(incarnation, HOME, b"")]),
            breach,
            "{incarnation}"
        );
    }
    let mut checker = owned(&[HOME]);
    observed(&mut checker, &[alive(5, HOME, b""), dead(5)]);
    assert_eq!(
        swapped(&mut checker, &[alive(1 << 18, HOME, b"")]),
        None,
        "it may have been buried"
    );
}

#[test]
fn a_name_that_goes_where_its_owner_never_was_is_seen_unless_it_was_free() {
    let goes = |homes: &[[u8; 4]], before: &[Message<'_>], secs: u64| {
        let mut checker = owned(homes);
        observed(&mut checker, before);
        let taken = node(&[alive(6, AWAY, b"")]);
        checker.turned(Instant::ZERO + Duration::from_secs(secs), first(), &taken, 0);
        rule(&checker).filter(|rule| *rule != Rule::Unaccounted)
    };
    let (here, goodbye) = (alive(5, HOME, b""), accusation(5));
    let goodbye = Message::Dead(Accusation { from: b"m"[..].into(), ..goodbye });
    assert_eq!(goes(&[HOME], core::slice::from_ref(&here), 60), Some(Rule::Hijacked));
    assert_eq!(goes(&[HOME, AWAY], core::slice::from_ref(&here), 60), None, "it moved");
    assert_eq!(goes(&[], core::slice::from_ref(&here), 60), None, "nobody is known to own it");
    for (gone, bound) in [(dead(5), 5), (goodbye, 4)] {
        let before = [here.clone(), gone];
        assert_eq!(goes(&[HOME], &before, bound - 1), Some(Rule::Hijacked));
        assert_eq!(goes(&[HOME], &before, bound), None);
    }
}

#[test]
fn refutations_that_follow_each_other_within_a_gossip_interval_are_seen() {
    for (millis, breach) in [(179, Some(Rule::Harried)), (180, None)] {
        let mut checker = Checker::default();
        let node = observed(&mut checker, &[]);
        for (number, at) in [(0, 1_000), (1, 1_000 + millis)] {
            let fact = Fact::Refuted { accuser: None, incarnation: Incarnation(2) };
            let at = Instant::ZERO + Duration::from_millis(at);
            checker.told(at, first(), &node, &event(number, fact));
        }
        assert_eq!(rule(&checker), breach, "{millis} ms");
    }
}

fn first() -> ProcessId {
    ProcessId::new(0)
}

fn rule(checker: &Checker) -> Option<Rule> {
    checker.breach().map(|breach| breach.rule)
}

fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

const fn event(number: u64, fact: Fact) -> Event {
    Event { number, at: Instant::ZERO, fact }
}

fn alive(incarnation: u32, addr: [u8; 4], meta: &'static [u8]) -> Message<'static> {
    Message::Alive(Alive {
        incarnation: Incarnation(incarnation),
        node: b"m"[..].into(),
        addr: Vec::leak(addr.to_vec())[..].into(),
        port: 7_946,
        meta: meta.into(),
        vsn: [1, 5, 2, 0, 0, 0][..].into(),
    })
}

fn accusation(incarnation: u32) -> Accusation<'static> {
    Accusation {
        incarnation: Incarnation(incarnation),
        node: b"m"[..].into(),
        from: b"somebody"[..].into(),
    }
}

fn suspect(incarnation: u32) -> Message<'static> {
    Message::Suspect(accusation(incarnation))
}

fn dead(incarnation: u32) -> Message<'static> {
    Message::Dead(accusation(incarnation))
}

fn node(statements: &[Message<'_>]) -> Node {
    node_with(Config { rumor_mode: Mode::Classic, ..Config::lan() }, statements)
}

fn node_with(config: Config, statements: &[Message<'_>]) -> Node {
    let identity = Identity {
        name: name("me"),
        addr: "10.0.0.1:7946".parse().unwrap(),
        incarnation: Incarnation(1),
        boot_epoch: BootEpoch(1),
    };
    let params = Params::try_from(config).unwrap();
    let mut node = Node::new(Instant::ZERO, identity, params, [1; 32]);
    for statement in statements {
        node.handle_packet(Instant::ZERO, stranger(), &packet(statement)).unwrap();
    }
    node
}

fn member_addr() -> SocketAddr {
    (HOME, 7_946).into()
}

fn stranger() -> SocketAddr {
    "10.0.0.7:7946".parse().unwrap()
}

fn packet(statement: &Message<'_>) -> Vec<u8> {
    let mut buf = vec![0; 1_400];
    let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Absent);
    writer.part(|out| statement.encode(out)).unwrap();
    let len = writer.finish();
    buf.truncate(len);
    buf
}

/// A node that has heard these statements, and whose first life the checker has watched.
fn observed(checker: &mut Checker, statements: &[Message<'_>]) -> Node {
    observe(checker, first(), statements)
}

fn observe(checker: &mut Checker, id: ProcessId, statements: &[Message<'_>]) -> Node {
    let mut node = node(&[]);
    checker.started(Instant::ZERO, id, &node);
    for statement in statements {
        hand_to(checker, id, &mut node, core::slice::from_ref(statement));
    }
    if statements.is_empty() {
        checker.turned(Instant::ZERO, id, &node, 0);
    }
    node
}

fn hand(checker: &mut Checker, node: &mut Node, statements: &[Message<'_>]) {
    hand_to(checker, first(), node, statements);
}

fn hand_to(checker: &mut Checker, id: ProcessId, node: &mut Node, statements: &[Message<'_>]) {
    for statement in statements {
        let bytes = packet(statement);
        checker.received(Instant::ZERO, id, stranger(), &bytes);
        node.handle_packet(Instant::ZERO, stranger(), &bytes).unwrap();
        checker.turned(Instant::ZERO, id, node, 0);
    }
}

/// The first breach when the checker finds a node that knows this in the place of the one that it
/// watched: what a bug would make of it. Its counters differ too; the rule in question comes first.
fn swapped(checker: &mut Checker, statements: &[Message<'_>]) -> Option<Rule> {
    checker.turned(Instant::ZERO, first(), &node(statements), 0);
    rule(checker).filter(|rule| *rule != Rule::Unaccounted)
}
