//! Exchanges of state: what goes out, what an answer brings (protocol page §3.5, §4.8).

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::probe::type_of;
use super::{Aim, Ending, Exchange, Node, Side, UserState};
use crate::event::{Fact, StreamFailure};
use crate::identity::{Channel, StreamId};
use crate::member::{MemberId, MemberState};
use crate::node::membership::alive_of;
use crate::node::plausibility::Hearing;
use crate::push_pull::versions_agree;
use crate::wire::message::{NodeState, PushPullHeader, Refusal, WireState};
use crate::wire::sections;
use crate::wire::stream::{PushPull, StreamError, StreamMessage, USER_STATE_MAX};
use crate::wire::tags::{Advert, CAPABILITY_ENVELOPE};

/// Longest text of a refusal that is kept, in bytes.
const REFUSAL_LEN_MAX: usize = 256;

impl Node {
    /// A seed or another member sent its half. `Some` if it has to wait for a verdict.
    pub(super) fn on_answer(
        &mut self,
        id: StreamId,
        exchange: Exchange,
        message: StreamMessage<'_>,
    ) -> Result<Option<Exchange>, StreamError> {
        let failure = match message {
            StreamMessage::PushPull(list) => match self.merge_or_hold(exchange, &list) {
                Ok(held) => {
                    self.close(id);
                    return Ok(held);
                }
                Err(error) => StreamFailure::Answer(error),
            },
            StreamMessage::Refusal(refusal) => StreamFailure::Refused(words(&refusal)),
            other => StreamFailure::Answer(StreamError::UnexpectedAnswer(type_of(&other).0)),
        };
        let error = match &failure {
            StreamFailure::Answer(error) => *error,
            _ => StreamError::Refused,
        };
        self.fail(id, failure, Ending::Close);
        Err(error)
    }

    fn after_push_pull(&mut self, peer: SocketAddr, aim: Aim, sent: UserState, their_state: &[u8]) {
        match aim {
            Aim::Join { seed } => {
                self.seeds.remove(seed);
                self.tell(Fact::SeedReached { seed });
            }
            Aim::Heal => self.stats.heals_answered += 1,
            Aim::RestOfJoin | Aim::AntiEntropy => return,
        }
        let Some(member) = self.table.find_addr(peer) else { return };
        let Some(record) = self.table.get(member) else { return };
        // A join begins with a stranger: what either side held back for that reason is exchanged
        // now that both know each other.
        let held_back = sent == UserState::Nothing && !self.channel_states.is_empty();
        let they_did = !their_state.starts_with(&sections::MAGIC);
        let is_more = record.takes_envelopes() && (held_back || they_did);
        // Two that believed each other dead have only now been told, and have refuted by now.
        let is_apart = !record.state.is_live();
        if is_more || is_apart {
            self.push_pull_with(member, Aim::RestOfJoin);
        }
    }

    // ── State ───────────────────────────────────────────────────────────────────────────────────

    pub(super) fn state_form_for(&self, member: Option<MemberId>) -> UserState {
        match member.and_then(|id| self.table.get(id)) {
            Some(record) if record.is_buried() => UserState::Nothing,
            Some(record) if record.takes_envelopes() => UserState::Sections,
            Some(_) => UserState::Blob,
            None => UserState::Nothing,
        }
    }

