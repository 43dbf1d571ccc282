//! What a peer may send and what must come of it: the protocol page §9 and the attacks that this
//! core is held to. `HOSTILE.md` beside this file maps each row to its tests; `core/tests/claims.rs`
//! measures the memory.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

mod attacks;
mod layers;
mod members;
mod packets;
mod streams;
#[path = "../util/mod.rs"]
mod util;
