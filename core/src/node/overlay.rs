//! Rumours along the overlay's links: payloads to eager ones, ids to lazy ones, and what members say
//! about it (Plumtree §3.2-3.5).
//!
//! What a link is to a tree here, and what changes that:
//!
//! | it is | it carries | and becomes |
//! |---|---|---|
//! | eager | payloads | lazy, if a duplicate came along it, its end sends PRUNE, or it lost a swap |
//! | lazy | ids | eager, if its end sends GRAFT, is sent one for what it told of, or won a swap |
//! | silent: an answer did not come in time | ids | lazy, as soon as it is heard; asked for anything, eager |
//! | down: its member is dead, or there is none | nothing | eager when somebody is there (of the list), or lazy (of the floor) |
//!
//! Every live link carries, for every rumour, either its payload or its id, both ways: an id back
//! along the link that brought a payload confirms it. Who does not confirm is asked once and then
//! passed over until it is heard again; who is told an id and gets no payload asks for it. Of rumours that
//! come late, who was quiet gets one payload, and only ids until it is heard.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use smallvec::SmallVec;

use super::outbox::Intent;
use super::repair::Breadth;
use super::supply::OffTree;
use super::{Leaving, Node};
use crate::config::Mode;
use crate::event::Fact;
use crate::member::{MemberId, Record};
use crate::rumor::controls::{Due, Pending, Urge, Waiting};
use crate::rumor::course::{Course, Overdue};
use crate::rumor::links::{Kind, Late, Link, LinkId, LinkSet};
use crate::rumor::missing::{Distance, Rumored};
use crate::rumor::shares::Room;
use crate::rumor::trees::Trees;
use crate::rumor::{Arrival, Rumor, RumorId, ShortId, Source, floor};
use crate::time::Instant;
use crate::wire::control::{Announced, Branch, Control, Entries};

/// Payloads longer than this are worth a message that saves one.
const IDONTWANT_FROM: usize = 1_000;

/// A link is the faster way if it would have brought a rumour so much earlier, or a fifth of its
/// round trip: less is noise.
const SWAP_MARGIN: Duration = Duration::from_millis(10);

/// Trees pass rumours on at once. One that lay somewhere for so long before it came had to be asked for: some
/// members around here are dead.
const LATE: Duration = Duration::from_millis(100);

/// Longest that a rumour may take along one link and still be taken for what it says of its age.
const LINK_TAKES_MAX: Duration = Duration::from_millis(300);

/// What a confirmation says of the tree of a rumour that has no course here. Who gets it knows better.
const TREE_UNKNOWN: u8 = 0;

/// What to wait for a payload that does not come unasked, most often over a stream; as long a request waits.
pub(super) const FETCH_WITHIN: Duration = Duration::from_secs(2);

/// What a tree is given at least where no tick tells a measure.
const PATIENCE_WITHOUT_TICK: Duration = Duration::from_millis(250);

/// How a copy of a rumour came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Came {
    link: Option<LinkId>,
    off_tree: bool,
}

impl Node {
    /// Whether rumours follow links at once here.
    pub(super) fn has_overlay(&self) -> bool {
        self.params.rumor_mode == Mode::Matching
    }

    /// Whether links are pruned to trees here.
    pub(super) fn has_trees(&self) -> bool {
        self.has_overlay() && self.params.prune
    }

    pub(super) fn how_it_came(&self, arrival: &Arrival<'_>) -> Came {
        if !self.has_overlay() {
            return Came::default();
        }
        // What came over a stream was asked for.
        let asked = || self.overlay.missing.asked(arrival.key.short());
        let link = self.overlay.links.find(arrival.from);
        let link = link.or_else(|| self.overlay.links.find(asked()?));
        // A bare copy cannot say that it belongs to no tree, so whoever asked for it must know.
        let answers = matches!(arrival.source, Source::Content)
            && self.overlay.missing.answers_off_tree(arrival.key.short(), arrival.from);
        Came { link, off_tree: arrival.off_tree || answers }
    }

    /// The live links to members that take part.
    fn overlay_links(&self) -> LinkSet {
        let mut ours = self.overlay.links.live(&self.table, self.me);
        for link in ours.iter() {
            let member = self.overlay.links.member(link, &self.table, self.me);
            let record = member.and_then(|id| self.table.get(id));
            if !record.is_some_and(Record::takes_envelopes) {
                ours.remove(link);
            }
        }
        ours
    }

