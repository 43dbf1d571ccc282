//! Rumormill nodes on real sockets: one thread, one [`mio::Poll`], UDP and TCP, IPv4 and IPv6.
//!
//! A [`Runtime`] drives any number of nodes beside one application. Sockets, timers and the
//! application share the thread, so there are no locks and no races; other threads talk to it
//! through a [`Handle`].
//!
//! ```no_run
//! use rumormill::{Config, Event, NodeName, Params};
//! use rumormill_mio::{App, Ctl, NodeKey, NodeOptions, Runtime};
//!
//! struct Print;
//!
//! impl App for Print {
//!     type Command = ();
//!
//!     fn on_event(&mut self, _: &mut Ctl<'_>, _: NodeKey, event: Event) {
//!         println!("{:?}", event.fact);
//!     }
//!
//!     fn on_command(&mut self, ctl: &mut Ctl<'_>, (): ()) {
//!         ctl.stop();
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut runtime, _handle) = Runtime::new(Print)?;
//! let params = Params::try_from(Config::lan())?;
//! let node = runtime.add(NodeOptions::new(NodeName::new("a")?, "0.0.0.0:7946".parse()?, params))?;
//! runtime.act(node, |node, now| node.join(now, &["192.0.2.7:7946".parse().unwrap()]));
//! runtime.run()?;
//! # Ok(()) }
//! ```
//!
//! # Limits per turn
//!
//! A turn reads at most 256 datagrams per node, accepts 32 streams per node, reads 8 pieces of
//! 64 KiB per stream and carries out 256 commands; what is left over is remembered and taken up by
//! the next turn, which then does not wait. So no socket, peer or thread can starve the others.
//!
//! # A full socket buffer
//!
//! The datagram that meets it is retained and sent first when there is room; until then the node
//! is not asked for more. Its news stays in its queues, where a budget is spent only on what was
//! really composed, and its inputs are handled as ever.
//!
//! # Errors
//!
//! [`StartError`] names the fix. After the start, I/O errors are counted in [`RuntimeStats`] and
//! never end the loop: a gossip node outlives its network.

mod app;
mod clock;
mod driver;
mod error;
mod handle;
mod host;
mod socket;
mod tcp;
mod udp;

pub use app::{App, Ctl, NodeKey};
pub use clock::{Clock, entropy, wall_clock};
pub use driver::{NodeOptions, Runtime};
pub use error::StartError;
pub use handle::{COMMANDS_MAX, Handle, HandleError};
pub use host::RuntimeStats;
