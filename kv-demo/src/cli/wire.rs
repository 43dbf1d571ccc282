//! What can be said about what is around a node's messages.

use std::path::PathBuf;

use clap::Args;
use kv_demo::wire::WireWishes;

use super::Switch;

#[derive(Clone, Debug, Args)]
pub(crate) struct WireArgs {
    /// Name of the cluster, at most 255 bytes. It travels on every datagram and stream, and members
    /// with another one are refused, so that two clusters never merge by mistake. It is no secret.
    /// memberlist 0.2 and Serf know no labels
    #[arg(long, value_name = "NAME", env = "KV_DEMO_LABEL", hide_env_values = true)]
    label: Option<String>,
    /// Encrypt everything with the keys of this file: one a line in base64, as `kv-demo keygen`,
    /// `serf keygen` and `consul keygen` print them. The first one, the primary, encrypts; all
    /// decrypt; `#` starts a comment. `kv-demo keys` changes the keys of the running node and this
    /// file with them
    #[arg(long, value_name = "FILE", env = "KV_DEMO_ENCRYPT_KEY_FILE", hide_env_values = true)]
    encrypt_key_file: Option<PathBuf>,
    /// Whether plaintext from others is refused. To encrypt a running cluster, restart its members
    /// one by one, three times: with the keys and both --verify flags off, then with
    /// --verify-outgoing on, then with both on [default: on]
    #[arg(
        long,
        value_name = "on|off",
        hide_possible_values = true,
        env = "KV_DEMO_VERIFY_INCOMING",
        hide_env_values = true
    )]
    verify_incoming: Option<Switch>,
    /// Whether what is sent is encrypted, where there are keys [default: on]
    #[arg(
        long,
        value_name = "on|off",
        hide_possible_values = true,
        env = "KV_DEMO_VERIFY_OUTGOING",
        hide_env_values = true
    )]
    verify_outgoing: Option<Switch>,
    /// Whether what is sent is compressed where that makes it shorter. What others compress is
    /// understood anyhow [default: off]
    #[arg(
        long,
        value_name = "on|off",
        hide_possible_values = true,
        env = "KV_DEMO_COMPRESSION",
        hide_env_values = true
    )]
    compression: Option<Switch>,
}

impl WireArgs {
    /// What the flags say.
    pub(crate) fn wishes(self) -> WireWishes {
        let is_on = |switch: Option<Switch>| switch.map(|switch| switch == Switch::On);
        WireWishes {
            label: self.label,
            encrypt_key_file: self.encrypt_key_file,
            verify_incoming: is_on(self.verify_incoming),
            verify_outgoing: is_on(self.verify_outgoing),
            compression: is_on(self.compression),
        }
    }
}