    /// Begins the course of a rumour that is new here.
    pub(super) fn begin_course(&mut self, rumor: &Rumor, came: Came) {
        let id = rumor.key.short();
        let tree = Trees::of(&rumor.id, self.params.trees);
        let mut course = Course::new(self.now, tree);
        course.parent = came.link;
        course.off_tree = came.off_tree;
        if let Some(link) = came.link {
            self.hear(link);
            course.known_by.insert(link);
        }
        course.known_by = course.known_by.or(self.overlay.take_unwanted(id));
        if let Some(missing) = self.overlay.missing.remove(id) {
            for holder in missing.holders() {
                let Some(link) = self.overlay.links.find(holder.addr) else { continue };
                // It needs no copy, even if its link carries payloads from now on.
                course.known_by.insert(link);
                if holder.was_asked() && holder.distance != Distance::Far {
                    course.asked.insert(link);
                }
            }
            // Who names a rumour before it exists makes no tree look slow, and no other way fast.
            let born = self.begun_after(rumor);
            course.far_since = missing.far_since().map(|since| since.max(born));
            let first = missing.first_near().map(|near| (near.addr, near.since.max(born)));
            if let (Some((addr, since)), Some(_), false) = (first, came.link, came.off_tree) {
                self.consider_swap(tree, id, came, addr, self.now.saturating_since(since));
            }
        }
        if came.link.is_some() && !came.off_tree {
            self.learn_lag(tree, course.far_since);
        }
        let keep = self.params.payload_cache_for;
        self.overlay.courses.begin(id, course, keep);
    }

    /// When a rumour that comes now was not there yet: it tells how long it lay on its way, and links are
    /// given [`LINK_TAKES_MAX`] each. What came bare tells nothing.
    fn begun_after(&self, rumor: &Rumor) -> Instant {
        if matches!(rumor.id, RumorId::Content(_)) {
            return Instant::ZERO;
        }
        let lay = Duration::from_millis(rumor.age_ms.into());
        self.now.before(lay + LINK_TAKES_MAX * u32::from(rumor.hop))
    }

    fn learn_lag(&mut self, tree: u8, far_since: Option<Instant>) {
        let lag = far_since.map_or(Duration::ZERO, |since| self.now.saturating_since(since));
        self.overlay.patience.learn(tree, lag);
    }

    /// Takes the link to `addr` into a tree, for the one that the rumour came along, if it would have
    /// brought it so much earlier. If the word about it is lost, the next id along it asks.
    fn consider_swap(
        &mut self,
        tree: u8,
        id: ShortId,
        came: Came,
        addr: SocketAddr,
        gain: Duration,
    ) {
        let Some(better) = self.overlay.links.find(addr) else { return };
        let margin = self.overlay.links.get(better).and_then(Link::rtt);
        let margin = margin.map_or(SWAP_MARGIN, |rtt| (rtt / 5).max(SWAP_MARGIN));
        let statics = self.overlay.links.statics();
        if came.link == Some(better)
            || gain <= margin
            || !self.overlay.trees.may_swap(self.now, tree, better)
            || !self.overlay.trees.graft(tree, better, statics)
        {
            return;
        }
        self.overlay.stir(tree);
        self.stats.swaps += 1;
        // Untold, the next id along it does the same.
        self.tell_now(addr, |pending| pending.swaps.push((tree, id)));
        if let Some(worse) = came.link {
            self.prune(tree, worse);
        }
    }

    /// A copy of a rumour that is known.
    pub(super) fn on_duplicate(&mut self, id: ShortId, came: Came) {
        let Some(link) = came.link else { return };
        self.hear(link);
        let has_trees = self.has_trees();
        let Some(course) = self.overlay.courses.get_mut(id) else {
            // Its course has the other form's id, if it came bare before, or is forgotten: whoever sent
            // it waits for a word all the same, and would take the link for a dead one.
            if has_trees {
                self.confirm(id, TREE_UNKNOWN, link);
            }
            return;
        };
        course.known_by.insert(link);
        let tree = course.tree;
        if !has_trees || came.off_tree {
            return;
        }
        if course.off_tree {
            self.on_passed(id, link);
        } else if course.parent != Some(link) {
            // Twice from the parent is the network's doing, or an answer to asking twice.
            let late = course.late_parent(link);
            if late.is_some() {
                course.parent = Some(link);
            }
            self.prune(tree, late.unwrap_or(link));
        }
        self.confirm(id, tree, link);
    }

