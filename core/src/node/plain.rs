//! What is brought to plain memberlist members, who take no part in the overlay.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Node;
use super::outbox::Intent;
use crate::identity::Channel;
use crate::member::MemberId;
use crate::rumor::Rumor;
use crate::rumor::proxies::Owed;
use crate::rumor::shares::Room;
use crate::time::Instant;

/// Most rumours that a plain member is brought late; the newest of them.
const LATE_MAX: usize = 1_024;

impl Node {
    /// Brings the plain members that this node stands in for up to date with the member table, and
    /// those whose proxies died before somebody noticed up to date with the rumours.
    pub(super) fn follow_plain_members(&mut self) {
        let owed = self.overlay.proxies.follow(&self.table, self.me, self.now);
        self.overlay.clients = self.overlay.proxies.clients(self.me);
        for Owed { client, before } in owed {
            self.bring_what_came(before, client);
        }
    }

    fn bring_what_came(&mut self, before: Instant, client: MemberId) {
        let since = self.now.before(self.params.payload_cache_for);
        let is_owed = |rumor: &&Arc<Rumor>| {
            rumor.channel == Channel::BARE
                && rumor.received_at < before
                && rumor.received_at >= since
        };
        let late: Vec<Arc<Rumor>> = self.rumors.recent().filter(is_owed).cloned().collect();
        let first = late.len().saturating_sub(LATE_MAX);
        self.stats.rumors_dropped += first as u64;
        for rumor in late.into_iter().skip(first) {
            if self.overlay.may_serve(self.now, None, rumor.message_len()) != Room::Free {
                self.stats.rumors_dropped += 1;
            } else if self.fits_datagram(&rumor) {
                self.intend(Intent::Supply { to: client, rumor, off_tree: true });
            } else {
                self.bring_by_stream(client, &rumor);
            }
        }
    }

    /// Brings a bare message to the plain members that this node stands in for.
    pub(super) fn bring_to_clients(&mut self, rumor: &Arc<Rumor>, except: Option<MemberId>) {
        if rumor.channel != Channel::BARE || self.overlay.clients.is_empty() {
            return;
        }
        if self.fits_datagram(rumor) {
            let rumor = Arc::clone(rumor);
            self.intend(Intent::Plain { rumor, except, next: 0 });
            return;
        }
        let clients = self.overlay.clients.clone();
        for client in clients.into_iter().filter(|&client| Some(client) != except) {
            self.bring_by_stream(client, rumor);
        }
    }

    /// A plain member takes over a stream what no datagram holds. Without room for streams it goes
    /// without, as everybody does who is out of reach.
    fn bring_by_stream(&mut self, client: MemberId, rumor: &Rumor) {
        let sent = self.send_reliably(client, &rumor.payload);
        self.stats.rumors_dropped += u64::from(sent.is_err());
    }
}
