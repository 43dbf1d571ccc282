//! The rows of the matrix against Serf's agent, which is asked through its command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;

use super::members::REPAIR;
use super::peers::{Kind, Peers};
use super::process::{Outcome, Peer, hex, until};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How often an agent is started with other ports, should somebody take one just before it does.
const STARTS_MAX: usize = 5;

/// A running agent.
struct Agent {
    process: Peer,
    program: PathBuf,
    rpc: String,
}

impl Agent {
    fn start(peers: &Peers, name: &str, ip: IpAddr, flags: &[&str]) -> Outcome<Self> {
        for _ in 0..STARTS_MAX {
            let (bind, rpc) = (free_port(ip)?, free_port(LOOPBACK)?.to_string());
            let mut command = Command::new(&peers.serf);
            command.args(["agent", "-node", name, "-bind", &bind.to_string(), "-rpc-addr", &rpc]);
            command.args(["-profile", "lan", "-log-level", "debug"]).args(flags);
            let mut process = Peer::spawn(name, &mut command)?;
            process.addr = bind.to_string();
            let mut agent = Self { process, program: peers.serf.clone(), rpc };
            let mut ended = false;
            until("the agent answers or ends", || {
                ended = agent.process.has_ended();
                Ok(ended || agent.ask(&["members"]).is_ok())
            })?;
            if !ended {
                return Ok(agent);
            }
        }
        Err(format!("the agent ended {STARTS_MAX} times"))
    }

    /// Runs a command of Serf's and returns what it printed.
    fn ask(&self, words: &[&str]) -> Outcome<String> {
        let mut command = Command::new(&self.program);
        command.arg(words[0]).args(["-rpc-addr", &self.rpc]).args(&words[1..]);
        let output = command.output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(said) } else { Err(format!("serf {words:?}: {said}")) }
    }

    /// Status and tags of a member; nothing if it is unknown.
    fn member(&self, name: &str) -> Outcome<String> {
        let list = self.ask(&["members"])?;
        let is_it = |line: &&str| line.split_whitespace().next() == Some(name);
        let columns = |line: &str| line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        Ok(list.lines().find(is_it).map(columns).unwrap_or_default())
    }

    /// Waits until it shows a member so.
    fn wait(&self, name: &str, shown: &str) -> Outcome {
        let mut seen = String::new();
        let found = until("", || {
            seen = self.member(name)?;
            Ok(seen.split(' ').any(|word| word == shown))
        });
        found.map_err(|_| {
            format!("{}: {name} is not shown as {shown}, but: {seen}", self.process.name)
        })
    }
}

/// A port that is free for UDP and TCP, and may be so no longer when it is wanted.
fn free_port(ip: IpAddr) -> Outcome<SocketAddr> {
    let find = || -> std::io::Result<SocketAddr> {
        loop {
            let addr = TcpListener::bind((ip, 0))?.local_addr()?;
            if UdpSocket::bind(addr).is_ok() {
                return Ok(addr);
            }
        }
    };
    find().map_err(|error| error.to_string())
}

/// What a member of a Serf cluster must say about itself.
const SERF: [&str; 4] = ["--delegate", "2,5,4", "--serf-intents", "on"];
const PLAIN: [&str; 1] = ["-disable-compression"];

fn ours(peers: &Peers, name: &str, flags: &[&str]) -> Outcome<Peer> {
    peers.ours(name, &[&SERF[..], flags].concat())
}

fn introduce(us: &mut Peer, agent: &Agent) -> Outcome {
    us.tell(&format!("join {}", agent.process.addr))?;
    us.wait(0, "joined", &[])?;
    us.wait(0, "join", &[("name", &agent.process.name), ("addr", &agent.process.addr)])?;
    agent.wait(&us.name, "alive")
}

fn pair(peers: &Peers, flags: &[&str]) -> Outcome<(Peer, Agent)> {
    let agent = Agent::start(peers, "serf", LOOPBACK, &PLAIN)?;
    let mut us = ours(peers, "us", flags)?;
    introduce(&mut us, &agent)?;
    Ok((us, agent))
}

