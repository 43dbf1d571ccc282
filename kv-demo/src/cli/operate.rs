//! What can be said to a running node.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use kv_demo::config::SeedAddr;
use kv_demo::operate::{self, OperateError};

use super::{HTTP_DEFAULT, parse_millis};

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The node's HTTP door
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_DEFAULT)]
    http: SeedAddr,
    /// Give up on what has not answered by then, at most 60s
    #[arg(long, value_name = "TIME", value_parser = parse_millis, default_value = "10s")]
    timeout: u32,
    /// Members of the cluster to join, in the forms that `kv-demo node --join` takes
    #[arg(value_name = "[NAME/]HOST[:PORT]|_SERVICE")]
    seeds: Vec<String>,
}

impl JoinArgs {
    pub(crate) fn run(&self) -> Result<(), OperateError> {
        operate::join(&self.http, &self.seeds, millis(self.timeout), &mut io::stdout().lock())
    }
}

#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// The node's HTTP door
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_DEFAULT)]
    http: SeedAddr,
    /// Wait this long for its goodbye and its end
    #[arg(long, value_name = "TIME", value_parser = parse_millis, default_value = "30s")]
    timeout: u32,
}

impl LeaveArgs {
    pub(crate) fn run(&self) -> Result<(), OperateError> {
        operate::leave(&self.http, millis(self.timeout), &mut io::stdout().lock())
    }
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// The node's HTTP door
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_DEFAULT, global = true)]
    http: SeedAddr,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Show the fingerprints of the node's keys, the primary one first. No key is ever shown: they
    /// are in the node's key file
    List,
    /// Add a key, to decrypt with
    Install {
        /// A file with a key in base64, as `kv-demo keygen` prints it; `-` is standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
    },
    /// Make an installed key the primary one, which encrypts
    Use {
        /// What `kv-demo keys list` shows, or its first digits
        fingerprint: String,
    },
    /// Forget a key. Whoever still encrypts with it is no longer understood
    Remove {
        /// What `kv-demo keys list` shows, or its first digits
        fingerprint: String,
    },
}

impl KeysArgs {
    pub(crate) fn run(&self) -> Result<(), OperateError> {
        let (door, out) = (&self.http, &mut io::stdout().lock());
        match &self.command {
            KeysCommand::List => operate::list_keys(door, out),
            KeysCommand::Install { file } => operate::install_keys(door, file, out),
            KeysCommand::Use { fingerprint } => operate::use_key(door, fingerprint, out),
            KeysCommand::Remove { fingerprint } => operate::remove_key(door, fingerprint, out),
        }
    }
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}
