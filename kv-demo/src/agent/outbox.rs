//! What an agent has to say, in order, written by a thread of its own: a pipe that is full blocks
//! nobody but that thread.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::AgentError;
use super::protocol::{self, News};
use crate::node::wall;

/// Lines that may wait to be written. Children say little; so many mean that nobody reads.
const LINES_MAX: usize = 1 << 16;
/// Lines beyond which traces wait: together with their pieces' length, some 256 KB.
const LINES_EASY: usize = 8;

/// The agent's end of its standard output.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    lines: Sender<Item>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// A pong says when it leaves, which is known only then.
    Pong {
        ping: u64,
        received: u64,
    },
}

impl Outbox {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub(super) fn open(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, items) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let write = move || write_all(out, &items, &written);
        std::thread::Builder::new().name("news".to_owned()).spawn(write)?;
        Ok(Self { lines, waiting })
    }

    /// Says something.
    ///
    /// # Errors
    ///
    /// [`AgentError::Unread`] if nobody reads.
    pub(super) fn tell(&self, news: &News) -> Result<(), AgentError> {
        self.put(Item::Line(protocol::line(news)))
    }

    /// Answers a ping. Without an answer the coordinator lacks a measurement, no more.
    pub(super) fn pong(&self, ping: u64, received: u64) {
        let _ = self.put(Item::Pong { ping, received });
    }

    /// Whether there is room for what can wait.
    pub(super) fn is_easy(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < LINES_EASY
    }

    fn put(&self, item: Item) -> Result<(), AgentError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= LINES_MAX {
            return Err(AgentError::Unread);
        }
        self.lines.send(item).map_err(|_| AgentError::Unread)
    }
}

fn write_all(mut out: impl Write, items: &Receiver<Item>, waiting: &AtomicUsize) {
    for item in items {
        let line = match item {
            Item::Line(line) => line,
            Item::Pong { ping, received } => {
                protocol::line(&News::Pong { ping, received, sent: wall().0 })
            }
        };
        // Whoever fills the outbox notices that this thread is gone.
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            return;
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that nobody reads.
    struct Full(Receiver<()>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn traces_wait_and_at_last_everything_is_given_up_when_nobody_reads() {
        let (hold, held) = channel();
        let outbox = Outbox::open(Full(held)).unwrap();
        assert!(outbox.is_easy());
        for line in 0..LINES_MAX {
            assert_eq!(outbox.is_easy(), line < LINES_EASY, "{line}");
            outbox.tell(&News::Dismissed).unwrap();
        }
        assert!(matches!(outbox.tell(&News::Dismissed), Err(AgentError::Unread)));
        drop(hold);
    }

    #[test]
    fn a_closed_pipe_is_noticed() {
        let closed: &'static mut [u8] = &mut [];
        let outbox = Outbox::open(closed).unwrap();
        while outbox.tell(&News::TracesEnd).is_ok() {
            std::thread::yield_now();
        }
    }
}
