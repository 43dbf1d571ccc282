//! Members on other runtimes are members like ours.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::time::Duration;

use rumormill::{Channel, Config, Event, Fact, MemberState, Node, NodeName, Params};
use rumormill_mio::{App, Clock, Ctl, NodeKey, NodeOptions, Runtime};

#[path = "../../core/examples/std_udp.rs"]
#[allow(dead_code, reason = "the example's main is not used here")]
mod std_udp;

/// No test waits longer than this for its condition; none waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
const CHANNEL: Channel = Channel(1);

/// Keeps what it hears.
#[derive(Default)]
struct Log(Vec<Fact>);

impl App for Log {
    type Command = ();

    fn on_event(&mut self, _: &mut Ctl<'_>, _: NodeKey, event: Event) {
        self.0.push(event.fact);
    }

    fn on_command(&mut self, _: &mut Ctl<'_>, (): ()) {}
}

/// One member on mio and one on std, each in its turn.
struct Pair {
    ours: Runtime<Log>,
    key: NodeKey,
    theirs: std_udp::Member,
    told: Vec<Fact>,
}

impl Pair {
    fn new() -> Self {
        let mut ours = Runtime::new(Log::default()).unwrap().0;
        let params = Params::try_from(Config::lan()).unwrap();
        let bind = "127.0.0.1:0".parse().unwrap();
        let key = ours.add(NodeOptions::new(NodeName::new("mio").unwrap(), bind, params)).unwrap();
        // The free port that the system chose for TCP may be taken for UDP.
        let theirs = (0..16).find_map(|_| std_udp::Member::bind("std", "127.0.0.1:0").ok());
        Self { ours, key, theirs: theirs.expect("some port is free"), told: Vec::new() }
    }

    /// Lets both work until the condition holds.
    #[track_caller]
    fn wait(&mut self, what: &str, reached: impl Fn(&mut Self) -> bool) {
        let clock = Clock::start();
        while !reached(self) {
            let waited = Duration::from_micros(clock.now().as_micros());
            assert!(waited < PATIENCE, "waited in vain: {what}");
            self.ours.turn(Some(Duration::from_millis(1))).unwrap();
            self.told.extend(self.theirs.turn());
        }
    }

    /// What either believes about the other.
    fn states(&mut self) -> [Option<MemberState>; 2] {
        let state = |node: &Node, name: &[u8]| node.member(name).map(|member| member.state);
        let (ours, theirs) = (self.ours.node(self.key), &mut self.theirs);
        [state(ours, b"std"), theirs.act(|node, _| state(node, b"mio"))]
    }
}

fn heard(facts: &[Fact], news: &'static [u8]) -> bool {
    facts.iter().any(|fact| matches!(fact, Fact::Rumor { payload, .. } if *payload == news))
}

#[test]
fn a_member_on_std_sockets_joins_talks_and_leaves() {
    const ALIVE: Option<MemberState> = Some(MemberState::Alive);
    let mut pair = Pair::new();
    let seed = pair.ours.local_addr(pair.key);
    pair.theirs.act(|node, now| node.join(now, &[seed]));
    pair.wait("each sees the other", |pair| pair.states() == [ALIVE, ALIVE]);

    pair.ours.act(pair.key, |node, now| node.broadcast(now, CHANNEL, b"from mio")).unwrap();
    pair.theirs.act(|node, now| node.broadcast(now, CHANNEL, b"from std")).unwrap();
    pair.wait("each heard the other's rumour", |pair| {
        heard(&pair.told, b"from mio") && heard(&pair.ours.app().0, b"from std")
    });

    pair.wait("each has probed the other", |pair| {
        let probes = pair.theirs.act(|node, _| node.stats().probes);
        probes > 1 && pair.ours.node(pair.key).stats().probes > 1
    });
    assert_eq!(pair.theirs.act(|node, _| node.stats().probes_failed), 0);
    assert_eq!(pair.ours.node(pair.key).stats().probes_failed, 0);

    pair.theirs.act(Node::leave);
    pair.wait("its goodbye is heard and done", |pair| {
        pair.states()[0] == Some(MemberState::Left)
            && pair.told.iter().any(|fact| matches!(fact, Fact::LeaveDone))
    });
}

#[test]
fn a_member_on_std_sockets_is_a_seed_too() {
    let mut pair = Pair::new();
    let seed = pair.theirs.act(|node, _| node.local().addr);
    pair.ours.act(pair.key, |node, now| node.join(now, &[seed]));
    pair.wait("the seed answered", |pair| {
        let reached = |fact: &Fact| matches!(fact, Fact::SeedReached { .. });
        pair.ours.app().0.iter().any(reached)
    });
    pair.wait("each sees the other", |pair| pair.states().iter().all(Option::is_some));
}
