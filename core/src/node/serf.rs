//! A goodbye that Serf's agents understand (protocol page, appendix C).

use alloc::vec::Vec;
use core::time::Duration;

use super::{Leaving, Node};
use crate::identity::Channel;
use crate::rumor::RumorKey;
use crate::time::Instant;
use crate::wire::serf::{LTIME_MAX, put_leave_intent, read_ltime};

/// Longest time that Serf's intent is waited for, before memberlist's own goodbye.
const INTENT_TIMEOUT: Duration = Duration::from_secs(5);

/// What this node knows of Serf.
#[derive(Debug, Default)]
pub(super) struct Serf {
    /// The latest time of the cluster's clock that it heard of.
    ltime: u64,
    /// The intent that goes before the goodbye.
    intent: Option<Intent>,
}

#[derive(Debug)]
struct Intent {
    key: RumorKey,
    until: Instant,
}

impl Serf {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.intent.as_ref().map(|intent| intent.until)
    }
}

impl Node {
    /// A user message or a state came that may be Serf's. What is not is no error: it belongs to
    /// whatever application runs here.
    pub(super) fn hear_serf(&mut self, bytes: &[u8]) {
        if self.params.serf_intents
            && let Ok(Some(ltime)) = read_ltime(bytes)
        {
            self.serf.ltime = self.serf.ltime.max(ltime);
        }
    }

    /// Leaves, in Serf's words first if this node speaks them.
    pub(super) fn say_goodbye(&mut self) {
        if self.leaving != Leaving::No || self.serf.intent.is_some() {
            return;
        }
        if self.params.serf_intents {
            self.serf.intent = self.start_intent();
        }
        if self.serf.intent.is_none() {
            self.begin_leaving();
        }
    }

    fn start_intent(&mut self) -> Option<Intent> {
        // What was heard lies at the limit at most, which has successors.
        debug_assert!(self.serf.ltime <= LTIME_MAX, "higher times are refused");
        let mut bytes = Vec::new();
        put_leave_intent(&mut bytes, self.serf.ltime + 1, self.name.as_bytes()).ok()?;
        let id = self.start_rumor(Channel::BARE, None, &bytes).ok()?;
        Some(Intent { key: id.key(), until: self.now + INTENT_TIMEOUT })
    }

    /// Goes on with memberlist's goodbye when the intent has been sent as often as it should, or
    /// there is nobody to send it to.
    pub(super) fn finish_intent(&mut self) {
        let Some(intent) = &self.serf.intent else { return };
        let waiting = self.rumors.is_waiting(intent.key) && self.table.live() > 1;
        if !waiting || intent.until <= self.now {
            self.serf.intent = None;
            self.begin_leaving();
        }
    }
}