    /// The tree brings, or would bring, what came from elsewhere before: it was only slower than
    /// repair. Those behind hear so too, so that all learn how long the tree takes.
    fn on_passed(&mut self, id: ShortId, link: LinkId) {
        let Some(course) = self.overlay.courses.get_mut(id).filter(|course| course.off_tree) else {
            return;
        };
        (course.parent, course.off_tree) = (Some(link), false);
        let course = *course;
        self.learn_lag(course.tree, course.far_since.or(Some(course.since)));
        let eager = self.overlay.eager(course.tree).without(Some(link));
        for child in eager.and(course.known_by).iter() {
            self.announce(child, id, course.tree, Urge::Pass);
        }
    }

    fn prune(&mut self, tree: u8, link: LinkId) {
        let statics = self.overlay.links.statics();
        self.overlay.trees.prune(self.now, tree, link, statics);
        self.overlay.stir(tree);
        let Some(addr) = self.overlay.links.get(link).map(|link| link.addr) else { return };
        let is_told = self.tell_now(addr, |pending| pending.prunes.push(tree));
        self.stats.prunes_sent += u64::from(is_told);
    }

    /// Tells the other end of a link that a rumour is here.
    fn confirm(&mut self, id: ShortId, tree: u8, link: LinkId) {
        self.announce(link, id, tree, Urge::Confirm);
    }

    fn announce(&mut self, link: LinkId, id: ShortId, tree: u8, urge: Urge) {
        let Some(addr) = self.overlay.links.get(link).map(|link| link.addr) else { return };
        let waiting = Waiting { id, tree, since: self.now, urge };
        let due = self.overlay.controls.announce(addr, waiting);
        self.intend_control(addr, due);
    }

    /// Tells something that cannot wait; `false`: too much waits already.
    pub(super) fn tell_now(&mut self, to: SocketAddr, add: impl FnOnce(&mut Pending)) -> bool {
        let due = self.overlay.controls.urgent(to, add);
        self.intend_control(to, due);
        matches!(due, Due::Now | Due::Later)
    }

    fn intend_control(&mut self, to: SocketAddr, due: Due) {
        match due {
            Due::Now => self.intend_talk(to),
            Due::Later => {}
            Due::Dropped => self.stats.controls_dropped += 1,
            Due::Spent => self.stats.shares_spent += 1,
        }
    }

    fn intend_talk(&mut self, to: SocketAddr) {
        if !self.intend(Intent::Control { to }) {
            self.overlay.controls.postpone(to, self.now);
        }
    }

    /// Sends a rumour along the links, and its id along the others.
    pub(super) fn spread_along_links(&mut self, rumor: &Arc<Rumor>, from: Option<MemberId>) {
        let id = rumor.key.short();
        let Some(&course) = self.overlay.courses.get(id) else { return };
        let live = self.overlay_links();
        let targets = live.without(course.parent).minus(course.known_by);
        let is_fetched = self.is_fetched_here(rumor);
        let eager =
            if is_fetched { LinkSet::EMPTY } else { targets.and(self.overlay.eager(course.tree)) };
        if rumor.payload.len() > IDONTWANT_FROM && self.overlay.take_stirred(course.tree) {
            // Before the payloads, which take longer.
            self.decline(id, eager);
        }
        let late = Late(Duration::from_millis(rumor.age_ms.into()) >= LATE);
        let doubtful = eager.and(self.overlay.links.doubtful(self.now, late));
        let sure = eager.minus(doubtful);
        if !sure.is_empty() {
            let (rumor, off_tree) = (Arc::clone(rumor), course.off_tree);
            self.intend(Intent::Forward { rumor, to: sure, off_tree });
            self.overlay.links.sent(sure, late);
        }
        if !eager.is_empty() {
            let until = self.now + self.answer_within(eager);
            self.overlay.courses.sent(id, eager, until);
        }
        for link in doubtful.iter() {
            // The answer to the first ends the doubt; what comes until then goes together.
            let is_first = self.overlay.links.asks(link);
            let urge = if is_first { Urge::Ask } else { Urge::AskTogether };
            self.announce(link, id, course.tree, urge);
        }
        let lazy = if is_fetched { Urge::Fetch } else { Urge::Tell };
        for link in live.minus(eager).iter() {
            let urge = if course.parent == Some(link) { Urge::Confirm } else { lazy };
            self.announce(link, id, course.tree, urge);
        }
        self.bring_to_clients(rumor, from);
    }

