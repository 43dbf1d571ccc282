//! The gossip key-value store and its experiment, as a library behind the `kv-demo` binary.
//!
//! | module | says |
//! |---|---|
//! | [`store`], [`hlc`] | the store and its clock, pure |
//! | [`thesis`] | the original experiment's messages, byte for byte |
//! | [`replica`] | a store that writes and reads messages, pure |
//! | [`peer`] | a replica, its node and its trace, whatever runs them |
//! | [`topology`], [`config`], [`settings`], [`wire`], [`keys`] | who is linked with whom, files, presets, keys |
//! | [`node`] | a running node: replica, HTTP door, signals |
//! | [`sim_node`] | a node in the simulator |
//! | [`members`], [`operate`] | asking a running node, telling it what to do |
//! | [`resolve`] | from host and service names to addresses |
//! | [`trace`], [`metrics`], [`summary`] | what runs leave behind, and what is made of it |
//! | [`report`], [`plot`], [`page`] | how it is told |
//! | [`experiment`] | clusters of processes, one run after the other |
//! | [`agent`] | processes of an experiment on another host |

pub mod agent;
pub mod config;
pub mod experiment;
pub mod hlc;
pub mod keys;
pub mod members;
pub mod metrics;
pub mod node;
pub mod operate;
pub mod page;
pub mod peer;
pub mod plot;
pub mod plumtree;
pub mod replica;
pub mod report;
pub mod resolve;
pub mod settings;
pub mod sim_node;
pub mod store;
pub mod summary;
pub mod thesis;
pub mod topology;
pub mod trace;
pub mod wire;