/// News reach ours by gossip, and nobody suspects anybody. The agent's event is one of its own user
/// messages, of which ours understands nothing but that they go on. It is said until it is heard: an
/// epidemic of few copies may end before it has reached everybody.
fn gossip_passes(us: &Peer, agent: &Agent, news: &str) -> Outcome {
    let (mark, name) = (us.mark(), hex(news.as_bytes()));
    until(&format!("{} hears {news}", us.name), || {
        agent.ask(&["event", "-coalesce=false", news])?;
        Ok(us.has_said(mark, "message", &name))
    })?;
    us.never(0, "suspected", &[])?;
    us.never(0, "gone", &[])?;
    agent.wait(&us.name, "alive")
}

pub(crate) fn join_theirs(peers: &Peers, _: Kind) -> Outcome {
    let (us, agent) = pair(peers, &[])?;
    gossip_passes(&us, &agent, "news")
}

pub(crate) fn join_ours(peers: &Peers, _: Kind) -> Outcome {
    let agent = Agent::start(peers, "serf", LOOPBACK, &PLAIN)?;
    let us = ours(peers, "us", &[])?;
    agent.ask(&["join", &us.addr])?;
    agent.wait("us", "alive")?;
    us.wait(0, "join", &[("name", "serf"), ("addr", &agent.process.addr)])?;
    gossip_passes(&us, &agent, "news")
}

pub(crate) fn leave(peers: &Peers, _: Kind) -> Outcome {
    let (mut us, agent) = pair(peers, &[])?;
    us.tell("leave")?;
    us.wait(0, "left-self", &[])?;
    agent.wait("us", "left")?;
    let (us, agent) = pair(peers, &[])?;
    agent.ask(&["leave"])?;
    us.wait(0, "gone", &[("name", "serf"), ("how", "left")]).map(drop)
}

pub(crate) fn kill(peers: &Peers, _: Kind) -> Outcome {
    let (us, mut agent) = pair(peers, &[])?;
    agent.process.kill()?;
    us.wait(0, "gone", &[("name", "serf"), ("how", "dead")])?;
    let (mut us, agent) = pair(peers, &[])?;
    us.kill()?;
    agent.wait("us", "failed")
}

pub(crate) fn suspect_and_refute(peers: &Peers, _: Kind) -> Outcome {
    let (us, agent) = pair(peers, &["--suspicion-mult", "60"])?;
    agent.process.freeze()?;
    let suspected = us.wait(0, "suspected", &[("name", "serf")]);
    agent.process.thaw()?;
    us.wait(suspected?.next, "recovered", &[("name", "serf")])?;
    us.freeze()?;
    let suspected = agent.process.wait_text(0, "Suspect us has failed");
    us.thaw()?;
    suspected?;
    us.wait(0, "refuted", &[])?;
    agent.wait("us", "alive")
}

/// Tags, as Serf calls them.
pub(crate) fn meta(peers: &Peers, _: Kind) -> Outcome {
    let (mut us, agent) = pair(peers, &[])?;
    us.tell(&format!("meta {}", hex(b"\xff\x81\xa4role\xa3web")))?;
    agent.ask(&["tags", "-set", "color=blue"])?;
    let color = hex(b"\xa5color\xa4blue");
    until("ours hears of their tag", || Ok(us.has_said(0, "update", &color)))?;
    until("the agent shows our role", || Ok(agent.member("us")?.contains("role=web")))
}

/// Serf's keys have 32 bytes, in base 64 at its own doors.
const KEYS: [(&str, &str); 2] = [
    (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ),
    (
        "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "/wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ),
];

