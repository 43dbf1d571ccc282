//! Two nodes on loopback: one joins through the other, tells it a rumour, and leaves.
//!
//! `cargo run -p rumormill-mio --example two_nodes` prints what each node hears.

use std::error::Error;

use rumormill::{Channel, Config, Event, Fact, Node, NodeName, Params};
use rumormill_mio::{App, Ctl, NodeKey, NodeOptions, Runtime};

/// The channel of this example's own messages.
const GREETINGS: Channel = Channel(1);

/// The node that joins, talks and leaves.
struct Bob(Option<NodeKey>);

impl App for Bob {
    /// No other thread has anything to say.
    type Command = ();

    fn on_event(&mut self, ctl: &mut Ctl<'_>, node: NodeKey, event: Event) {
        let who = ctl.node(node).local().name.clone();
        match event.fact {
            Fact::Joined { name, addr, .. } => println!("{who}: {name} is at {addr}"),
            Fact::SeedReached { seed } => {
                println!("{who}: {seed} answered, so I tell everybody a rumour");
                if let Err(error) = ctl.act(node, |node, now| node.broadcast(now, GREETINGS, b"hi"))
                {
                    println!("{who}: it was refused: {error}");
                }
            }
            Fact::Rumor { payload, from, .. } => {
                println!("{who}: heard {payload:?} from {from}; now Bob may go");
                if let Some(bob) = self.0 {
                    ctl.act(bob, Node::leave);
                }
            }
            Fact::Left { name, .. } => {
                println!("{who}: {name} has left");
                ctl.stop();
            }
            other => println!("{who}: {other:?}"),
        }
    }

    fn on_command(&mut self, _: &mut Ctl<'_>, (): ()) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let params = Params::try_from(Config::local())?;
    let options = |name: &str| -> Result<NodeOptions, Box<dyn Error>> {
        // Port 0: any that is free.
        Ok(NodeOptions::new(NodeName::new(name)?, "127.0.0.1:0".parse()?, params.clone()))
    };
    let (mut runtime, _handle) = Runtime::new(Bob(None))?;
    let ada = runtime.add(options("ada")?)?;
    let bob = runtime.add(options("bob")?)?;
    runtime.app_mut().0 = Some(bob);
    let seed = runtime.local_addr(ada);
    runtime.act(bob, |node, now| node.join(now, &[seed]));
    runtime.run()?;
    Ok(())
}
