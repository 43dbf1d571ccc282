//! A node with its sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mio::net::{TcpListener, UdpSocket};
use rumormill::{Datagram, Instant, Node, Output, StreamId};

use crate::tcp::Connection;
use crate::udp::{Datagrams, Sent, UdpPort};

/// One node of the loop.
#[derive(Debug)]
pub(crate) struct Host<S = UdpSocket> {
    pub(crate) node: Node,
    pub(crate) udp: UdpPort<S>,
    pub(crate) listener: TcpListener,
    /// Readiness is edge-triggered: see `UdpPort`.
    pub(crate) is_acceptable: bool,
    /// Accepting failed: wait, and how long next time.
    pub(crate) accept_pause: Option<AcceptPause>,
    pub(crate) connections: BTreeMap<StreamId, Connection>,
    /// When the node wants to be woken.
    pub(crate) wake_at: Option<Instant>,
    /// It was called and has not been drained since.
    pub(crate) is_dirty: bool,
}

/// A pause in accepting, after the system ran out of something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptPause {
    pub(crate) until: Instant,
    pub(crate) pause: std::time::Duration,
}

impl<S: Datagrams> Host<S> {
    pub(crate) fn call<R>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut Node, Instant) -> R,
    ) -> R {
        self.is_dirty = true;
        call(&mut self.node, now)
    }

    /// Whether the node was called and can be asked for outputs: not while a datagram waits for
    /// room.
    pub(crate) fn wants_drain(&self) -> bool {
        self.is_dirty && !self.udp.is_blocked()
    }

    /// The node's next output, with datagrams sent already; `None` while the socket is full.
    pub(crate) fn next_output(
        &mut self,
        out: &mut [u8],
        stats: &mut RuntimeStats,
        on_datagram: impl FnOnce(SocketAddr, usize, &Datagram),
    ) -> Option<Output> {
        if self.udp.is_blocked() {
            return None;
        }
        let output = self.node.poll_output(out);
        match output {
            Output::Send { to, len } => {
                on_datagram(to, len, self.node.last_datagram());
                stats.count(self.udp.send(to, &out[..len]));
            }
            Output::Timer(wake_at) => {
                self.wake_at = wake_at;
                self.is_dirty = false;
            }
            _ => {}
        }
        Some(output)
    }

    /// The socket may have room again.
    pub(crate) fn on_writable(&mut self, stats: &mut RuntimeStats) {
        if let Some(outcome) = self.udp.retry() {
            stats.count(outcome);
            self.is_dirty |= outcome != Sent::Retained;
        }
    }

    /// Whether a turn could get further here without waiting.
    pub(crate) fn has_work(&self) -> bool {
        self.udp.is_readable()
            || (self.is_acceptable && self.accept_pause.is_none())
            || self.wants_drain()
            || self.connections.values().any(Connection::has_work)
    }
}

/// What the loop counts beside what its nodes count. I/O errors after the start are here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeStats {
    /// Datagrams that met a full socket buffer and waited.
    pub datagrams_retained: u64,
    /// Datagrams that the system refused to send.
    pub datagrams_refused: u64,
    /// Errors while receiving datagrams.
    pub receive_errors: u64,
    /// Errors while accepting streams.
    pub accept_errors: u64,
    /// Streams accepted and hung up at once, because the node holds as many as it may.
    pub streams_hung_up: u64,
    /// Streams that could not be opened.
    pub connect_errors: u64,
    /// Turns of the loop.
    pub turns: u64,
}

