//! What must hold for any faults that end.

use core::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use quickcheck::quickcheck;
use rumormill::Mode;
use rumormill_sim::scenario::{Class, Scenario};
use rumormill_sim::{Latency, Network, Ratio, Tracer};

/// Every mode, `ThesisClassic` too, which seeds do not draw: its load grows without end, but the
/// faults here are short.
fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::ThesisClassic),
        Just(Mode::ThesisMatching),
        Just(Mode::Classic),
        Just(Mode::Matching)
    ]
}

/// Small clusters on links that lose up to 30 % for a few seconds.
fn scenarios() -> impl Strategy<Value = Scenario> {
    let numbers = (any::<u64>(), 2..9_usize, modes(), 0..=300_000_u32, 1..6_u64, 0..6_u64);
    (numbers, 0..3_u64, 0..60_u64).prop_map(
        |((seed, nodes, mode, loss, seconds, broadcasts), crashes, delay)| {
            let mut drawn = Scenario::draw(seed);
            drawn.faults.insert(Class::Crash);
            Scenario {
                nodes,
                mode,
                network: Network {
                    latency: Latency::Uniform(Duration::from_millis(delay)),
                    loss: Ratio::per_million(loss),
                    ..drawn.network
                },
                faults_for: Duration::from_secs(seconds),
                crashes,
                broadcasts,
                ..drawn
            }
        },
    )
}

/// The same cases each time: what others show is for `sim swarm` to find, not for whoever changes
/// something else. `PROPTEST_RNG_SEED` draws others; 5000 were well.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_faults_that_end_leave_all_nodes_knowing_the_same_within_the_bound(
        scenario in scenarios(),
    ) {
        let (result, _) = scenario.run(Tracer::default());
        let outcome = result.map_err(|violation| {
            TestCaseError::fail(format!("{violation}\n{scenario}"))
        })?;
        prop_assert!(outcome.healed_after <= scenario.heals_within());
        prop_assert!(outcome.delivered_after <= scenario.heals_within());
    }

    #[test]
    fn any_scenario_replays(scenario in scenarios()) {
        let hash = || scenario.run(Tracer::default()).0.map(|outcome| outcome.hash);
        prop_assert_eq!(hash(), hash());
    }
}

quickcheck! {
    fn links_of_groups_are_symmetric(size: usize, from: u16, to: u16, inside: u16, between: u16) -> bool {
        let millis = |ms: u16| Duration::from_millis(ms.into());
        let (inside, between) = (millis(inside), millis(between));
        let latency = Latency::Groups { size, inside, between };
        latency.between(from.into(), to.into()) == latency.between(to.into(), from.into())
    }
}
