//! The rows of the matrix against members that speak our lines.

use super::packets::KEYS;
use super::peers::{Kind, Peers};
use super::process::{Outcome, Peer, hex};

/// One of ours and one of theirs, strangers yet.
fn strangers(peers: &Peers, kind: Kind, flags: &[&str]) -> Outcome<(Peer, Peer)> {
    Ok((peers.ours("us", flags)?, peers.go(kind, "go", flags)?))
}

/// One of ours and one of theirs that know each other.
fn pair(peers: &Peers, kind: Kind, flags: &[&str]) -> Outcome<(Peer, Peer)> {
    let (mut us, go) = strangers(peers, kind, flags)?;
    introduce(&mut us, &go)?;
    Ok((us, go))
}

/// The first joins the second, and both come to know it.
pub(crate) fn introduce(newcomer: &mut Peer, seed: &Peer) -> Outcome {
    newcomer.tell(&format!("join {}", seed.addr))?;
    newcomer.wait(0, "joined", &[])?;
    newcomer.wait(0, "join", &[("name", &seed.name), ("addr", &seed.addr)])?;
    seed.wait(0, "join", &[("name", &newcomer.name), ("addr", &newcomer.addr)]).map(drop)
}

/// Theirs gets an ack from ours in time; ours finds nothing wrong with theirs.
fn probes_pass(us: &Peer, go: &Peer) -> Outcome {
    let rounds = (0..3).try_fold(0, |from, _| {
        go.wait(from, "ping", &[("name", &us.name)]).map(|found| found.next)
    });
    rounds?;
    us.never(0, "suspected", &[])?;
    go.never(0, "gone", &[])
}

pub(crate) fn join_theirs(peers: &Peers, kind: Kind) -> Outcome {
    let (us, go) = pair(peers, kind, &[])?;
    probes_pass(&us, &go)
}

pub(crate) fn join_ours(peers: &Peers, kind: Kind) -> Outcome {
    let (us, mut go) = strangers(peers, kind, &[])?;
    introduce(&mut go, &us)?;
    probes_pass(&us, &go)
}

pub(crate) fn leave(peers: &Peers, kind: Kind) -> Outcome {
    let (mut us, mut go) = pair(peers, kind, &[])?;
    us.tell("leave")?;
    us.wait(0, "left-self", &[])?;
    go.wait(0, "gone", &[("name", "us")])?;
    go.wait_state("us", "left")?;
    let (us, mut go) = pair(peers, kind, &[])?;
    go.tell("leave")?;
    us.wait(0, "gone", &[("name", "go"), ("how", "left")])?;
    go.wait(0, "left-self", &[]).map(drop)
}

pub(crate) fn kill(peers: &Peers, kind: Kind) -> Outcome {
    let (us, mut go) = pair(peers, kind, &[])?;
    go.kill()?;
    us.wait(0, "gone", &[("name", "go"), ("how", "dead")])?;
    let (mut us, mut go) = pair(peers, kind, &[])?;
    us.kill()?;
    go.wait(0, "gone", &[("name", "us")])?;
    go.wait_state("us", "dead")
}

pub(crate) fn suspect_and_refute(peers: &Peers, kind: Kind) -> Outcome {
    // Whoever is frozen has time to thaw.
    let (us, mut go) = pair(peers, kind, &["--suspicion-mult", "60"])?;
    go.freeze()?;
    let suspected = us.wait(0, "suspected", &[("name", "go")]);
    go.thaw()?;
    us.wait(suspected?.next, "recovered", &[("name", "go")])?;
    us.freeze()?;
    let suspected = go.wait_state("us", "suspect");
    us.thaw()?;
    suspected?;
    us.wait(0, "refuted", &[])?;
    go.wait_state("us", "alive")?;
    go.never(0, "gone", &[])?;
    us.never(0, "gone", &[])
}

pub(crate) fn meta(peers: &Peers, kind: Kind) -> Outcome {
    let (mut us, mut go) = pair(peers, kind, &["--meta", "00ff"])?;
    us.wait(0, "join", &[("name", "go"), ("meta", "00ff")])?;
    go.wait(0, "join", &[("name", "us"), ("meta", "00ff")])?;
    us.tell("meta c0ffee")?;
    go.wait(0, "update", &[("name", "us"), ("meta", "c0ffee")])?;
    let longest = hex(&[7; 512]);
    go.tell(&format!("meta {longest}"))?;
    us.wait(0, "update", &[("name", "go"), ("meta", &longest)]).map(drop)
}

