//! Repair by each policy of rumour mongering, on nodes.

use rumormill::{Epidemic, Exchange, Stop};
use rumormill_sim::Ratio;

use crate::cast::{Cast, MS, SECOND, seeds};
use crate::graphs::{bus, regular};

fn policies() -> impl Iterator<Item = Epidemic> {
    let exchanges = [Exchange::Push, Exchange::Pull, Exchange::PushPull];
    let stops = [Stop::Counter(2), Stop::Coin(3)];
    exchanges.into_iter().flat_map(move |exchange| {
        [true, false].into_iter().flat_map(move |feedback| {
            stops.into_iter().map(move |stop| Epidemic { exchange, feedback, stop })
        })
    })
}

/// A fifth of the datagrams is lost, and digests with them.
#[test]
fn every_policy_repairs_what_loss_left() {
    for (policy, seed) in policies().flat_map(|policy| seeds().map(move |seed| (policy, seed))) {
        println!("{policy:?}");
        let mut cast =
            Cast::with(seed, regular(24, seed), |_, config| config.repair = Some(policy));
        cast.warm(&[0]);
        cast.world.network_mut().loss = Ratio::percent(20);
        let said = cast.talk(&[0], 4 * SECOND, 200 * MS);
        cast.world.network_mut().loss = Ratio::ZERO;
        cast.assert_repaired(said);
        cast.assert_whole(&[0]);
    }
}

/// Where the list is in two parts and there is no floor, digests are the only way across.
#[test]
fn every_policy_carries_over_a_gap() {
    for (policy, seed) in policies().flat_map(|policy| seeds().map(move |seed| (policy, seed))) {
        println!("{policy:?}");
        let mut cast = Cast::with(seed, bus(16), |_, config| {
            (config.repair, config.floor) = (Some(policy), false);
        });
        cast.warm(&[0]);
        cast.crash(8);
        assert!(cast.meet(60 * SECOND));
        let said = cast.talk(&[0], SECOND, 200 * MS);
        cast.assert_repaired(said);
        cast.assert_sound();
    }
}