impl RuntimeStats {
    fn count(&mut self, outcome: Sent) {
        match outcome {
            Sent::Taken => {}
            Sent::Retained => self.datagrams_retained += 1,
            Sent::Refused => self.datagrams_refused += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::time::Duration;

    use rumormill::{BootEpoch, Channel, Config, Identity, Incarnation, Mode, NodeName, Params};

    /// A network that has room for some datagrams and then is full.
    #[derive(Default)]
    struct Narrow {
        room: Cell<usize>,
        sent: RefCell<Vec<Vec<u8>>>,
    }

    impl Datagrams for Narrow {
        fn send(&self, bytes: &[u8], _: SocketAddr) -> io::Result<usize> {
            if self.room.get() == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room.set(self.room.get() - 1);
            self.sent.borrow_mut().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn receive(&self, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// A node with four neighbours, behind a network with room for `room` datagrams.
    fn host(room: usize) -> Host<Narrow> {
        let config = Config {
            rumor_mode: Mode::Matching,
            neighbors: (2..6).map(addr).collect(),
            probe_interval: None,
            ..Config::lan()
        };
        let identity = Identity {
            name: NodeName::new("me").unwrap(),
            addr: addr(1),
            incarnation: Incarnation(1),
            boot_epoch: BootEpoch(1),
        };
        let params = Params::try_from(config).unwrap();
        let mut node = Node::new(Instant::ZERO, identity, params, [1; 32]);
        for port in 2..6 {
            node.handle_packet(Instant::ZERO, addr(port), &alive(port)).unwrap();
        }
        let narrow = Narrow { room: Cell::new(room), ..Narrow::default() };
        Host {
            node,
            udp: UdpPort::new(narrow, addr(1)),
            listener: TcpListener::bind(addr(0)).unwrap(),
            is_acceptable: false,
            accept_pause: None,
            connections: BTreeMap::new(),
            wake_at: None,
            is_dirty: true,
        }
    }

    fn alive(port: u16) -> Vec<u8> {
        use rumormill::wire::message::{Alive, Message, NodeAddr};
        use rumormill::wire::msgpack::Blob;
        let (name, addr) = (format!("node-{port}"), NodeAddr::from(addr(port)));
        let advert = rumormill::wire::tags::Advert {
            capabilities: rumormill::wire::tags::CAPABILITY_ENVELOPE,
            epoch: BootEpoch(port.into()),
            zone: 0,
        };
        let alive = Alive {
            incarnation: Incarnation(1),
            node: name.as_bytes().into(),
            addr: addr.ip_bytes().into(),
            port,
            meta: Blob::Collected(advert.add_to(b"").unwrap()),
            vsn: (&[1, 5, 2, 0, 0, 0][..]).into(),
        };
        let mut bytes = Vec::new();
        Message::Alive(alive).encode(&mut bytes).unwrap();
        bytes
    }

    /// Drains until the node sleeps or the network is full; the number of events told.
    fn drain(host: &mut Host<Narrow>, stats: &mut RuntimeStats) -> usize {
        let (mut out, mut events) = (vec![0; 1_400], 0);
        while let Some(output) = host.next_output(&mut out, stats, |_, _, _| ()) {
            match output {
                Output::Event(_) => events += 1,
                Output::Timer(_) => break,
                _ => {}
            }
        }
        events
    }

    /// The same run behind a network of any width: what is sent and told is the same.
    #[test]
    fn a_full_socket_buffer_loses_no_state() {
        let run = |room: usize| {
            let (mut host, mut stats) = (host(room), RuntimeStats::default());
            let mut events = drain(&mut host, &mut stats);
            let mut now = Instant::ZERO;
            for round in 0..40 {
                now += Duration::from_millis(200);
                host.call(now, Node::handle_tick);
                if round == 3 {
                    host.call(now, |node, now| node.broadcast(now, Channel(1), b"news")).unwrap();
                }
                events += drain(&mut host, &mut stats);
                // Room comes back one datagram at a time.
                while host.is_dirty {
                    assert!(host.udp.is_blocked(), "only a full socket keeps a node waiting");
                    host.udp.socket_mut().room.set(room);
                    host.on_writable(&mut stats);
                    events += drain(&mut host, &mut stats);
                }
                host.udp.socket_mut().room.set(room);
            }
            let sent = host.udp.socket_mut().sent.take();
            assert_eq!(sent.len() as u64, host.node.stats().packets_sent, "none was lost");
            assert_eq!(host.node.stats().outbox_overflows, 0);
            (sent, events, host.node.stats().clone(), stats.datagrams_retained)
        };
        let (sent, events, counted, retained) = run(usize::MAX);
        assert_eq!(retained, 0);
        assert!(sent.len() >= 8 && events >= 5, "there was something to lose");
        for room in [1, 2, 3] {
            let (narrow_sent, narrow_events, narrow_counted, retained) = run(room);
            assert!(retained > 0, "the buffer was full at times");
            assert_eq!(narrow_sent, sent);
            assert_eq!(narrow_events, events);
            assert_eq!(narrow_counted, counted);
        }
    }
}