/// Three of theirs and one of ours: what one says all others hear, passed on by whom it reaches.
pub(crate) fn broadcast(peers: &Peers, kind: Kind) -> Outcome {
    let (mut us, mut go) = pair(peers, kind, &[])?;
    let mut others = [peers.go(kind, "go2", &[])?, peers.go(kind, "go3", &[])?];
    for other in &mut others {
        introduce(other, &go)?;
        us.wait(0, "join", &[("name", &other.name)])?;
    }
    for round in 0..5 {
        let (ours, theirs) = (hex(&[1, round]), hex(&[2, round]));
        us.tell(&format!("broadcast {ours}"))?;
        go.tell(&format!("broadcast {theirs}"))?;
        us.wait(0, "message", &[("payload", &theirs)])?;
        for other in &others {
            other.wait(0, "message", &[("payload", &theirs)])?;
        }
        for other in others.iter().chain([&go]) {
            other.wait(0, "message", &[("payload", &ours)])?;
        }
    }
    Ok(())
}

pub(crate) fn messages(peers: &Peers, kind: Kind) -> Outcome {
    let (mut us, mut go) = pair(peers, kind, &[])?;
    let long: Vec<u8> = b"direct".iter().copied().chain((0..=255).cycle().take(200_000)).collect();
    for (how, payload) in
        [("best-effort", &long[..1_000]), ("reliable", &long[..9]), ("reliable", &long)]
    {
        let payload = hex(payload);
        us.tell(&format!("send go {how} {payload}"))?;
        go.wait(0, "message", &[("payload", &payload)])?;
        go.tell(&format!("send us {how} {payload}"))?;
        us.wait(0, "message", &[("payload", &payload)])?;
    }
    Ok(())
}

