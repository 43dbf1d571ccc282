//! What a view makes of statements does not depend on how they come.
//!
//! memberlist's precedence alone is not commutative: an accusation of somebody who is dead already says
//! nothing, also if it is of a later life (protocol page §4.5-4.6). But statements are repeated, by
//! gossip and by exchanges of state; what they come to, once nothing changes any more, is the same
//! in every order, grouping and number of repetitions.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use proptest::prelude::*;
use rumormill::{Config, Incarnation, MemberState};
use util::{Accuse, Cluster, accusation, alive};

const MEMBERS: usize = 3;
const LIVES: u32 = 3;

#[derive(Clone, Copy, Debug)]
enum Said {
    Alive,
    Suspect,
    Dead,
}

/// Something about a member in one of its lives.
type Statement = (usize, u32, Said);

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    let said = prop_oneof![Just(Said::Alive), Just(Said::Suspect), Just(Said::Dead)];
    prop::collection::vec((1..=MEMBERS, 1..=LIVES, said), 1..12).prop_map(|mut all| {
        // Who is accused of something has lived: nobody can be accused of what it never stated.
        let lives: Vec<Statement> =
            all.iter().map(|&(member, life, _)| (member, life, Said::Alive)).collect();
        all.extend(lives);
        all
    })
}

/// An order of so many things.
fn order() -> impl Strategy<Value = Vec<Statement>> {
    statements().prop_shuffle()
}

fn bytes((member, life, said): Statement) -> Vec<u8> {
    // The accuser is somebody whom nobody knows, so that nobody's word weighs more than once.
    match said {
        Said::Alive => alive(member, |alive| alive.incarnation = Incarnation(life)),
        Said::Suspect => accusation(Accuse::Suspect, member, 9, life),
        Said::Dead => accusation(Accuse::Dead, member, 9, life),
    }
}

type View = Vec<Option<(MemberState, Incarnation)>>;

fn hear(cluster: &mut Cluster, statements: &[Statement]) {
    for &statement in statements {
        cluster.hear(0, 9, &bytes(statement));
    }
}

fn view(cluster: &Cluster) -> View {
    let of = |member| {
        let member = cluster.node(0).member(util::name(member).as_bytes())?;
        Some((member.state, member.incarnation))
    };
    (1..=MEMBERS).map(of).collect()
}

/// Repeats all until nothing changes any more.
fn settle(statements: &[Statement]) -> (Cluster, View) {
    let mut cluster = Cluster::new(1, &util::still(Config::lan()));
    let mut before = None;
    for _ in 0..=2 * LIVES {
        hear(&mut cluster, statements);
        let now = view(&cluster);
        if before.as_ref() == Some(&now) {
            return (cluster, now);
        }
        before = Some(now);
    }
    panic!("statements that are repeated come to an end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_statements_does_not_matter_in_the_end(said in order(), seed in any::<prop::sample::Index>()) {
        let (_, view) = settle(&said);
        let mut turned = said.clone();
        turned.rotate_left(seed.index(said.len()));
        prop_assert_eq!(&settle(&turned).1, &view);
        turned.reverse();
        prop_assert_eq!(&settle(&turned).1, &view);
    }

    #[test]
    fn hearing_it_again_in_whatever_part_changes_nothing(said in order(), part in any::<prop::sample::Index>()) {
        let (mut cluster, view_before) = settle(&said);
        hear(&mut cluster, &said[..part.index(said.len())]);
        hear(&mut cluster, &said);
        prop_assert_eq!(view(&cluster), view_before);
    }

    #[test]
    fn the_last_life_decides_and_in_it_the_worst_that_was_said(said in order()) {
        let (_, view) = settle(&said);
        for member in 1..=MEMBERS {
            let of = || said.iter().filter(|(about, ..)| *about == member);
            let Some(last) = of().map(|&(_, life, _)| life).max() else { continue };
            let worst = of().filter(|&&(_, life, _)| life == last).map(|&(_, _, said)| match said {
                Said::Alive => MemberState::Alive,
                Said::Suspect => MemberState::Suspect,
                Said::Dead => MemberState::Dead,
            });
            prop_assert_eq!(view[member - 1], worst.max().map(|state| (state, Incarnation(last))));
        }
    }
}
