//! The course of each recent rumour at this node: along which link it came, to which it went, who is
//! known to have it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use super::ShortId;
use super::links::{LinkId, LinkSet};
use crate::time::Instant;

/// Most rumours whose course is kept; of older ones nothing is awaited or repaired any more.
pub(crate) const COURSES_MAX: usize = 4_096;

/// One rumour's course.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) since: Instant,
    pub(crate) tree: u8,
    /// The link it came along; `None` for one of our own, or one that came from elsewhere.
    pub(crate) parent: Option<LinkId>,
    /// It answered a pull, or had at some hop before: no tree brought it yet.
    pub(crate) off_tree: bool,
    /// Since when somebody who is no neighbour was known to have it, if it was not here then.
    pub(crate) far_since: Option<Instant>,
    /// The links that it was sent along, and is to be confirmed by.
    pub(crate) sent: LinkSet,
    /// The links whose other end is known to have it.
    pub(crate) known_by: LinkSet,
    /// The links along which it was asked for.
    pub(crate) asked: LinkSet,
    /// The links along which others asked for it: what they confirm measures no round trip.
    pub(crate) wanted: LinkSet,
    /// Contacts in vain, for the repair.
    pub(crate) contacts: u8,
    /// Its place among those that the repair still talks about.
    hot: Option<u64>,
    stage: Stage,
}

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Done,
    /// Confirmations, until then.
    Sent {
        until: Instant,
    },
    /// The same, asked for once more.
    Asked {
        until: Instant,
    },
}

impl Stage {
    const fn until(self) -> Option<Instant> {
        match self {
            Self::Done => None,
            Self::Sent { until } | Self::Asked { until } => Some(until),
        }
    }
}

/// Links that did not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Ask them.
    First(LinkSet),
    /// They were asked.
    Again(LinkSet),
}

impl Course {
    pub(crate) const fn new(since: Instant, tree: u8) -> Self {
        Self {
            since,
            tree,
            parent: None,
            off_tree: false,
            far_since: None,
            sent: LinkSet::EMPTY,
            known_by: LinkSet::EMPTY,
            asked: LinkSet::EMPTY,
            wanted: LinkSet::EMPTY,
            contacts: 0,
            hot: None,
            stage: Stage::Done,
        }
    }
}

impl Course {
    /// Whether a confirmation along a link would tell its round trip: not if it may answer a second
    /// try, or came after the other end had to ask.
    pub(crate) const fn measures(&self, link: LinkId) -> bool {
        let awaits = self.sent.contains(link) && !self.known_by.contains(link);
        awaits && !self.wanted.contains(link) && matches!(self.stage, Stage::Sent { .. })
    }

    /// The link it came along, if that was so late that it had been asked for along `link`, which
    /// would have brought it earlier.
    pub(crate) fn late_parent(&self, link: LinkId) -> Option<LinkId> {
        let is_late = |parent: &LinkId| !self.asked.contains(*parent);
        self.parent.filter(is_late).filter(|_| self.asked.contains(link))
    }
}

/// The courses of the last rumours.
#[derive(Debug, Default)]
pub(crate) struct Courses {
    courses: BTreeMap<ShortId, Course>,
    order: VecDeque<ShortId>,
    due: BTreeSet<(Instant, ShortId)>,
    /// What the repair still talks about, by the order in which it came.
    hot: BTreeMap<u64, ShortId>,
    /// How many came.
    begun: u64,
}

impl Courses {
    pub(crate) fn get(&self, id: ShortId) -> Option<&Course> {
        self.courses.get(&id)
    }

    /// For everything but what is awaited.
    pub(crate) fn get_mut(&mut self, id: ShortId) -> Option<&mut Course> {
        self.courses.get_mut(&id)
    }

    /// Begins a course; forgets those that are older than `keep`, and the oldest beyond the limit. An id
    /// may come again: what was seen is forgotten some time, and who starts rumours can find two of one
    /// short id. The newer course stands then, and nothing is left of the older.
    pub(crate) fn begin(&mut self, id: ShortId, mut course: Course, keep: Duration) {
        let now = course.since;
        let is_old = |course: &Course| now.saturating_since(course.since) > keep;
        while self.order.front().and_then(|id| self.courses.get(id)).is_some_and(is_old)
            || self.order.len() >= COURSES_MAX
        {
            self.forget_first();
        }
        if self.courses.contains_key(&id) {
            self.order.retain(|&other| other != id);
            self.forget(id);
        }
        self.begun += 1;
        course.hot = Some(self.begun);
        self.courses.insert(id, course);
        self.order.push_back(id);
        self.hot.insert(self.begun, id);
    }