/// Serf changes its keys by a query, which ours does not answer: the agent complains and does it.
pub(crate) fn keys(peers: &Peers, _: Kind) -> Outcome {
    let [(old, old64), (new, new64)] = KEYS;
    let agent =
        Agent::start(peers, "serf", LOOPBACK, &[&PLAIN[..], &["-encrypt", old64]].concat())?;
    let mut us = ours(peers, "us", &["--keys", old])?;
    introduce(&mut us, &agent)?;
    for (verb, key, key64) in [("install", new, new64), ("use", new, new64), ("remove", old, old64)]
    {
        gossip_passes(&us, &agent, &format!("before-{verb}"))?;
        let mark = us.mark();
        us.tell(&format!("key {verb} {key}"))?;
        us.wait(mark, "keys", &[])?;
        gossip_passes(&us, &agent, &format!("ours-did-{verb}"))?;
        let _ = agent.ask(&["keys", &format!("-{verb}={key64}")]);
        gossip_passes(&us, &agent, &format!("theirs-did-{verb}"))?;
    }
    let mut stranger = ours(peers, "stranger", &["--keys", old])?;
    stranger.tell(&format!("join {}", agent.process.addr))?;
    stranger.wait(0, "refused", &[])?;
    match &*agent.member("stranger")? {
        "" => Ok(()),
        shown => Err(format!("one with the old key was accepted: {shown}")),
    }
}

/// Each side compresses or does not.
pub(crate) fn compression(peers: &Peers, _: Kind) -> Outcome {
    for theirs in [&[][..], &PLAIN] {
        for compression in ["on", "off"] {
            let agent = Agent::start(peers, "serf", LOOPBACK, theirs)?;
            let mut us = ours(peers, "us", &["--compression", compression])?;
            introduce(&mut us, &agent)?;
            agent.ask(&["join", &us.addr])?;
            gossip_passes(&us, &agent, &"over-and-over-".repeat(20))?;
        }
    }
    Ok(())
}

pub(crate) fn ipv4(peers: &Peers, _: Kind) -> Outcome {
    on(peers, LOOPBACK)
}

pub(crate) fn ipv6(peers: &Peers, _: Kind) -> Outcome {
    on(peers, Ipv6Addr::LOCALHOST.into())
}

fn on(peers: &Peers, ip: IpAddr) -> Outcome {
    let agent = Agent::start(peers, "serf", ip, &PLAIN)?;
    let mut us = ours(peers, "us", &["--bind", &SocketAddr::new(ip, 0).to_string()])?;
    introduce(&mut us, &agent)?;
    gossip_passes(&us, &agent, "news")
}

/// All of memberlist's versions that ours can speak and all of Serf's own in one cluster; and one
/// who does not say that it understands Serf's is refused, as Serf specifies.
pub(crate) fn versions(peers: &Peers, _: Kind) -> Outcome {
    let mut agents = Vec::new();
    for version in ["2", "3", "4", "5"] {
        let flags = [&PLAIN[..], &["-protocol", version]].concat();
        agents.push(Agent::start(peers, &format!("serf{version}"), LOOPBACK, &flags)?);
    }
    for agent in &agents[1..] {
        agents[0].ask(&["join", &agent.process.addr])?;
    }
    let mut members = Vec::new();
    for version in ["2", "3", "4", "5"] {
        let mut us = ours(
            peers,
            &format!("us{version}"),
            &[&REPAIR[..], &["--protocol", version]].concat(),
        )?;
        introduce(&mut us, &agents[0])?;
        for agent in &agents {
            agent.wait(&us.name, "alive")?;
            us.wait(0, "join", &[("name", &agent.process.name)])?;
        }
        gossip_passes(&us, &agents[1], &format!("news-for-{version}"))?;
        members.push(us);
    }
    let mut stranger = peers.ours("stranger", &[])?;
    stranger.tell(&format!("join {}", agents[0].process.addr))?;
    stranger.wait(
        0,
        "refused",
        &[("error", "the protocol versions of the two clusters do not fit together")],
    )?;
    match &*agents[0].member("stranger")? {
        "" => Ok(()),
        shown => Err(format!("the stranger was accepted: {shown}")),
    }
}
