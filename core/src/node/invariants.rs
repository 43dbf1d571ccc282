//! What must hold whenever a node is drained. Debug builds check it at every drain, and so do the
//! simulator and the fuzzers.

use super::{Leaving, Node};
use crate::member::MemberState;

impl Node {
    /// Checks the whole state against itself.
    ///
    /// # Panics
    ///
    /// If anything is inconsistent: a bug of ours, whatever peers sent.
    pub fn check_invariants(&self) {
        self.table.check();
        self.updates.check();
        self.rumors.check();
        self.overlay.check();
        self.outbox.check();
        self.streams.check();
        self.asks.check();
        self.troubles.check();
        let deadlines_max = 2 * self.table.len();
        assert!(self.suspicions.len() <= deadlines_max, "old deadlines of suspicions are bounded");
        let me = self.my_record();
        assert_eq!(me.name, self.name, "our own record carries our name");
        assert_eq!(me.incarnation, self.incarnation, "our own incarnation is the one announced");
        let left = self.leaving != Leaving::No;
        assert_eq!(me.state == MemberState::Left, left, "we are left exactly when we leave");
        assert!(left || me.state == MemberState::Alive, "we never condemn ourselves");
    }
}
