//! What a node counts. Everything that is dropped has a counter here.

use core::time::Duration;

/// Plain counters since the node's start, and a few levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams handed in.
    pub packets_received: u64,
    /// Their bytes of UDP payload.
    pub bytes_received: u64,
    /// Datagrams handed out.
    pub packets_sent: u64,
    /// Their bytes of UDP payload.
    pub bytes_sent: u64,
    /// Datagrams refused as a whole.
    pub packets_refused: u64,
    /// Of these, those with another cluster's label.
    pub label_mismatches: u64,
    /// Datagrams and streams that no installed key opens: another cluster's, or a key that was not
    /// installed everywhere before it was used.
    pub undecryptable: u64,
    /// Messages inside datagrams that could not be decoded or have no place there.
    pub messages_malformed: u64,
    /// Parts that a compound announced and did not hold.
    pub parts_cut_off: u64,
    /// Statements about members that make no sense, or whose versions do not fit ours.
    pub claims_refused: u64,
    /// Statements about members with an incarnation that nobody could have reached; not believed, and
    /// the member is asked itself.
    pub implausible_incarnations: u64,
    /// New members refused because the table is full or 16 others have their address.
    pub members_refused: u64,
    /// Newcomers that the application refused, and repetitions of what they said.
    pub joins_refused: u64,
    /// Merges that the application refused.
    pub merges_refused: u64,
    /// Of these and those, questions that it did not answer in time.
    pub asks_expired: u64,
    /// Newcomers and merges dropped because too many questions were open.
    pub asks_dropped: u64,
    /// Takeovers of a name heard while its owner could still contradict the goodbye.
    pub takeovers_held: u64,
    /// Alive statements from or about addresses outside
    /// [`Config::allowed_networks`](crate::Config::allowed_networks).
    pub outsiders_refused: u64,
    /// Statements that two nodes share a name.
    pub conflicts: u64,

    /// Probes begun.
    pub probes: u64,
    /// Probes that nobody answered.
    pub probes_failed: u64,
    /// Probes that a member answered over a stream only: datagrams to or from it are lost.
    pub probes_by_stream_only: u64,
    /// Times that something else got through to a member than before.
    pub reach_changes: u64,
    /// Acks and nacks that answer nothing outstanding.
    pub acks_unmatched: u64,
    /// Pings for another name; they get no answer.
    pub pings_for_others: u64,
    /// Pings and requests to probe that were not answered because their datagram had caused enough.
    pub questions_ignored: u64,
    /// Requests to probe for somebody that were accepted.
    pub relays: u64,
    /// Requests to probe that were refused: not about a known member, or too many at once.
    pub relays_refused: u64,
    /// Times that this node refuted.
    pub refutations: u64,
    /// Times that we stated again what refuted our death, to somebody who had not heard it.
    pub refutations_repeated: u64,
    /// Suspicions that ran out here.
    pub suspicions_expired: u64,
    /// Of these, those with fewer accusers than expected: this node may be the one with trouble.
    pub suspicions_expired_lonely: u64,

    /// Rumours started here.
    pub rumors_started: u64,
    /// Rumours received for the first time.
    pub rumors_received: u64,
    /// Copies of rumours that were known already.
    pub rumor_duplicates: u64,
    /// Copies sent by the gossip tick.
    pub rumor_copies_tick: u64,
    /// Copies forwarded at once.
    pub rumor_copies_forwarded: u64,
    /// Copies that rode on probes, acks and the like.
    pub rumor_copies_piggybacked: u64,
    /// Copies sent to who asked for one along a link, streams included.
    pub rumor_copies_grafted: u64,
    /// Copies sent to who asked for one elsewhere, and to plain members whose proxies had died.
    pub rumor_copies_pulled: u64,
    /// Datagrams of ids and wishes of the overlay.
    pub control_sent: u64,
    /// Their bytes of UDP payload.
    pub control_bytes_sent: u64,
    /// Wishes of the overlay from strangers, or that this node's mode has no use for.
    pub controls_refused: u64,
    /// Ids and wishes of the overlay dropped because too many waited. Repair makes up for them.
    pub controls_dropped: u64,
    /// Ids, wishes and requests of the overlay that were dropped because one member had used up its
    /// share of what all may. Repair makes up for those of honest ones.
    pub shares_spent: u64,
    /// Links that began to carry payloads, or ids only, in some tree.
    pub eager_flips: u64,
    /// Payloads asked for along a link because only the id had come.
    pub grafts_sent: u64,
    /// Members told that their payloads of a tree are not wanted any more: they brought a duplicate, or
    /// another link is faster.
    pub prunes_sent: u64,
    /// Links taken into a tree because they were faster.
    pub swaps: u64,
    /// Neighbours told that they need not send a large payload, before they did.
    pub payloads_declined: u64,
    /// Payloads asked for elsewhere.
    pub pulls_sent: u64,
    /// Requests for payloads that are not here any more, that found no room to wait while enough was being
    /// sent, or that waited for 2 s.
    pub pulls_unanswered: u64,
    /// Rumours known by id that nobody sent. Digests may name them again.
    pub rumors_given_up: u64,
    /// Links that did not answer and carry ids only since.
    pub links_silenced: u64,
    /// Rumours not passed on: no room in the queue, too large for our datagrams, or no recipient
    /// that understands them.
    pub rumors_dropped: u64,
    /// Rumours that were not sent to the end because a newer one about the same replaced them, or
    /// because the application withdrew them.
    pub rumors_replaced: u64,
    /// Membership updates dropped for lack of room.
    pub updates_dropped: u64,
    /// User messages whose envelope is unknown or malformed.
    pub envelopes_refused: u64,

    /// Datagrams that were not sent because their first message does not fit one: names or a label
    /// too long for `packet_size_max`.
    pub packets_unfit: u64,
    /// Datagrams that were not sent because too many were pending.
    pub outbox_overflows: u64,
    /// Events dropped because nobody polled them.
    pub events_dropped: u64,
    /// Addresses to join that were refused because as many as may be have yet to answer.
    pub seeds_refused: u64,
    /// Streams opened and accepted.
    pub streams: u64,
    /// Streams refused because too many were open.
    pub streams_refused: u64,
    /// Streams ended and messages refused because the buffers of all streams were full.
    pub stream_buffers_full: u64,
    /// Streams that failed, timed out or carried nonsense.
    pub streams_failed: u64,
    /// Push/pulls that this node began and completed.
    pub push_pulls_completed: u64,
    /// Attempts to meet a peer again that was believed dead, or a seed that is no member.
    pub heals_tried: u64,
    /// Of these, those that were answered.
    pub heals_answered: u64,
    /// Push/pulls that this node answered.
    pub push_pulls_served: u64,
    /// Halves of push/pulls that went out without the application's state because it is longer than
    /// peers accept.
    pub channel_states_unsent: u64,
    /// Push/pulls refused because protocol versions do not fit together.
    pub push_pulls_incompatible: u64,

    /// Calls whose `now` lay before an earlier one.
    pub clock_regressions: u64,
    /// Times that the node stood still for longer than `probe_timeout`: its host, or its runtime, has
    /// too much to do.
    pub pauses: u64,
    /// How late the runtime was with the last deadline that passed.
    pub lag: Duration,
    /// The longest such delay.
    pub lag_max: Duration,
}
