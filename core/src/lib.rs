//! Cluster membership, failure detection and broadcast as one pure state machine, on the wire of
//! hashicorp/memberlist.
//!
//! A [`Node`] knows no socket, no clock, no thread and no source of chance. Bytes, time and wishes
//! go in through a few doors; everything that it wants done comes out of one,
//! [`Node::poll_output`]. Run it on mio with `rumormill-mio`, on an executor, in a simulator, on a
//! microcontroller: it is `no_std` with `alloc`. Two whole members to start from are among its
//! examples: `std_udp.rs` on blocking std sockets, and `tokio/`, a package of its own.
//!
//! # The loop
//!
//! This is all that an embedding does; streams add three more arms (`examples/std_udp.rs`).
//!
//! ```no_run
//! use std::net::UdpSocket;
//! use std::time::{Duration, Instant as Clock};
//! use rumormill::{BootEpoch, Config, Identity, Incarnation, Instant, Node, NodeName, Output, Params};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = UdpSocket::bind("127.0.0.1:7946")?;
//! let start = Clock::now();
//! let now = || Instant::from_micros(start.elapsed().as_micros() as u64);
//! let identity = Identity {
//!     name: NodeName::new("node-a")?,
//!     addr: socket.local_addr()?,
//!     incarnation: Incarnation(1),
//!     boot_epoch: BootEpoch(1), // different at every start
//! };
//! # let seed_from_the_operating_system = [0; 32];
//! let params = Params::try_from(Config::lan())?;
//! let mut node = Node::new(now(), identity, params, seed_from_the_operating_system);
//! let (mut out, mut packet) = (vec![0; 1_400], vec![0; 65_536]);
//! loop {
//!     let wake_at = loop {
//!         match node.poll_output(&mut out) {
//!             Output::Send { to, len } => drop(socket.send_to(&out[..len], to)),
//!             Output::Event(event) => println!("{:?}", event.fact),
//!             Output::Timer(wake_at) => break wake_at,
//!             _ => {} // Connect, Write, Close: join and push/pull need streams
//!         }
//!     };
//!     let wait = wake_at.map(|at| at.saturating_since(now()).max(Duration::from_micros(1)));
//!     socket.set_read_timeout(wait)?;
//!     if let Ok((len, from)) = socket.recv_from(&mut packet) {
//!         let _ = node.handle_packet(now(), from, &packet[..len]);
//!     }
//!     node.handle_tick(now());
//! }
//! # }
//! ```
//!
//! # The contract
//!
//! 1. **Drain.** After any `handle_*` or user call, poll until [`Output::Timer`]; only that reveals
//!    when to wake. Calling the node inside that loop is fine.
//! 2. **The buffer is yours.** It holds at least [`Params::packet_size_max`] bytes, or
//!    `poll_output` panics: the embedder's bug. Contents outside `..len` are unspecified. A larger
//!    buffer makes for larger pieces on streams.
//! 3. **Outputs borrow nothing**, and `now` never goes back: an older `now` is clamped and counted.
//! 4. **No allocation for a packet that teaches nothing new.** A new member or payload allocates
//!    once; an event shares its payload with the queue.
//! 5. **`Err` means refused.** [`PacketError`] says that nothing of the datagram was applied. A bad
//!    message beside good ones is skipped and counted, as memberlist does. Everything dropped has a
//!    counter in [`Stats`]; the caller may ignore every error.
//! 6. **Inputs without draining are legal.** Intents, events, queues and tables have limits; what
//!    overflows is dropped by a documented rule and counted.
//! 7. **Same parameters, seed and inputs, same outputs**, on every platform: no float in a
//!    decision, no `usize` on the wire, no hash order.
//! 8. **Work and memory are bounded by [`Params`]**, never by what a peer claims. Stream ids come
//!    from the node alone.
//!
//! A peer can cause an `Err`; only a bug of ours can panic. Debug builds check the whole state
//! against itself at every drain ([`Node::check_invariants`]).
//!
//! # Culprit and effect
//!
//! | error | whose fault | effect on the node |
//! |---|---|---|
//! | [`PacketError`] | the sender of the datagram | none, counted |
//! | [`StreamError`] | the peer on the stream | the stream is closed, counted; [`StreamError::UnknownStream`]: the embedder's, none |
//! | [`ConfigError`], [`NameError`] | who wrote the configuration | there is no node yet |
//! | [`MetaError`], [`BroadcastError`], [`SendError`] | the application | none |
//!
//! # Time, chance, order
//!
//! [`Instant`] counts microseconds from a start of your choice. Chance is one 32-byte seed: from the
//! operating system for real nodes, fixed for worlds that must replay. Clippy keeps the doors shut:
//! the workspace bans clocks, ambient random numbers and iteration over hash tables.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests cast numbers that they chose")
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod awareness;
mod broadcast;
mod config;
mod epidemic;
mod event;
mod hash;
mod healer;
mod identity;
mod member;
mod node;
mod probe;
mod push_pull;
mod rng;
mod rumor;
mod scale;
mod suspicion;
mod time;
pub mod wire;

pub use config::{Config, ConfigError, Mode, NEIGHBORS_MAX, NETWORKS_MAX, Params, Stagger};
pub use epidemic::{Epidemic, Exchange, Stop};
pub use event::{Delivery, Event, Fact, RemoteMember, Sender, StreamFailure};
pub use identity::{
    AskId, BootEpoch, Channel, Identity, Incarnation, NAME_LEN_MAX, NameError, NodeName, SeqNo,
    StreamId,
};
pub use ipnet::IpNet;
pub use member::{Member, MemberState};
pub use node::{
    ACK_PAYLOAD_MAX, ASK_MEMBERS_MAX, ASK_TIMEOUT, ASKED_JOINS_MAX, AckPayloadTooLong,
    BroadcastError, Cause, Datagram, MetaError, Node, Output, Reach, Said, SendError, Stats,
    StreamInput, Verdict,
};
pub use push_pull::SEEDS_MAX;
pub use rumor::{RumorId, ShortId};
pub use time::Instant;
pub use wire::keyring::{KEYS_MAX, Key, KeyError, Keyring, KeyringError};
pub use wire::packet::PacketError;
pub use wire::stream::StreamError;
