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

    /// The node was called `lag` later than it had asked for.
    pub(super) fn recover_from_pause(&mut self, lag: Duration) {
        self.stats.pauses += 1;
        self.awareness.apply(1);
        if let Some(probe) = &mut self.probe {
            probe.postpone(lag);
        }
        for relay in &mut self.relays {
            relay.postpone(lag);
        }
        self.streams.postpone(lag);
        self.asks.postpone(lag);
        self.postpone_verdicts(lag);
    }

    fn postpone_verdicts(&mut self, lag: Duration) {
        let suspects: Vec<_> = self.table.suspicions().map(|(id, _)| id).collect();
        for id in suspects {
            let Some(suspicion) = self.table.suspicion_mut(id) else { continue };
            suspicion.postpone(lag);
            let deadline = suspicion.deadline();
            self.schedule_verdict(deadline, id);
        }
    }
}
