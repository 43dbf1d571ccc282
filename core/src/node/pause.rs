//! What a node does that stood still: its process was suspended, its machine slept, its scheduler
//! was starved.
//!
//! Everything that it waited for had no chance to reach it. Judged by the clock alone, it would
//! condemn everybody at the moment at which it wakes. So all that is under way gets the lost time
//! back, and the node trusts itself less for a while.
//!
//! Nor is what it believes, or finds waiting in its socket, of today. Its suspects have been
//! acquitted or buried long ago, and nobody speaks of it any more; so it asks somebody for the state of all,
//! and its suspicions last until the answer can be there. And deaths that are told may be as old as
//! the sleep: until something that it asked after it woke has been answered, which comes behind all that
//! waited, they are suspicions.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use crate::time::Instant;

impl Node {
    /// Whether a delay of the runtime is more than a hiccup: longer than the wait for an ack.
    pub(super) fn is_pause(&self, lag: Duration) -> bool {
        lag >= self.params.probe_timeout
    }

    /// The node was last called `lost` ago and may have stood still from then on, not only since it
    /// should have been called again: what was due just then would be due now, before anything that
    /// has come meanwhile is read.
    pub(super) fn recover_from_pause(&mut self, lost: Duration) {
        self.stats.pauses += 1;
        self.awareness.apply(1);
        self.is_dazed = true;
        let shortest = self.suspicion_bounds().min;
        if lost >= shortest {
            self.ticks.sync_at(self.now);
        }
        if let Some(probe) = &mut self.probe {
            probe.postpone(lost);
        }
        for relay in &mut self.relays {
            relay.postpone(lost);
        }
        self.streams.postpone(lost);
        self.asks.postpone(lost);
        self.overlay.courses.postpone(lost);
        self.overlay.missing.postpone(lost);
        self.postpone_verdicts(lost, self.now + shortest);
    }

    /// Gives suspicions the lost time back, and at least until `earliest`.
    fn postpone_verdicts(&mut self, lost: Duration, earliest: Instant) {
        let suspects: Vec<_> = self.table.suspicions().map(|(id, _)| id).collect();
        for id in suspects {
            let Some(suspicion) = self.table.suspicion_mut(id) else { continue };
            suspicion.postpone(lost.max(earliest.saturating_since(suspicion.deadline())));
            let deadline = suspicion.deadline();
            self.schedule_verdict(deadline, id);
        }
    }
}
