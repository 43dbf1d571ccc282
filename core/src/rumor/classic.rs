//! Whom a gossip tick sends to (memberlist, protocol page §4.11).

use crate::config::Params;
use crate::member::ring::{Draw, Pool, Sampling, sample};
use crate::member::{MemberId, MemberState, Record, Table};
use crate::rng::Rng;
use crate::time::Instant;

/// `gossip_fanout` random members: the recently dead among them, never those who left.
pub(crate) fn targets(
    table: &Table,
    me: MemberId,
    params: &Params,
    now: Instant,
    rng: &mut Rng,
) -> Draw {
    targets_among(table.order(), table, me, params, now, rng)
}

/// The same out of a list.
pub(crate) fn targets_among(
    list: impl Pool,
    table: &Table,
    me: MemberId,
    params: &Params,
    now: Instant,
    rng: &mut Rng,
) -> Draw {
    // The thesis drew as memberlist did then; everybody else draws so that nobody is missed.
    let sampling =
        if params.rumor_mode.is_thesis() { Sampling::Draws } else { Sampling::Exhaustive };
    sample(params.gossip_fanout, list, table, sampling, rng, |id, record| {
        id != me && hears_gossip(record, params, now)
    })
}

/// Whether a member still gets news: the dead for a while, so that one condemned by mistake
/// learns of it.
fn hears_gossip(record: &Record, params: &Params, now: Instant) -> bool {
    match record.state {
        MemberState::Alive | MemberState::Suspect => true,
        MemberState::Dead => now.saturating_since(record.since) <= params.gossip_to_dead,
        MemberState::Left => false,
    }
}