    /// Whether a rumour goes to those only who ask for it: it fits no datagram, or nobody could tell that it
    /// is not the tree that brings it.
    fn is_fetched_here(&self, rumor: &Rumor) -> bool {
        let course = self.overlay.courses.get(rumor.key.short());
        let is_off_tree = course.is_some_and(|course| course.off_tree);
        let is_bare = matches!(rumor.id, RumorId::Content(_));
        !self.fits_datagram(rumor) || is_off_tree && is_bare
    }

    /// Tells neighbours who may be about to send a large rumour that it is here.
    fn decline(&mut self, id: ShortId, links: LinkSet) {
        for link in links.iter() {
            let Some(addr) = self.overlay.links.get(link).map(|link| link.addr) else { continue };
            let is_told = self.tell_now(addr, |pending| pending.unwanted.push(id));
            self.stats.payloads_declined += u64::from(is_told);
        }
    }

    fn answer_within(&self, links: LinkSet) -> Duration {
        let links = links.iter().filter_map(|link| self.overlay.links.get(link));
        links.map(Link::answer_within).max().unwrap_or_default()
    }

    fn hear(&mut self, link: LinkId) {
        if let Some(link) = self.overlay.links.get_mut(link) {
            link.hear(self.now);
        }
    }

    // ── What members say ────────────────────────────────────────────────────────────────────────

    pub(super) fn on_control(&mut self, from: SocketAddr, control: &Control<'_>) {
        let is_member = self.table.find_unburied_addr(from).is_some_and(|id| id != self.me);
        if !is_member || self.params.rumor_mode.is_thesis() || self.leaving == Leaving::Done {
            self.stats.controls_refused += 1;
            return;
        }
        let link = self.overlay.links.find(from);
        if let Some(link) = link {
            self.hear(link);
        }
        match control {
            Control::IHave { answer, fetch, passed, entries } => {
                let (answer, fetch, passed) = (*answer, *fetch, *passed);
                let heard = Heard { from, link, answer, fetch, passed };
                entries.iter().for_each(|entry| self.on_announced(heard, entry));
            }
            Control::Graft { send, entries } => self.on_graft(from, link, *send, *entries),
            Control::Prune { trees } => {
                let Some(link) = link else { return };
                let statics = self.overlay.links.statics();
                for tree in trees.iter() {
                    self.overlay.trees.prune(self.now, tree, link, statics);
                }
            }
            Control::IDontWant { ids } => {
                let Some(link) = link else { return };
                ids.iter().for_each(|id| self.on_unwanted(ShortId(id), link));
            }
            Control::Digest { answer, whole, entries } => {
                let wants = answer.then_some(if *whole { Breadth::Whole } else { Breadth::Hot });
                self.on_digest(from, link, wants, *entries);
            }
            Control::Pull { later: true, ids } => self.on_lacking(from, *ids),
            Control::Pull { later: false, ids } => {
                ids.iter().for_each(|id| self.supply(from, ShortId(id), OffTree(true)));
            }
        }
    }

    fn on_announced(&mut self, heard: Heard, entry: Announced) {
        let (id, hold) = (ShortId(entry.id), Duration::from_millis(entry.hold_ms.into()));
        if !self.rumors.knows(id) {
            self.miss(heard, entry, self.now.before(hold));
            return;
        }
        let Some(link) = heard.link else { return };
        let Some(course) = self.overlay.courses.get_mut(id) else {
            if heard.answer {
                self.confirm(id, entry.tree, link);
            }
            return;
        };
        let tree = course.tree;
        if course.measures(link) {
            let sample = self.now.saturating_since(course.since).saturating_sub(hold);
            if let Some(link) = self.overlay.links.get_mut(link) {
                link.measure(sample);
            }
        }
        if let Some(course) = self.overlay.courses.get_mut(id) {
            course.known_by.insert(link);
        }
        if heard.passed {
            self.on_passed(id, link);
        }
        if heard.answer {
            self.confirm(id, tree, link);
        }
    }

