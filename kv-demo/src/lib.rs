//! The gossip key-value store and its experiment, as a library behind the `kv-demo` binary.
//!
//! | module | says |
//! |---|---|
//! | [`store`], [`hlc`] | the store and its clock, pure |
//! | [`thesis`] | the original experiment's messages, byte for byte |
//! | [`replica`] | a store that writes and reads messages, pure |
//! | [`topology`], [`config`], [`settings`] | who is linked with whom, files, presets |
//! | [`trace`], [`metrics`], [`summary`], [`report`], [`plot`] | what runs leave behind, and what is made of it |

pub mod config;
pub mod hlc;
pub mod metrics;
pub mod plot;
pub mod replica;
pub mod report;
pub mod settings;
pub mod store;
pub mod summary;
pub mod thesis;
pub mod topology;
pub mod trace;