pub(crate) fn state(peers: &Peers, kind: Kind) -> Outcome {
    let often = |state| ["--push-pull", "500ms", "--state", state];
    let mut us = peers.ours("us", &often("aaaa"))?;
    let mut go = peers.go(kind, "go", &often("bbbb"))?;
    introduce(&mut us, &go)?;
    us.wait(0, "peer-state", &[("payload", "bbbb")])?;
    go.wait(0, "peer-state", &[("payload", "aaaa")])?;
    let long = hex(&(0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    us.tell(&format!("state {long}01"))?;
    go.tell(&format!("state {long}02"))?;
    us.wait(0, "peer-state", &[("payload", &format!("{long}02"))])?;
    go.wait(0, "peer-state", &[("payload", &format!("{long}01"))]).map(drop)
}

pub(crate) fn label(peers: &Peers, kind: Kind) -> Outcome {
    let (mut us, go) = pair(peers, kind, &["--label", "blue"])?;
    probes_pass(&us, &go)?;
    for stranger in [&["--label", "red"][..], &[]] {
        kept_out(peers, kind, &mut us, stranger)?;
    }
    Ok(())
}

/// One of theirs that is not of our cluster of two gets into it by no way, nor ours into its.
fn kept_out(peers: &Peers, kind: Kind, us: &mut Peer, flags: &[&str]) -> Outcome {
    let mut stranger = peers.go(kind, "stranger", flags)?;
    stranger.tell(&format!("join {}", us.addr))?;
    stranger.wait(0, "error", &[("command", "join")])?;
    let mark = us.mark();
    us.tell(&format!("join {}", stranger.addr))?;
    us.wait(mark, "refused", &[])?;
    for (peer, count) in [(us, "2"), (&mut stranger, "1")] {
        let known = peer.members()?;
        if known != count {
            return Err(format!("{} knows {known} members, not {count}", peer.name));
        }
    }
    Ok(())
}

/// Each side tells the other ten things by gossip, and one by a stream.
fn talk(us: &mut Peer, go: &mut Peer, about: &str) -> Outcome {
    for ours_first in [true, false] {
        let (speaker, hearer) =
            if ours_first { (&mut *us, &mut *go) } else { (&mut *go, &mut *us) };
        let mark = hearer.mark();
        for round in 0..10 {
            let news = hex(format!("{about}, {round} of {}", speaker.name).as_bytes());
            speaker.tell(&format!("broadcast {news}"))?;
            hearer.wait(mark, "message", &[("payload", &news)])?;
        }
        let direct = hex(format!("direct, {about}").as_bytes());
        speaker.tell(&format!("send {} reliable {direct}", hearer.name))?;
        hearer.wait(mark, "message", &[("payload", &direct)])?;
    }
    Ok(())
}

/// From each key to the next while both talk: add it everywhere, use it everywhere, remove the old
/// one everywhere. Then strangers with the old key, or none, are kept out.
pub(crate) fn keys(peers: &Peers, kind: Kind) -> Outcome {
    let (mut us, mut go) = pair(peers, kind, &["--keys", KEYS[0], "--push-pull", "500ms"])?;
    talk(&mut us, &mut go, "the first key")?;
    for pair in KEYS.windows(2) {
        let [old, new] = pair else { continue };
        for (verb, key) in [("install", new), ("use", new), ("remove", old)] {
            for first in [true, false] {
                let peer = if first { &mut us } else { &mut go };
                let mark = peer.mark();
                peer.tell(&format!("key {verb} {key}"))?;
                peer.wait(mark, "keys", &[])?;
                // Half of the members have done it.
                talk(&mut us, &mut go, &format!("{verb} {key} {first}"))?;
            }
        }
    }
    probes_pass(&us, &go)?;
    us.never(0, "gone", &[])?;
    for stranger in [&["--keys", KEYS[0]][..], &[]] {
        kept_out(peers, kind, &mut us, stranger)?;
    }
    Ok(())
}

/// Each side compresses or does not: all four ways, streams and datagrams.
pub(crate) fn compression(peers: &Peers, kind: Kind) -> Outcome {
    let state = |number: u8| hex(&[&b"again and again "[..]; 2_000].concat()) + &hex(&[number]);
    for (ours, theirs) in [("on", "on"), ("on", "off"), ("off", "on"), ("off", "off")] {
        let flags = |compression, state| {
            ["--push-pull", "500ms", "--state", state, "--compression", compression]
        };
        let (one, two) = (state(1), state(2));
        let mut us = peers.ours("us", &flags(ours, &one))?;
        let mut go = peers.go(kind, "go", &flags(theirs, &two))?;
        introduce(&mut us, &go)?;
        us.wait(0, "peer-state", &[("payload", &two)])?;
        go.wait(0, "peer-state", &[("payload", &one)])?;
        // Long enough that a datagram is worth compressing.
        talk(&mut us, &mut go, &"over and over ".repeat(40))?;
        probes_pass(&us, &go)?;
    }
    Ok(())
}

pub(crate) fn ipv4(peers: &Peers, kind: Kind) -> Outcome {
    on(peers, kind, "127.0.0.1:0")
}

pub(crate) fn ipv6(peers: &Peers, kind: Kind) -> Outcome {
    on(peers, kind, "[::1]:0")
}

fn on(peers: &Peers, kind: Kind, bind: &str) -> Outcome {
    let (us, go) = pair(peers, kind, &["--bind", bind])?;
    probes_pass(&us, &go)
}

/// An epidemic of few copies may miss one of many members: exchanges of state then tell it soon.
pub(crate) const REPAIR: [&str; 2] = ["--push-pull", "2000ms"];

/// All versions in one cluster: each of ours and of theirs speaks another one.
pub(crate) fn versions(peers: &Peers, kind: Kind) -> Outcome {
    let mut seed = peers.go(kind, "seed", &REPAIR)?;
    let mut members = Vec::new();
    for version in ["2", "3", "4", "5"] {
        let flags = [&REPAIR[..], &["--protocol", version]].concat();
        members.push(peers.ours(&format!("us{version}"), &flags)?);
        members.push(peers.go(kind, &format!("go{version}"), &flags)?);
    }
    for member in &mut members {
        introduce(member, &seed)?;
    }
    let all = members.len() + 1;
    for member in members.iter_mut().chain([&mut seed]) {
        super::process::until(&format!("{} knows all", member.name), || {
            Ok(member.members()? == all.to_string())
        })?;
    }
    for us in members.iter().filter(|member| member.name.starts_with("us")) {
        seed.wait(0, "ping", &[("name", &us.name)])?;
    }
    members.iter().try_for_each(|member| member.never(0, "gone", &[]))
}