    /// Somebody has a rumour that is not here.
    fn miss(&mut self, heard: Heard, entry: Announced, since: Instant) {
        let link = heard.link.and_then(|link| self.overlay.links.get(link));
        let distance = match link.map(|link| link.kind) {
            Some(Kind::Static) => Distance::Near,
            Some(Kind::Floor) => Distance::Floor,
            None => Distance::Far,
        };
        let wait = match (distance, link) {
            // It was sent, and lost; or it is never sent unasked.
            (Distance::Near | Distance::Floor, _) if heard.answer => Duration::ZERO,
            _ if heard.fetch || heard.passed => Duration::ZERO,
            (Distance::Near, Some(link)) => link.payload_within(),
            _ => self.patience(entry.tree),
        };
        let rumored = Rumored {
            id: ShortId(entry.id),
            tree: entry.tree,
            holder: heard.from,
            distance,
            since,
            fetch: heard.fetch,
        };
        self.note_missing(rumored, wait);
        if wait.is_zero() {
            self.ask_for_missing();
        }
    }

    pub(super) fn note_missing(&mut self, rumored: Rumored, wait: Duration) {
        match self.overlay.missing.note(rumored, self.now + wait) {
            Room::Free => {}
            Room::Spent => self.stats.shares_spent += 1,
            Room::Full => self.stats.controls_dropped += 1,
        }
    }

    /// How long a tree may be late before somebody who is no neighbour of the list is asked: it may
    /// just be long. Beyond three quarters of the time that payloads are kept, the one asked might have
    /// forgotten it.
    pub(super) fn patience(&self, tree: u8) -> Duration {
        let least = self.params.gossip_interval.unwrap_or(PATIENCE_WITHOUT_TICK);
        self.overlay.patience.of(tree, least, self.params.payload_cache_for * 3 / 4)
    }

    fn on_graft(
        &mut self,
        from: SocketAddr,
        link: Option<LinkId>,
        send: bool,
        entries: Entries<'_, Branch>,
    ) {
        for Branch { tree, id } in entries.iter() {
            // It comes along no tree.
            let rumor = self.rumors.cached_short(ShortId(id));
            let is_fetched = rumor.is_some_and(|rumor| self.is_fetched_here(rumor));
            if let Some(link) = link.filter(|_| self.has_trees() && !is_fetched) {
                let statics = self.overlay.links.statics();
                if self.overlay.trees.graft(tree, link, statics) {
                    self.overlay.stir(tree);
                }
            }
            if send {
                self.supply(from, ShortId(id), OffTree(link.is_none()));
            }
        }
    }

    fn on_unwanted(&mut self, id: ShortId, link: LinkId) {
        match self.overlay.courses.get_mut(id) {
            Some(course) => course.known_by.insert(link),
            None if !self.rumors.knows(id) => self.overlay.note_unwanted(id, link),
            None => {}
        }
    }

    // ── What is due ─────────────────────────────────────────────────────────────────────────────

    pub(super) fn run_overlay(&mut self) {
        self.ask_for_confirmations();
        self.ask_for_missing();
        self.serve_who_waited();
        if self.overlay.controls.deadline().is_some_and(|at| at <= self.now) {
            for to in self.overlay.controls.flush() {
                self.intend_talk(to);
            }
        }
    }

    fn ask_for_confirmations(&mut self) {
        while let Some((id, overdue)) = self.overlay.courses.pop_overdue(self.now) {
            let Some(&course) = self.overlay.courses.get(id) else { continue };
            match overdue {
                Overdue::First(links) if !links.is_empty() => {
                    for link in links.iter() {
                        self.announce(link, id, course.tree, Urge::Ask);
                    }
                    let until = self.now + self.answer_within(links);
                    self.overlay.courses.asked(id, until);
                }
                Overdue::First(_) => {}
                Overdue::Again(links) => {
                    links.iter().for_each(|link| self.pass_over(link, course.since));
                }
            }
        }
    }

    /// A link that has said nothing since then carries ids only until it says something.
    fn pass_over(&mut self, id: LinkId, since: Instant) {
        let Some(link) = self.overlay.links.get_mut(id) else { return };
        if link.silent || link.heard_at.is_some_and(|at| at > since) {
            return;
        }
        link.silent = true;
        self.overlay.trees.silence(id);
        self.stats.links_silenced += 1;
    }

