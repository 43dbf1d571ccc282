//! Payloads for those who ask for them, within what may be sent at a time.

use alloc::sync::Arc;
use core::net::SocketAddr;

use super::Node;
use super::outbox::Intent;
use super::overlay::FETCH_WITHIN;
use crate::rumor::ShortId;
use crate::rumor::requests::Request;
use crate::rumor::shares::Room;

/// Whether a payload that is sent belongs to no tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct OffTree(pub(super) bool);

impl Node {
    /// Sends a payload to a member that asked for it.
    pub(super) fn supply(&mut self, to: SocketAddr, id: ShortId, OffTree(off_tree): OffTree) {
        // Who asks when those who wait are due comes after them.
        self.serve_who_waited();
        self.answer_request(Request { to, id, off_tree, since: self.now });
    }

    fn answer_request(&mut self, request: Request) {
        let Request { to, id, off_tree, .. } = request;
        let member = self.table.find_addr(to);
        let rumor = self.rumors.cached_short(id).map(Arc::clone);
        let Some((member, rumor)) = member.zip(rumor) else {
            self.stats.pulls_unanswered += 1;
            return;
        };
        if self.overlay.may_serve(self.now, Some(to), rumor.message_len()) != Room::Free {
            self.serve_later(request);
            return;
        }
        let link = self.overlay.links.find(to);
        if let Some((course, link)) = self.overlay.courses.get_mut(id).zip(link) {
            course.wanted.insert(link);
        }
        if self.fits_datagram(&rumor) {
            self.intend(Intent::Supply { to: member, rumor, off_tree });
            return;
        }
        let Some(message) = rumor.reliable_message(self.now, off_tree) else { return };
        match self.send_reliably(member, &message) {
            Ok(()) => self.count_supplied(off_tree),
            Err(_) => self.stats.pulls_unanswered += 1,
        }
    }

    pub(super) const fn count_supplied(&mut self, off_tree: bool) {
        let copies = if off_tree {
            &mut self.stats.rumor_copies_pulled
        } else {
            &mut self.stats.rumor_copies_grafted
        };
        *copies += 1;
    }

    /// Who asks for more than may be sent at a time has it a little later.
    fn serve_later(&mut self, request: Request) {
        match self.overlay.requests.add(request) {
            Room::Free => return,
            Room::Spent => self.stats.shares_spent += 1,
            Room::Full => {}
        }
        self.stats.pulls_unanswered += 1;
    }

    /// Sends what was asked for before, if it is time, to those who still wait for it.
    pub(super) fn serve_who_waited(&mut self) {
        if self.overlay.serves_again_at().is_none_or(|at| at > self.now) {
            return;
        }
        for request in self.overlay.requests.take() {
            if self.now.saturating_since(request.since) >= FETCH_WITHIN {
                // By now it has asked somebody else.
                self.stats.pulls_unanswered += 1;
            } else if !self.is_known_to(request.to, request.id) {
                self.answer_request(request);
            }
        }
    }

    fn is_known_to(&self, addr: SocketAddr, id: ShortId) -> bool {
        let course = self.overlay.courses.get(id).zip(self.overlay.links.find(addr));
        course.is_some_and(|(course, link)| course.known_by.contains(link))
    }
}
