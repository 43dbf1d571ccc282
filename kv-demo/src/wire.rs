//! What is around a node's messages: the cluster's name and compression.

use rumormill::Config;
use serde::Deserialize;

/// What a file may say about it; `None` leaves the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireFile {
    /// Name of the cluster.
    pub label: Option<String>,
}

/// What is around every datagram and every stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireSettings {
    /// Name of the cluster, at most 255 bytes; empty: none. Members with another one are strangers.
    pub label: Vec<u8>,
}

impl WireSettings {
    /// Takes them over into the knobs of a node.
    pub fn apply(&self, config: &mut Config) {
        config.label.clone_from(&self.label);
    }
}
