//! What a view makes of statements does not depend on how they come.
//!
//! memberlist's precedence alone is not commutative: an accusation of somebody who is dead already says
//! nothing, also if it is of a later life (protocol page §4.5-4.6). But statements are repeated, by
//! gossip and by exchanges of state; what they come to, once nothing changes any more, is the same
//! in every order, grouping and number of repetitions. With two exceptions:
//!
//! - Somebody who is gone may be dead to one and left to another, for who is gone never changes how.
//! - An accusation that overtakes the statement of its life hides what that said: the meta stays that of an
//!   earlier life until the next one, that is until the member refutes. So only who is not accused
//!   has the same meta everywhere.
//!
//! A list alone cannot tell a view: it has one state for each member, what is dead in it is suspect to who
//! hears it, and who holds somebody dead or suspect in one life learns nothing from a list that calls it suspect
//! in the next (protocol page §4.5). So views are joined by gossip here, which tells of the life too; lists are
//! among the statements.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use std::net::SocketAddr;

use proptest::prelude::*;
use rumormill::wire::message::{Alive, Message, NodeAddr, NodeState, PushPullHeader, WireState};
use rumormill::{Config, Incarnation, MemberState, StreamInput};
use util::{Accuse, Cluster, accusation, addr, blob, encoded, statement};

const MEMBERS: usize = 3;
const LIVES: u32 = 3;

/// Statements about a member, one by one in datagrams or in a peer's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Alive,
    /// The same from another address, which nobody believes of a name that is taken.
    Elsewhere,
    Suspect,
    Dead,
    Left,
    Listed(WireState),
}

/// How bad a statement is, or a state: what is worse overrides in the same life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Badness {
    Alive,
    Suspect,
    Gone,
}

impl Said {
    const ALL: [Self; 9] = [
        Self::Alive,
        Self::Elsewhere,
        Self::Suspect,
        Self::Dead,
        Self::Left,
        Self::Listed(WireState::ALIVE),
        Self::Listed(WireState::SUSPECT),
        Self::Listed(WireState::DEAD),
        Self::Listed(WireState::LEFT),
    ];

    /// What a list calls dead is suspect to us.
    fn badness(self) -> Badness {
        match self {
            Self::Suspect | Self::Listed(WireState::SUSPECT | WireState::DEAD) => Badness::Suspect,
            Self::Dead | Self::Left | Self::Listed(WireState::LEFT) => Badness::Gone,
            _ => Badness::Alive,
        }
    }
}

/// Something about a member in one of its lives.
type Statement = (usize, u32, Said);

/// Statements in any order.
fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let said = prop::sample::select(Said::ALL.to_vec());
    let all = prop::collection::vec((1..=MEMBERS, 1..=LIVES, said), 1..12).prop_map(|mut all| {
        // Who is accused of something has lived: nobody can be accused of what it never stated.
        let real = all.iter().filter(|(.., said)| *said != Said::Elsewhere);
        let lives: Vec<Statement> =
            real.map(|&(member, life, _)| (member, life, Said::Alive)).collect();
        all.extend(lives);
        all
    });
    all.prop_shuffle()
}

/// What a member says of itself in one of its lives.
fn of_life(member: usize, life: u32, at: SocketAddr) -> Alive<'static> {
    let at = NodeAddr::from(at);
    Alive {
        incarnation: Incarnation(life),
        addr: blob(at.ip_bytes()),
        port: at.port,
        meta: blob(&meta(life)),
        ..statement(member)
    }
}

fn meta(life: u32) -> Vec<u8> {
    format!("life {life}").into_bytes()
}

fn say(cluster: &mut Cluster, (member, life, said): Statement) {
    // The accuser is somebody whom nobody knows, so that nobody's word weighs more than once.
    let accuse = |kind, from| accusation(kind, member, from, life);
    let alive = |at| encoded(&Message::Alive(of_life(member, life, at)));
    let packet = match said {
        Said::Alive => alive(addr(member)),
        Said::Elsewhere => alive(addr(member + 50)),
        Said::Suspect => accuse(Accuse::Suspect, 9),
        Said::Dead => accuse(Accuse::Dead, 9),
        Said::Left => accuse(Accuse::Dead, member),
        Said::Listed(state) => {
            let alive = of_life(member, life, addr(member));
            return list(cluster, &[NodeState { alive, state }]);
        }
    };
    cluster.hear(0, 9, &packet);
}