    fn forget_first(&mut self) {
        if let Some(id) = self.order.pop_front() {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: ShortId) {
        self.cool(id);
        if let Some(until) = self.courses.remove(&id).and_then(|course| course.stage.until()) {
            self.due.remove(&(until, id));
        }
    }

    /// Notes that a rumour is sent along these links, which confirm it within a time.
    pub(crate) fn sent(&mut self, id: ShortId, links: LinkSet, until: Instant) {
        let Some(course) = self.courses.get_mut(&id) else { return };
        course.sent = course.sent.or(links);
        self.enter(id, Stage::Sent { until });
    }

    fn enter(&mut self, id: ShortId, stage: Stage) {
        let Some(course) = self.courses.get_mut(&id) else { return };
        if let Some(before) = core::mem::replace(&mut course.stage, stage).until() {
            self.due.remove(&(before, id));
        }
        if let Some(until) = stage.until() {
            self.due.insert((until, id));
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|&(until, _)| until)
    }

    /// The next rumour that was due to be confirmed by now, and by whom it was not.
    pub(crate) fn pop_overdue(&mut self, now: Instant) -> Option<(ShortId, Overdue)> {
        let &(until, id) = self.due.first().filter(|&&(until, _)| until <= now)?;
        // Whatever the course says: what was popped is gone, or whoever pops all would not end.
        self.due.remove(&(until, id));
        let course = self.courses.get(&id)?;
        let missing = course.sent.minus(course.known_by);
        let overdue = match course.stage {
            Stage::Sent { .. } => Overdue::First(missing),
            Stage::Asked { .. } | Stage::Done => Overdue::Again(missing),
        };
        self.enter(id, Stage::Done);
        Some((id, overdue))
    }

    /// Notes that those who did not confirm were asked, and answer within a time.
    pub(crate) fn asked(&mut self, id: ShortId, until: Instant) {
        self.enter(id, Stage::Asked { until });
    }

    /// Nobody could answer for this long: it is given to them.
    pub(crate) fn postpone(&mut self, by: Duration) {
        let due = core::mem::take(&mut self.due);
        for (until, id) in due {
            let Some(course) = self.courses.get_mut(&id) else { continue };
            let until = until + by;
            course.stage = match course.stage {
                Stage::Asked { .. } => Stage::Asked { until },
                Stage::Sent { .. } | Stage::Done => Stage::Sent { until },
            };
            self.due.insert((until, id));
        }
    }

    /// What the repair still talks about, oldest first.
    pub(crate) fn hot(&self) -> impl Iterator<Item = ShortId> {
        self.hot.values().copied()
    }

    /// Talk about it no more.
    pub(crate) fn cool(&mut self, cold: ShortId) {
        let place = self.courses.get_mut(&cold).and_then(|course| course.hot.take());
        place.and_then(|place| self.hot.remove(&place));
    }

    /// Talk no more about what came more than `keep` ago.
    pub(crate) fn cool_the_old(&mut self, now: Instant, keep: Duration) {
        let is_old = |course: &Course| now.saturating_since(course.since) > keep;
        while let Some((_, &id)) = self.hot.first_key_value()
            && self.courses.get(&id).is_some_and(is_old)
        {
            self.cool(id);
        }
    }

    /// The `turn`-th part, of so many, of the rumours that came after a time, newest first; after the
    /// last part comes the first.
    pub(crate) fn part_since(
        &self,
        then: Instant,
        turn: usize,
        len: usize,
    ) -> impl Iterator<Item = ShortId> {
        // They stand in the order in which they came.
        let is_old = |id: &ShortId| self.courses.get(id).is_some_and(|c| c.since < then);
        let young = self.order.partition_point(is_old);
        let parts = (self.order.len() - young).div_ceil(len).max(1);
        self.order.range(young..).rev().skip(turn % parts * len).take(len).copied()
    }

    /// Forgets what was known about places in the list of links that have other ends now.
    pub(crate) fn forget_links(&mut self, links: LinkSet) {
        for course in self.courses.values_mut() {
            course.sent = course.sent.minus(links);
            course.known_by = course.known_by.minus(links);
            course.asked = course.asked.minus(links);
            course.wanted = course.wanted.minus(links);
            course.parent = course.parent.filter(|&parent| !links.contains(parent));
        }
    }

    pub(crate) fn check(&self) {
        assert!(self.courses.len() <= COURSES_MAX, "the courses stay within their number");
        assert_eq!(self.courses.len(), self.order.len(), "every course has its age");
        let awaited = self.courses.values().filter(|c| c.stage.until().is_some()).count();
        assert_eq!(awaited, self.due.len(), "every deadline belongs to a course");
        let is_hot = |(place, id)| self.courses.get(id).and_then(|c| c.hot.as_ref()) == Some(place);
        assert!(self.hot.iter().all(is_hot), "only known rumours are talked about");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::net::SocketAddr;

    const KEEP: Duration = Duration::from_secs(30);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn two_links() -> [LinkId; 2] {
        let addrs = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let links = super::super::links::Links::new(&addrs);
        addrs.map(|addr| links.find(addr).unwrap())
    }

    #[test]
    fn who_does_not_confirm_is_asked_once_and_then_named() {
        let [one, two] = two_links();
        let mut both = LinkSet::EMPTY;
        both.insert(one);
        both.insert(two);
        let mut courses = Courses::default();
        courses.begin(ShortId(1), Course::new(at(0), 0), KEEP);
        courses.sent(ShortId(1), both, at(200));
        assert_eq!((courses.deadline(), courses.pop_overdue(at(199))), (Some(at(200)), None));
        courses.get_mut(ShortId(1)).unwrap().known_by.insert(one);
        let rest = both.without(Some(one));
        assert_eq!(courses.pop_overdue(at(200)), Some((ShortId(1), Overdue::First(rest))));
        courses.asked(ShortId(1), at(400));
        courses.check();
        assert_eq!(courses.pop_overdue(at(400)), Some((ShortId(1), Overdue::Again(rest))));
        assert_eq!(courses.deadline(), None);
        courses.check();
    }

    #[test]
    fn an_id_that_comes_again_begins_anew_and_nothing_of_before_is_awaited() {
        let [one, two] = two_links().map(|link| {
            let mut only = LinkSet::EMPTY;
            only.insert(link);
            only
        });
        let mut courses = Courses::default();
        courses.begin(ShortId(7), Course::new(at(0), 0), KEEP);
        courses.begin(ShortId(8), Course::new(at(1), 0), KEEP);
        courses.sent(ShortId(7), one, at(200));
        courses.begin(ShortId(7), Course::new(at(2), 3), KEEP);
        courses.check();
        assert_eq!((courses.deadline(), courses.get(ShortId(7)).unwrap().tree), (None, 3));
        assert!(courses.hot().eq([ShortId(8), ShortId(7)]));
        assert!(courses.part_since(at(2), 0, 9).eq([ShortId(7)]));
        courses.sent(ShortId(7), two, at(210));
        assert_eq!(courses.pop_overdue(at(999)), Some((ShortId(7), Overdue::First(two))));
        assert_eq!(courses.pop_overdue(at(999)), None);
        courses.check();
    }

    #[test]
    fn courses_are_bounded_by_number_and_age() {
        let mut courses = Courses::default();
        for id in 0..COURSES_MAX as u64 + 10 {
            courses.begin(ShortId(id), Course::new(at(0), 0), KEEP);
            courses.sent(ShortId(id), LinkSet::EMPTY, at(200));
        }
        courses.check();
        assert!(courses.get(ShortId(9)).is_none() && courses.get(ShortId(10)).is_some());
        courses.begin(ShortId(u64::MAX), Course::new(at(30_001), 0), KEEP);
        courses.check();
        assert_eq!(courses.hot().count(), 1);
    }

    #[test]
    fn the_lost_time_is_given_to_whom_it_was_lost_for() {
        let mut courses = Courses::default();
        courses.begin(ShortId(1), Course::new(at(0), 0), KEEP);
        courses.sent(ShortId(1), LinkSet::EMPTY, at(200));
        courses.postpone(Duration::from_secs(5));
        courses.check();
        assert_eq!(courses.deadline(), Some(at(5_200)));
    }

    #[test]
    fn what_cooled_is_talked_about_no_more_and_the_young_are_found() {
        let mut courses = Courses::default();
        for id in 1..=3 {
            courses.begin(ShortId(id), Course::new(at(id * 100), 0), KEEP);
        }
        courses.cool(ShortId(2));
        assert!(courses.hot().eq([ShortId(1), ShortId(3)]));
        assert!(courses.part_since(at(200), 0, 9).eq([ShortId(3), ShortId(2)]));
        let part = |turn| courses.part_since(at(100), turn, 2).collect::<Vec<_>>();
        assert_eq!(part(0), [ShortId(3), ShortId(2)]);
        assert_eq!((part(1), part(2)), (Vec::from([ShortId(1)]), part(0)));
        assert_eq!(courses.part_since(at(301), 7, 2).count(), 0);
        courses.cool_the_old(at(30_100), KEEP);
        assert_eq!(courses.hot().count(), 2, "30 s old, not more");
        courses.cool_the_old(at(30_101), KEEP);
        assert!(courses.hot().eq([ShortId(3)]));
        courses.check();
    }
}
