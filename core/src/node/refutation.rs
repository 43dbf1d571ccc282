//! How this node contradicts what is falsely said about it (protocol page §4.7), and how it does
//! not let itself be kept busy by it.

use core::time::Duration;

use super::{Leaving, Node};
use crate::event::Fact;
use crate::identity::{Incarnation, NodeName};
use crate::time::Instant;

/// The first pause of a node without a gossip tick.
const PAUSE: Duration = Duration::from_millis(200);

/// When this node refuted last, and what came since.
///
/// The first accusation is refuted at once. One that comes within a gossip interval of it waits,
/// and all that come meanwhile are refuted as one; then the pause doubles, up to half of the
/// shortest suspicion, so that even the last word is in time. Who accuses us a thousand times per
/// second costs the cluster one statement in a while.
#[derive(Debug, Default)]
pub(super) struct Refutations {
    quiet_until: Option<Instant>,
    pause: Duration,
    /// The highest incarnation accused in the pause, and by whom.
    accused: Option<(Incarnation, Option<NodeName>)>,
    /// Until when what we stated is not stated again.
    unrepeated_until: Option<Instant>,
}

impl Refutations {
    /// When what came in the pause is refuted.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.quiet_until.filter(|_| self.accused.is_some())
    }

    /// `true` if a refutation may go out now, and the next pause begins.
    fn begin(&mut self, now: Instant, shortest: Duration, longest: Duration) -> bool {
        if self.quiet_until.is_some_and(|until| now < until) {
            return false;
        }
        let flooded = self.accused.take().is_some();
        self.pause = if flooded { self.pause.saturating_mul(2) } else { shortest };
        self.pause = self.pause.min(longest).max(shortest);
        self.quiet_until = Some(now + self.pause);
        true
    }

    fn wait(&mut self, accused: Incarnation, accuser: Option<NodeName>) {
        if self.accused.as_ref().is_none_or(|(highest, _)| *highest < accused) {
            self.accused = Some((accused, accuser));
        }
    }
}

impl Node {
    /// Contradicts a statement about ourselves with an incarnation above the one it was about.
    pub(super) fn refute(&mut self, accused: Incarnation, accuser: Option<NodeName>) {
        if self.leaving != Leaving::No {
            return;
        }
        let shortest = self.params.gossip_interval.unwrap_or(PAUSE);
        let longest = self.suspicion_bounds().min / 2;
        if !self.refutations.begin(self.now, shortest, longest) {
            self.refutations.wait(accused, accuser);
            return;
        }
        let highest = self.incarnation.max(accused);
        // `accused` is below the highest number, so only our own counter could have no successor.
        let Some(next) = highest.0.checked_add(1) else { return };
        self.stats.refutations += 1;
        self.awareness.apply(1);
        self.set_own_incarnation(Incarnation(next));
        self.announce_myself();
        self.tell(Fact::Refuted { accuser, incarnation: Incarnation(next) });
    }

    /// Somebody tells us that it believes us dead in an incarnation that we have left behind: what we
    /// refuted with has not reached it. Where most of those whom we told do not believe such numbers
    /// (see `plausibility`), nobody passes them on, and nobody else would contradict it. So we say it
    /// once more, as rarely as refutations come when they come in floods. And only to somebody who has
    /// just answered us: whoever is deaf would be told for ever.
    pub(super) fn repeat_refutation(&mut self) {
        let quiet = self.refutations.unrepeated_until.is_some_and(|until| self.now < until);
        if quiet || self.leaving != Leaving::No {
            return;
        }
        self.refutations.unrepeated_until = Some(self.now + self.suspicion_bounds().min / 2);
        self.stats.refutations_repeated += 1;
        self.announce_myself();
    }

    /// Refutes what came in the pause.
    pub(super) fn run_refutation(&mut self) {
        let Some((accused, accuser)) = self.refutations.accused.clone() else { return };
        // What else we said meanwhile, new meta for instance, may have contradicted it already.
        if accused >= self.incarnation && self.leaving == Leaving::No {
            self.refute(accused, accuser);
        } else {
            self.refutations.accused = None;
        }
    }
}
