//! Trees under faults: every failure of links, members and peers that concerns them, each by its name.
//!
//! A tree is warmed up, a fault acts while members talk, the fault ends. Then everybody who was a member
//! throughout has everything that was said, once, within one [`repair interval`](cast::REPAIR), and the
//! trees cost one copy per member again.
//!
//! | file | says |
//! |---|---|
//! | `cast` | members, what they said and heard, what must hold in the end |
//! | `graphs` | the lists of neighbours |
//! | `links` | losses, cuts, reordering, aligned ticks |
//! | `crowds` | many at once, clocks that jump |
//! | `deaths` | crashes, churn, pauses, cut vertices, ghosts |
//! | `delays` | round trips that flap |
//! | `hostile` | forged wishes and payloads, empty caches |
//! | `sizes` | payloads of all sizes, bursts, clusters of one to three |
//! | `plain` | members that speak memberlist only |
//! | `policies` | each policy of repair |

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod cast;
mod crowds;
mod deaths;
mod delays;
mod graphs;
mod hostile;
mod links;
mod plain;
mod policies;
mod sizes;
