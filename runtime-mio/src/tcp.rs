//! One stream of a node: a connection that reads and writes in pieces.

use std::io::{self, Read as _, Write as _};

use mio::Token;
use mio::net::TcpStream;

/// What a connection found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing to report.
    Waiting,
    /// The connection is open.
    Connected,
    /// All that was to be written has been taken by the system.
    Written,
    /// So many bytes were read.
    Read(usize),
    /// The peer will send no more.
    Closed,
    /// It is broken.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    pub(crate) token: Token,
    is_connecting: bool,
    /// Readiness is edge-triggered: see `UdpPort`.
    is_readable: bool,
    is_writable: bool,
    outgoing: Vec<u8>,
    written: usize,
}

impl Connection {
    /// A connection that was accepted.
    pub(crate) const fn accepted(socket: TcpStream, token: Token) -> Self {
        Self::new(socket, token, false)
    }

    /// A connection that is being made.
    pub(crate) const fn dialled(socket: TcpStream, token: Token) -> Self {
        Self::new(socket, token, true)
    }

    const fn new(socket: TcpStream, token: Token, is_connecting: bool) -> Self {
        Self {
            socket,
            token,
            is_connecting,
            is_readable: false,
            is_writable: false,
            outgoing: Vec::new(),
            written: 0,
        }
    }

    pub(crate) const fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Takes note of what the system reported.
    pub(crate) fn on_ready(&mut self, event: &mio::event::Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Whether a turn could get further here.
    pub(crate) fn has_work(&self) -> bool {
        let writing = self.is_connecting || self.written < self.outgoing.len();
        (self.is_writable && writing) || (self.is_readable && !self.is_connecting)
    }

    /// Takes bytes to be written. The node gives one piece at a time.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        debug_assert!(self.outgoing.is_empty(), "one piece is under way at most");
        self.outgoing.extend_from_slice(bytes);
        // Whether there is room shows when writing is tried.
        self.is_writable = true;
    }

    /// Gets on with connecting or writing.
    pub(crate) fn advance(&mut self) -> Progress {
        if !self.is_writable {
            return Progress::Waiting;
        }
        if self.is_connecting {
            return self.finish_connecting();
        }
        while self.written < self.outgoing.len() {
            match self.socket.write(&self.outgoing[self.written..]) {
                Ok(0) => return Progress::Failed,
                Ok(len) => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_writable = false;
                    return Progress::Waiting;
                }
                Err(_) => return Progress::Failed,
            }
        }
        if self.outgoing.is_empty() {
            return Progress::Waiting;
        }
        self.outgoing.clear();
        self.written = 0;
        Progress::Written
    }

    fn finish_connecting(&mut self) -> Progress {
        if !matches!(self.socket.take_error(), Ok(None)) {
            return Progress::Failed;
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.is_connecting = false;
                Progress::Connected
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                self.is_writable = false;
                Progress::Waiting
            }
            Err(_) => Progress::Failed,
        }
    }

    /// Reads once.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Progress {
        if !self.is_readable || self.is_connecting {
            return Progress::Waiting;
        }
        loop {
            return match self.socket.read(buf) {
                Ok(0) => {
                    self.is_readable = false;
                    Progress::Closed
                }
                Ok(len) => Progress::Read(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    Progress::Waiting
                }
                Err(_) => Progress::Failed,
            };
        }
    }
}
