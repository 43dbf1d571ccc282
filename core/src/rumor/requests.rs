//! Payloads that others asked for when enough was being sent already.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use super::ShortId;
use super::shares::{Room, room};
use crate::time::Instant;

/// Most requests that wait, of which each member has a share. Beyond it they are unanswered, and whoever
/// made them asks somebody else.
const REQUESTS_MAX: usize = 256;

/// Somebody waits for a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) to: SocketAddr,
    pub(crate) id: ShortId,
    /// Whether it goes along no tree.
    pub(crate) off_tree: bool,
    /// When it was asked for last.
    pub(crate) since: Instant,
}

/// Requests in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: VecDeque<Request>,
}

impl Requests {
    /// Lets a request wait, once however often it is made.
    pub(crate) fn add(&mut self, request: Request) -> Room {
        let is_same = |other: &&mut Request| (other.to, other.id) == (request.to, request.id);
        if let Some(same) = self.waiting.iter_mut().find(is_same) {
            same.since = request.since;
            return Room::Free;
        }
        let own = self.waiting.iter().filter(|other| other.to == request.to).count();
        let room = room(self.waiting.len(), own, REQUESTS_MAX);
        if room == Room::Free {
            self.waiting.push_back(request);
        }
        room
    }

    /// Takes all of them out. Those that must wait again are added again, and keep their order.
    pub(crate) fn take(&mut self) -> VecDeque<Request> {
        core::mem::take(&mut self.waiting)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn check(&self) {
        assert!(self.waiting.len() <= REQUESTS_MAX, "what is asked for is bounded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(port: u16, id: u64) -> Request {
        let to = SocketAddr::from(([10, 0, 0, 1], port));
        Request { to, id: ShortId(id), off_tree: false, since: Instant::ZERO }
    }

    #[test]
    fn who_asks_twice_waits_once_and_all_keep_their_order() {
        let mut requests = Requests::default();
        for (port, id) in [(1, 7), (2, 7), (1, 7), (1, 8)] {
            assert_eq!(requests.add(request(port, id)), Room::Free);
        }
        let again = Request { since: Instant::from_micros(9), ..request(1, 7) };
        assert_eq!(requests.add(again), Room::Free);
        assert_eq!(requests.take(), [again, request(2, 7), request(1, 8)]);
        assert!(requests.is_empty());
    }

    #[test]
    fn who_asks_for_very_much_leaves_room_for_others() {
        let mut requests = Requests::default();
        let mut fill =
            |port| (0..).take_while(|&id| requests.add(request(port, id)) == Room::Free).count();
        assert_eq!([1, 2, 3, 4, 5, 6].map(&mut fill), [128, 32, 32, 32, 32, 0]);
        requests.check();
    }
}
