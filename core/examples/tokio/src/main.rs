//! Two members on tokio: one joins through the other, both tell a rumour, one leaves.
//!
//! `cargo run` in this folder prints what they hear; `member.rs` is how it is done.

mod member;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use rumormill::Fact;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use member::{Input, Member};

/// A running member as the application sees it.
struct Handle {
    name: &'static str,
    addr: SocketAddr,
    door: Sender<Input>,
    told: UnboundedReceiver<Fact>,
}

impl Handle {
    async fn start(name: &'static str) -> Result<Self, Box<dyn Error>> {
        let member = Member::bind(name).await?;
        let (tell, told) = unbounded_channel();
        let (addr, door) = (member.tcp.local_addr()?, member.door.clone());
        tokio::spawn(member.run(tell));
        Ok(Self { name, addr, door, told })
    }

    async fn wish(&self, input: Input) -> Result<(), &'static str> {
        self.door.send(input).await.map_err(|_| "the member has ended")
    }

    /// Prints what the member hears until the wanted fact is among it.
    async fn hears(&mut self, wanted: impl Fn(&Fact) -> bool) -> Result<(), &'static str> {
        loop {
            let fact = self.told.recv().await.ok_or("the member has ended")?;
            println!("{}: {fact:?}", self.name);
            if wanted(&fact) {
                return Ok(());
            }
        }
    }
}

async fn story() -> Result<(), Box<dyn Error>> {
    let (mut ada, mut bob) = (Handle::start("ada").await?, Handle::start("bob").await?);
    bob.wish(Input::Join(ada.addr)).await?;
    bob.hears(|fact| matches!(fact, Fact::SeedReached { .. })).await?;
    ada.hears(|fact| matches!(fact, Fact::Joined { name, .. } if name.as_bytes() == b"bob"))
        .await?;
    bob.wish(Input::Say(b"hello, ada")).await?;
    ada.wish(Input::Say(b"hello, bob")).await?;
    ada.hears(|fact| matches!(fact, Fact::Rumor { payload, .. } if payload == "hello, ada"))
        .await?;
    bob.hears(|fact| matches!(fact, Fact::Rumor { payload, .. } if payload == "hello, bob"))
        .await?;
    bob.wish(Input::Leave).await?;
    ada.hears(|fact| matches!(fact, Fact::Left { .. })).await?;
    bob.hears(|fact| matches!(fact, Fact::LeaveDone)).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    timeout(Duration::from_secs(30), story()).await?
}