    fn ask_for_missing(&mut self) {
        while let Some((id, tree, holder)) = self.overlay.missing.pop_due(self.now) {
            let Some(holder) = holder else {
                self.stats.rumors_given_up += 1;
                continue;
            };
            let link = self.overlay.links.find(holder.addr);
            let is_fetched = self.overlay.missing.is_fetched(id);
            let near = link.filter(|_| self.has_trees() && holder.distance != Distance::Far);
            if let Some(link) = near {
                if !is_fetched {
                    let statics = self.overlay.links.statics();
                    self.overlay.trees.graft(tree, link, statics);
                    self.overlay.stir(tree);
                }
                let is_told = self.tell_now(holder.addr, |pending| pending.grafts.push((tree, id)));
                self.stats.grafts_sent += u64::from(is_told);
            } else {
                let is_told = self.tell_now(holder.addr, |pending| pending.pulls.push(id));
                self.stats.pulls_sent += u64::from(is_told);
            }
            let rtt = link.and_then(|link| self.overlay.links.get(link)?.rtt());
            let wait = if is_fetched { FETCH_WITHIN } else { Link::supplied_within(rtt) };
            self.overlay.missing.wait(id, self.now + wait);
        }
    }

    // ── What the members tell ───────────────────────────────────────────────────────────────────

    /// Brings links and clients up to date with the member table.
    pub(super) fn reconcile(&mut self) {
        if !self.has_overlay() {
            return;
        }
        if self.overlay.follows != Some(self.table.version()) {
            self.overlay.follows = Some(self.table.version());
            if self.params.floor {
                let rings = floor::rings(self.table.live(), self.overlay.rings);
                self.overlay.rings = rings;
                self.overlay.set_floor(&floor::neighbors(&self.table, self.me, rings));
            }
            self.follow_plain_members();
        }
        let live = self.overlay.links.live(&self.table, self.me);
        let ids: SmallVec<[LinkId; 8]> = self.overlay.links.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(link) = self.overlay.links.get_mut(id) else { continue };
            let up = live.contains(id);
            if core::mem::replace(&mut link.up, up) == up {
                continue;
            }
            link.begin_anew();
            let addr = link.addr;
            if up && link.kind == Kind::Static {
                self.overlay.trees.welcome(id);
            }
            if up {
                self.welcome_with_digest(addr);
            }
        }
        self.tell_isolation();
    }

    /// The neighbours of the list that cannot be reached.
    fn lost_neighbors(&self) -> Vec<SocketAddr> {
        let links = self.overlay.links.iter();
        let lost = links.filter(|(_, link)| link.kind == Kind::Static && (!link.up || link.silent));
        lost.map(|(_, link)| link.addr).collect()
    }

    fn tell_isolation(&mut self) {
        let statics = self.overlay.links.statics();
        let lost = self.lost_neighbors();
        let is_isolated = !statics.is_empty() && lost.len() == statics.len() as usize;
        let was = core::mem::replace(&mut self.overlay.is_isolated, is_isolated);
        // At the start nobody is there yet, and that is no loss.
        if is_isolated && !was && self.table.live() > 1 && self.stats.rumors_received > 0 {
            self.tell(Fact::OverlayDegraded { lost, beyond: None });
        }
    }

    /// A rumour came otherwise than along the links, here or at a neighbour. With neighbours lost,
    /// the list has fallen apart.
    pub(super) fn watch_for_parts(&mut self, from: SocketAddr, came: Came, id: &RumorId) {
        if !came.off_tree || matches!(id, RumorId::Content(_)) {
            return;
        }
        let pause = self.params.payload_cache_for;
        let told = self.overlay.degraded_at;
        if told.is_some_and(|at| self.now.saturating_since(at) < pause) {
            return;
        }
        let lost = self.lost_neighbors();
        if lost.is_empty() {
            return;
        }
        self.overlay.degraded_at = Some(self.now);
        let fetched = self.table.find_addr(from).filter(|_| came.link.is_none());
        let beyond = fetched.and_then(|id| self.name_of(id));
        self.tell(Fact::OverlayDegraded { lost, beyond });
    }
}

/// Who announced something, and how.
#[derive(Clone, Copy, Debug)]
struct Heard {
    from: SocketAddr,
    link: Option<LinkId>,
    answer: bool,
    fetch: bool,
    passed: bool,
}
