//! What a node does that stood still: its process was suspended, its machine slept, its scheduler
//! was starved.
//!
//! Everything that it waited for had no chance to reach it. Judged by the clock alone, it would
//! condemn everybody at the moment at which it wakes. So all that is under way gets the lost time
//! back, and the node trusts itself less for a while.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;

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
        self.postpone_verdicts(lost);
    }

    fn postpone_verdicts(&mut self, lost: Duration) {
        let suspects: Vec<_> = self.table.suspicions().map(|(id, _)| id).collect();
        for id in suspects {
            let Some(suspicion) = self.table.suspicion_mut(id) else { continue };
            suspicion.postpone(lost);
            let deadline = suspicion.deadline();
            self.schedule_verdict(deadline, id);
        }
    }
}