/// A peer's half of an exchange.
fn list(cluster: &mut Cluster, members: &[NodeState<'_>]) {
    let mut bytes = Vec::new();
    let nodes = u32::try_from(members.len()).unwrap();
    PushPullHeader { nodes, user_state_len: 0, join: false }.encode(&mut bytes).unwrap();
    for member in members {
        member.encode(&mut bytes).unwrap();
    }
    let (stream, heard) = cluster.hear_stream(0, &bytes);
    heard.unwrap();
    // The peer has heard enough.
    let _ = cluster.act(0, |node, now| node.handle_stream(now, stream, StreamInput::Failed));
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    badness: Badness,
    incarnation: Incarnation,
    addr: SocketAddr,
    /// Of whom nobody accuses.
    meta: Option<Vec<u8>>,
}

fn view(cluster: &Cluster) -> Vec<Seen> {
    let of = |member| {
        let member = cluster.node(0).member(util::name(member).as_bytes()).unwrap();
        let badness = match member.state {
            MemberState::Alive => Badness::Alive,
            MemberState::Suspect => Badness::Suspect,
            MemberState::Dead | MemberState::Left => Badness::Gone,
        };
        let meta = (badness == Badness::Alive).then(|| member.meta.to_vec());
        Seen { badness, incarnation: member.incarnation, addr: member.addr, meta }
    };
    (1..=MEMBERS).map(of).collect()
}

/// A node that has met all members in their first life, and does nothing by itself.
fn newcomer() -> Cluster {
    let mut cluster = Cluster::new(1, &util::still(Config::lan()));
    for member in 1..=MEMBERS {
        say(&mut cluster, (member, 1, Said::Alive));
    }
    cluster
}

/// Repeats something until it changes nothing any more.
fn settle(cluster: &mut Cluster, mut repeat: impl FnMut(&mut Cluster)) {
    for _ in 0..=3 * LIVES {
        let before = view(cluster);
        repeat(cluster);
        if view(cluster) == before {
            return;
        }
    }
    panic!("statements that are repeated come to an end");
}

/// A node that has heard all these until nothing changed any more.
fn heard(statements: &[Statement]) -> Cluster {
    let mut cluster = newcomer();
    settle(&mut cluster, |cluster| {
        for &statement in statements {
            say(cluster, statement);
        }
    });
    cluster
}

/// One node tells another its view until nothing changes any more.
fn tell(from: &Cluster, to: &mut Cluster) {
    settle(to, |to| {
        for member in 1..=MEMBERS {
            let name = util::name(member);
            let believed = from.node(0).member(name.as_bytes()).unwrap();
            let life = believed.incarnation.0;
            let alive = Alive { meta: blob(believed.meta), ..of_life(member, life, believed.addr) };
            to.hear(0, 9, &encoded(&Message::Alive(alive)));
            match believed.state {
                MemberState::Alive => {}
                MemberState::Suspect => say(to, (member, life, Said::Suspect)),
                MemberState::Dead => say(to, (member, life, Said::Dead)),
                MemberState::Left => say(to, (member, life, Said::Left)),
            }
        }
    });
}

/// What a node ends with that believes what the first says, and then hears the second's view.
fn joined(mut first: Cluster, second: &Cluster) -> Cluster {
    tell(second, &mut first);
    first
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_statements_does_not_matter_in_the_end(
        said in statements(), seed in any::<prop::sample::Index>(),
    ) {
        let expected = view(&heard(&said));
        let mut turned = said.clone();
        turned.rotate_left(seed.index(said.len()));
        prop_assert_eq!(&view(&heard(&turned)), &expected);
        turned.reverse();
        prop_assert_eq!(&view(&heard(&turned)), &expected);
    }

    #[test]
    fn hearing_it_again_in_whatever_part_changes_nothing(
        said in statements(), part in any::<prop::sample::Index>(),
    ) {
        let mut cluster = heard(&said);
        let before = view(&cluster);
        for &statement in said[..part.index(said.len())].iter().chain(&said) {
            say(&mut cluster, statement);
        }
        prop_assert_eq!(view(&cluster), before);
    }

    #[test]
    fn the_last_life_decides_and_in_it_the_worst_that_was_said(said in statements()) {
        let seen = view(&heard(&said));
        for member in 1..=MEMBERS {
            let is_real = |(about, _, said): &&Statement| {
                *about == member && *said != Said::Elsewhere
            };
            let real = || said.iter().filter(is_real);
            let last = real().map(|&(_, life, _)| life).max().unwrap_or(1);
            let of_last = real().filter(|&&(_, life, _)| life == last);
            let badness = of_last.map(|&(.., said)| said.badness()).max().unwrap_or(Badness::Alive);
            let expected = Seen {
                badness,
                incarnation: Incarnation(last),
                addr: addr(member),
                meta: (badness == Badness::Alive).then(|| meta(last)),
            };
            prop_assert_eq!(&seen[member - 1], &expected);
        }
    }

    #[test]
    fn views_may_be_joined_in_any_grouping(
        a in statements(), b in statements(), c in statements(),
    ) {
        let from_the_left = joined(joined(heard(&a), &heard(&b)), &heard(&c));
        let from_the_right = joined(heard(&a), &joined(heard(&b), &heard(&c)));
        prop_assert_eq!(view(&from_the_left), view(&from_the_right));
    }

    #[test]
    fn it_does_not_matter_who_tells_whom(a in statements(), b in statements()) {
        let [one, other] = [
            joined(heard(&a), &heard(&b)),
            joined(heard(&b), &heard(&a)),
        ];
        prop_assert_eq!(view(&one), view(&other));
    }
}
