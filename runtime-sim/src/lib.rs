//! A deterministic world for Rumormill nodes.
//!
//! Real nodes of the core run here, on real bytes, in virtual time: no thread, no clock, no socket.
//! One queue holds everything that is going to happen, ordered by time and then by the order in
//! which it was planned; one seed is the only source of chance. So the same seed and the same calls
//! give the same run, on every platform and in every build, and a run is named by its
//! [`hash`](World::hash).
//!
//! | module | says |
//! |---|---|
//! | [`world`] | the queue, the processes, streams |
//! | [`network`] | what links do to datagrams |
//! | [`chance`] | the seed and its children |
//! | [`check`] | what must always hold, seen from outside |
//! | [`trace`] | the running hash, and lines for people |
//! | [`scenario`] | a whole configuration drawn from a seed, and what must hold in it |
//! | [`swarm`] | many seeds, added up |
//! | [`fields`] | what fails in the field, as runs |
//! | [`crowd`] | a large cluster: how it forms, what everybody hears |
//!
//! # A first world
//!
//! ```
//! use core::time::Duration;
//! use rumormill::{Config, Params};
//! use rumormill_sim::{Latency, Network, Silent, Spawn, World};
//!
//! let network = Network { latency: Latency::Uniform(Duration::from_millis(1)), ..Network::default() };
//! let mut world = World::new(7, network);
//! let params = Params::try_from(Config::lan())?;
//! let a = world.spawn(Spawn::numbered(0, params.clone()), Silent);
//! let b = world.spawn(Spawn::numbered(1, params), Silent);
//! let seed = world.addr(a);
//! world.act(b, |ctl, _| ctl.act(|node, now| node.join(now, &[seed])));
//! let met = world.run_until(Duration::from_secs(5), |world| {
//!     world.node(a).is_some_and(|node| node.live_members() == 2)
//! });
//! assert!(met);
//! # Ok::<(), rumormill::ConfigError>(())
//! ```
//!
//! # Replaying
//!
//! `sim run --seed S` draws a whole configuration, prints it, runs it, and prints the hash. The same
//! version with the same seed prints the same hash; `--trace FILE` writes one line per step, so that
//! the first difference of two versions can be found with `diff`. `sim swarm --seeds N` runs many, and
//! says which of them to run again.

pub mod chance;
pub mod check;
pub mod crowd;
pub mod fields;
pub mod mutants;
pub mod network;
pub mod scenario;
pub mod swarm;
pub mod trace;
pub mod world;

pub use chance::{Chance, Ratio};
pub use network::{Latency, Network, Streams};
pub use trace::{Hash, Tracer};
pub use world::{
    App, Bandwidth, Clock, Ctl, Link, ProcessId, Silent, Spawn, Unwatched, Watch, World, WorldStats,
};
