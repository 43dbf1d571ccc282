//! The gossip key-value store and its experiment, as a library behind the `kv-demo` binary.
//!
//! | module | says |
//! |---|---|
//! | [`store`], [`hlc`] | the store and its clock, pure |
//! | [`thesis`] | the original experiment's messages, byte for byte |
//! | [`replica`] | a store that writes and reads messages, pure |
//! | [`topology`], [`config`], [`settings`] | who is linked with whom, files, presets |
//! | [`node`] | a running node: replica, HTTP door, signals |
//! | [`members`] | asking a running node |
//! | [`trace`], [`metrics`], [`summary`] | what runs leave behind, and what is made of it |
//! | [`report`], [`plot`], [`page`] | how it is told |
//! | [`experiment`] | clusters of processes, one run after the other |

pub mod config;
pub mod experiment;
pub mod hlc;
pub mod members;
pub mod metrics;
pub mod node;
pub mod page;
pub mod plot;
pub mod replica;
pub mod report;
pub mod settings;
pub mod store;
pub mod summary;
pub mod thesis;
pub mod topology;
pub mod trace;
