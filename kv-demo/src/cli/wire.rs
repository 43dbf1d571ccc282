//! What can be said about what is around a node's messages.

use clap::Args;
use kv_demo::wire::{WireFile, WireSettings};

#[derive(Clone, Debug, Args)]
pub(crate) struct WireArgs {
    /// Name of the cluster, at most 255 bytes. It travels on every datagram and stream, and members
    /// with another one are refused, so that two clusters never merge by mistake. It is no secret.
    /// memberlist 0.2 and Serf know no labels
    #[arg(long, value_name = "NAME", env = "KV_DEMO_LABEL", hide_env_values = true)]
    label: Option<String>,
}

impl WireArgs {
    /// These over those of a file.
    pub(crate) fn over(&self, file: Option<&WireFile>) -> WireSettings {
        let label = self.label.as_ref().or(file.and_then(|file| file.label.as_ref()));
        WireSettings { label: label.map(|label| label.clone().into_bytes()).unwrap_or_default() }
    }
}
