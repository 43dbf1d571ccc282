//! Binding: one port for UDP and TCP, IPv4 or IPv6, and the address to tell others.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};

use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::StartError;

/// Receive buffer asked for, as memberlist does; halved until the system grants it.
const RECEIVE_BUFFER: usize = 2 << 20;
/// The smallest receive buffer worth asking for.
const RECEIVE_BUFFER_MIN: usize = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Attempts to find a port that is free for UDP and TCP alike.
const FREE_PORT_ATTEMPTS: usize = 10;

/// The two sockets of a node, on one port.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
    pub(crate) local: SocketAddr,
}

/// Binds UDP and TCP. With port 0, a port that is free for both is found.
pub(crate) fn bind(addr: SocketAddr) -> Result<Sockets, StartError> {
    if addr.port() != 0 {
        return bind_both(addr);
    }
    for _ in 0..FREE_PORT_ATTEMPTS {
        match bind_both(addr) {
            Err(StartError::AddressInUse { .. }) => {}
            result => return result,
        }
    }
    Err(StartError::NoFreePort { addr })
}

fn bind_both(addr: SocketAddr) -> Result<Sockets, StartError> {
    let tcp = bind_tcp(addr).map_err(|error| StartError::bind("TCP", addr, error))?;
    let local = tcp.local_addr().map_err(StartError::system("name the bound port"))?;
    let udp = bind_udp(local).map_err(|error| StartError::bind("UDP", local, error))?;
    Ok(Sockets { udp, tcp, local })
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    prepare(&socket, addr)?;
    // A restart must not wait for the connections of the previous life to be forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, addr)?;
    let mut size = RECEIVE_BUFFER;
    while socket.set_recv_buffer_size(size).is_err() && size > RECEIVE_BUFFER_MIN {
        size /= 2;
    }
    socket.bind(&addr.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn prepare(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        // `[::]` serves both families where the system can; a specific address only its own.
        let only_v6 = !addr.ip().is_unspecified();
        if let Err(error) = socket.set_only_v6(only_v6) {
            tracing::debug!(%error, "this system decides itself whether [::] takes IPv4");
        }
    }
    Ok(())
}

/// The address to tell others: what was asked for, else what was bound, else the address that the
/// system would send from.
pub(crate) fn advertise(
    asked: Option<SocketAddr>,
    bound: SocketAddr,
) -> Result<SocketAddr, StartError> {
    let mut addr = asked.unwrap_or(bound);
    if addr.port() == 0 {
        addr.set_port(bound.port());
    }
    if addr.ip().is_unspecified() {
        if asked.is_some() {
            return Err(StartError::BadAdvertiseAddress { addr });
        }
        addr.set_ip(route_source(addr.ip()).ok_or(StartError::NoAdvertiseAddress)?);
        tracing::info!(%addr, "advertising the address that this host sends from");
    }
    if addr.ip().is_multicast() {
        return Err(StartError::BadAdvertiseAddress { addr });
    }
    Ok(addr)
}

/// The address from which the system would send to the outside. Connecting a UDP socket asks its
/// routing table and sends nothing; the destinations are reserved for documentation.
fn route_source(bound: IpAddr) -> Option<IpAddr> {
    let v4 = || source_towards(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = || {
        let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        source_towards(Ipv6Addr::UNSPECIFIED.into(), documentation.into())
    };
    if bound.is_ipv4() { v4() } else { v6().or_else(v4) }
}

fn source_towards(from: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = StdUdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_unspecified()).then_some(source)
}

/// An address as a socket of this family sends to it: IPv4 through an IPv6 socket is mapped.
pub(crate) fn for_family(to: SocketAddr, local: SocketAddr) -> SocketAddr {
    match (to, local.is_ipv6()) {
        (SocketAddr::V4(v4), true) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        _ => to,
    }
}

/// An address as the core knows it: mapped IPv4 is IPv4.
pub(crate) fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn port_0_finds_one_port_for_both_protocols() {
        let sockets = bind(addr("127.0.0.1:0")).unwrap();
        assert_ne!(sockets.local.port(), 0);
        assert_eq!(sockets.udp.local_addr().unwrap(), sockets.local);
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_its_protocol() {
        let taken = bind(addr("127.0.0.1:0")).unwrap().local;
        let held = StdUdpSocket::bind(taken).unwrap();
        let error = bind(taken).unwrap_err();
        assert!(matches!(error, StartError::AddressInUse { protocol: "UDP", .. }), "{error}");
        drop(held);
        let _held = bind(taken).unwrap();
        let error = bind(taken).unwrap_err();
        assert!(matches!(error, StartError::AddressInUse { protocol: "TCP", .. }), "{error}");
    }

    #[test]
    fn an_address_of_another_host_is_refused_by_name() {
        let error = bind(addr("192.0.2.1:7946")).unwrap_err();
        assert!(matches!(error, StartError::AddressNotLocal { .. }), "{error}");
    }

    #[test]
    fn what_is_advertised_has_an_address_and_a_port() {
        let bound = addr("127.0.0.1:4000");
        assert_eq!(advertise(None, bound).unwrap(), bound);
        assert_eq!(advertise(Some(addr("192.0.2.7:0")), bound).unwrap(), addr("192.0.2.7:4000"));
        assert_eq!(advertise(Some(addr("192.0.2.7:9")), bound).unwrap(), addr("192.0.2.7:9"));
        for bad in ["0.0.0.0:1", "[::]:1", "224.0.0.1:1"] {
            let refused = advertise(Some(addr(bad)), bound);
            assert!(matches!(refused, Err(StartError::BadAdvertiseAddress { .. })), "{bad}");
        }
        if let Ok(found) = advertise(None, addr("0.0.0.0:4000")) {
            assert!(!found.ip().is_unspecified());
            assert_eq!(found.port(), 4_000);
        }
    }

    #[test]
    fn addresses_cross_families_through_a_dual_stack_socket() {
        let v6 = addr("[::]:1");
        assert_eq!(for_family(addr("127.0.0.1:9"), v6), addr("[::ffff:127.0.0.1]:9"));
        assert_eq!(for_family(addr("127.0.0.1:9"), addr("0.0.0.0:1")), addr("127.0.0.1:9"));
        assert_eq!(canonical(addr("[::ffff:127.0.0.1]:9")), addr("127.0.0.1:9"));
    }
}