    /// The graves that a peer's half contradicts: it should hear of them.
    pub(super) fn contradicted_graves(&self, theirs: &PushPull<'_>) -> BTreeSet<MemberId> {
        let is_live =
            |node: &NodeState<'_>| [WireState::ALIVE, WireState::SUSPECT].contains(&node.state);
        let buried = |node: NodeState<'_>| {
            let id = self.table.find(&node.alive.node)?;
            let record = self.table.get(id)?;
            (record.is_buried() && node.alive.incarnation <= record.incarnation).then_some(id)
        };
        theirs.nodes().filter(is_live).filter_map(buried).collect()
    }

    /// The graves that the half that begins an exchange tells of: all where two parts of a cluster may
    /// have buried each other, else none.
    pub(super) fn graves_for(&self, aim: Aim) -> BTreeSet<MemberId> {
        match aim {
            Aim::Heal | Aim::RestOfJoin => self.table.graves().collect(),
            Aim::Join { .. } | Aim::AntiEntropy => BTreeSet::new(),
        }
    }

    /// Writes one half of an exchange: every member that we know, but of the buried ones only these;
    /// then the application's state.
    pub(super) fn put_push_pull(
        &mut self,
        bytes: &mut Vec<u8>,
        join: bool,
        form: UserState,
        graves: &BTreeSet<MemberId>,
    ) {
        let state = self.user_state(form);
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let header = PushPullHeader {
            nodes: count(self.table.len() + graves.len()),
            user_state_len: count(state.len()),
            join,
        };
        let mut written = header.encode(bytes);
        let members = self.table.iter();
        for (_, record) in members.filter(|(id, record)| !record.is_buried() || graves.contains(id))
        {
            let node = NodeState { alive: alive_of(record), state: wire_state(record.state) };
            written = written.and_then(|()| node.encode(bytes));
        }
        debug_assert!(written.is_ok(), "a vector is never full");
        bytes.extend_from_slice(&state);
    }

    fn user_state(&mut self, form: UserState) -> Vec<u8> {
        let mut state = Vec::new();
        match form {
            UserState::Nothing => {}
            UserState::Blob => {
                if let Some(blob) = self.channel_states.get(&Channel::BARE) {
                    state.extend_from_slice(blob);
                }
            }
            UserState::Sections => {
                let all = self.channel_states.iter().map(|(&channel, bytes)| (channel, &**bytes));
                let written = sections::put(&mut state, all);
                debug_assert!(written.is_ok(), "a vector is never full");
            }
        }
        if state.len() > USER_STATE_MAX as usize {
            // A peer would refuse the whole exchange; membership matters more.
            self.stats.channel_states_unsent += 1;
            return Vec::new();
        }
        state
    }

    /// Whether the application is asked before a peer's half is applied.
    pub(super) fn must_ask(&self, exchange: Exchange, list: &PushPull<'_>) -> bool {
        let joins = match exchange.side {
            Side::Peer => list.join,
            // A seed cannot choose whether our application is asked.
            Side::Us { aim, .. } => matches!(aim, Aim::Join { .. } | Aim::Heal),
        };
        self.params.ask_merges && joins
    }

    /// Applies a peer's half of an exchange, or gives it back if the application is to be asked.
    pub(super) fn merge_or_hold(
        &mut self,
        exchange: Exchange,
        list: &PushPull<'_>,
    ) -> Result<Option<Exchange>, StreamError> {
        if !self.must_ask(exchange, list) {
            self.finish_exchange(exchange, list)?;
            return Ok(None);
        }
        // What cannot be merged anyway need not be asked about.
        self.check_versions(list)?;
        Ok(Some(exchange))
    }

    /// Applies a peer's half of an exchange, all or nothing, and does what follows.
    pub(in crate::node) fn finish_exchange(
        &mut self,
        exchange: Exchange,
        list: &PushPull<'_>,
    ) -> Result<(), StreamError> {
        self.merge(exchange, list)?;
        match exchange.side {
            Side::Peer => self.stats.push_pulls_served += 1,
            Side::Us { aim, sent } => {
                self.stats.push_pulls_completed += 1;
                self.after_push_pull(exchange.peer, aim, sent, list.user_state);
            }
        }
        Ok(())
    }

    fn check_versions(&mut self, list: &PushPull<'_>) -> Result<(), StreamError> {
        if versions_agree(&self.table, list.nodes()) {
            return Ok(());
        }
        self.stats.push_pulls_incompatible += 1;
        Err(StreamError::IncompatibleVersions)
    }

    /// Applies a peer's half of an exchange, all or nothing.
    fn merge(&mut self, exchange: Exchange, list: &PushPull<'_>) -> Result<(), StreamError> {
        self.check_versions(list)?;
        let mut states = Vec::new();
        let sectioned = sections::read(list.user_state, |channel, bytes| {
            states.push((channel, bytes));
        })?;
        self.hear_serf(list.user_state);
        if sectioned.is_none() && !list.user_state.is_empty() {
            states.push((Channel::BARE, list.user_state));
        }
        for node in list.nodes() {
            let hearing = self.hearing(exchange, &node);
            self.merge_member(&node, hearing);
        }
        for (channel, bytes) in states {
            let bytes = Bytes::copy_from_slice(bytes);
            let (from, join) = (exchange.peer, list.join);
            self.tell(Fact::PeerState { from, channel, bytes, join });
        }
        Ok(())
    }

    /// How what a list says of a member has come here.
    fn hearing(&self, exchange: Exchange, node: &NodeState<'_>) -> Hearing {
        let about = self.table.find(&node.alive.node);
        let is_speaker = |id| {
            let record = self.table.get(id);
            record.is_some_and(|record| record.addr.socket_addr() == exchange.peer)
        };
        match (exchange.side, about) {
            (Side::Us { .. }, Some(id)) if id == self.me || is_speaker(id) => Hearing::FirstHand,
            (Side::Us { .. } | Side::Peer, _) => Hearing::Hearsay(None),
        }
    }
}

/// In which form the initiator of an exchange understands our state. It shows by its own, or, when
/// it joins and so did not know us, by the adverts of those it lists.
pub(super) fn state_form_of(exchange: &PushPull<'_>) -> UserState {
    let takes_envelopes = |node: NodeState<'_>| {
        Advert::find(&node.alive.meta)
            .is_some_and(|advert| advert.capabilities & CAPABILITY_ENVELOPE != 0)
    };
    let sectioned = exchange.user_state.starts_with(&sections::MAGIC)
        || (exchange.join && exchange.node_count() > 0 && exchange.nodes().all(takes_envelopes));
    if sectioned { UserState::Sections } else { UserState::Blob }
}

const fn wire_state(state: MemberState) -> WireState {
    match state {
        MemberState::Alive => WireState::ALIVE,
        MemberState::Suspect => WireState::SUSPECT,
        MemberState::Dead => WireState::DEAD,
        MemberState::Left => WireState::LEFT,
    }
}

/// A peer's reason, fit to be printed.
fn words(refusal: &Refusal<'_>) -> String {
    let cut = refusal.error.len().min(REFUSAL_LEN_MAX);
    refusal.error[..cut].escape_ascii().to_string()
}
