//! What other threads hold.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mio::Waker;
use thiserror::Error;

/// Most commands that wait for the loop. More means that the loop is stuck, or asked for more than
/// it can do: the sender is told so.
pub const COMMANDS_MAX: usize = 1_024;

/// A way into the loop from another thread: a bounded queue and a wake-up. Clone it freely.
#[derive(Debug)]
pub struct Handle<C> {
    commands: SyncSender<C>,
    waker: Arc<Waker>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), waker: Arc::clone(&self.waker) }
    }
}

/// A command that did not get in, given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandleError<C> {
    /// As many commands wait as may.
    #[error("the node is overloaded: {COMMANDS_MAX} commands wait")]
    Full(C),
    /// The loop has ended.
    #[error("the node has stopped")]
    Stopped(C),
}

impl<C> Handle<C> {
    pub(crate) fn new(waker: Arc<Waker>) -> (Self, Receiver<C>) {
        let (commands, queue) = sync_channel(COMMANDS_MAX);
        (Self { commands, waker }, queue)
    }

    /// Sends a command to the loop, without waiting.
    ///
    /// # Errors
    ///
    /// [`HandleError`] with the command if the queue is full or the loop has ended.
    pub fn send(&self, command: C) -> Result<(), HandleError<C>> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(command) => HandleError::Full(command),
            TrySendError::Disconnected(command) => HandleError::Stopped(command),
        })?;
        // A failed wake-up is not lost: the loop looks at the queue at every turn, and turns at
        // least as often as its node has something to do.
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "the event loop could not be woken");
        }
        Ok(())
    }
}
