//! Members that speak memberlist only: two of ours bring them what is theirs.

use rumormill::{Channel, Mode};

use crate::cast::{Cast, MS, SECOND, addr, id, seeds};
use crate::graphs::cube;

const PLAIN: usize = 16;

/// Both die at once, and nobody has noticed yet.
#[test]
fn both_proxies_of_a_plain_member_die() {
    for seed in seeds() {
        let mut graph = cube(4);
        graph.push(std::collections::BTreeSet::new());
        let mut cast = Cast::with(seed, graph, |index, config| {
            if index == PLAIN {
                (config.advertise, config.rumor_mode) = (false, Mode::Classic);
            }
        });
        let say = |cast: &mut Cast, origin| {
            let number = cast.say_long(origin, Channel::BARE, 64);
            cast.run(200 * MS);
            number
        };
        for origin in 0..4 {
            say(&mut cast, origin);
        }
        cast.run(5 * SECOND);
        cast.assert_heard(0..4, "by proxy");
        let proxies = cast.world.watch().senders[&addr(PLAIN)].clone();
        assert_eq!(proxies.len(), 2, "seed {seed}");
        for proxy in proxies {
            cast.crash(proxy.index());
        }
        let origin = cast.running().find(|&index| index != PLAIN).unwrap();
        let first = cast.said.len();
        while cast.running().any(|index| cast.node(index).live_members() > 15) {
            say(&mut cast, origin);
            assert!(cast.said.len() < 200, "they are condemned");
        }
        let all = cast.kept(first..cast.said.len());
        cast.assert_repaired(all);
        assert!(cast.world.node(id(PLAIN)).is_some());
        cast.assert_sound();
    }
}
