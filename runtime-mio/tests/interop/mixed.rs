//! Clusters of our members and of memberlist's, where ours spread rumours along links.
//!
//! Every message that anybody starts reaches everybody: ours each once, however it comes; Go members
//! from their two proxies, and from each other where they pass on what they hear.

use std::collections::BTreeSet;
use std::fmt;

use super::members::introduce;
use super::peers::{Kind, Peers};
use super::process::{Outcome, Peer, field, hex, until};

/// Who tells everybody: one of ours or of theirs, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kin {
    Ours,
    Theirs,
}

/// The links of our members.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Links {
    Ring,
    /// The ring, and three chords from each: of degree five.
    Regular,
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "ring",
            Self::Regular => "5-regular",
        })
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) links: Links,
    pub(crate) ours: usize,
    /// Half of them the newest version, half the oldest.
    pub(crate) theirs: usize,
    /// Whether Go members pass on what they hear. If not, what they start might reach Go members
    /// alone, so they start nothing.
    pub(crate) relay: bool,
}

impl Case {
    /// The places of the neighbours of one of ours.
    fn neighbors(self, place: usize) -> BTreeSet<usize> {
        let size = self.ours;
        let steps: &[usize] = match self.links {
            Links::Ring => &[1],
            Links::Regular => &[1, 2],
        };
        let ends = steps.iter().flat_map(|step| [place + step, place + size - step]);
        let half = matches!(self.links, Links::Regular).then_some(place + size / 2);
        ends.chain(half).map(|end| end % size).filter(|&end| end != place).collect()
    }
}

/// Copies that a Go member sends of a broadcast, in a cluster of ten: memberlist's multiplier times
/// the digits of their number.
const GO_COPIES: usize = 4 * 2;

/// Bytes of a large message.
const LARGE: usize = 20_000;

/// What was seen in a case, for its line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    messages: usize,
    /// Of each message at each Go member while all are well: least, mean, most.
    copies: (usize, f64, usize),
    /// Messages that were started after proxies had been killed, and heard by everybody.
    after_one: usize,
    after_both: Option<usize>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, copies: (least, mean, most), after_one, after_both } = self;
        let after_both = after_both.map_or("-".into(), |count| count.to_string());
        write!(f, "{messages} | {least} to {most}, mean {mean:.1} | {after_one} | {after_both}")
    }
}

/// A message in hex, and who started it.
#[derive(Clone)]
struct Said {
    payload: String,
    by: (Kin, usize),
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.20} of {:?}", self.payload, self.by)
    }
}

struct Cluster {
    case: Case,
    ours: Vec<Peer>,
    theirs: Vec<Peer>,
    dead: BTreeSet<usize>,
    /// Of the last message.
    number: u16,
}

pub(crate) fn run(peers: &Peers, case: Case) -> Outcome<Seen> {
    let mut cluster = Cluster::start(peers, case)?;
    let mut seen = Seen::default();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.extend(cluster.everybody_talks()?);
    }
    seen.copies = cluster.check_copies(&all)?;
    let well = all.len();
    all.push(cluster.large()?);
    let proxies = cluster.proxies(0)?;
    cluster.kill(proxies[0])?;
    all.extend(cluster.everybody_talks()?);
    seen.after_one = all.len() - well - 1;
    if !case.relay && case.ours > 2 {
        // Nobody has noticed yet that the first is dead, or somebody stands in for it already.
        let proxies = cluster.proxies(0)?;
        proxies.into_iter().try_for_each(|proxy| cluster.kill(proxy))?;
        let before = all.len();
        all.extend(cluster.everybody_talks()?);
        seen.after_both = Some(all.len() - before);
    }
    seen.messages = all.len();
    cluster.check_once(&all)?;
    Ok(seen)
}

impl Cluster {
    fn start(peers: &Peers, case: Case) -> Outcome<Self> {
        let relay = if case.relay { "on" } else { "off" };
        let ours =
            (0..case.ours).map(|place| peers.ours(&format!("us{place}"), &["--matching", "on"]));
        let theirs = (0..case.theirs).map(|place| {
            let kind = if place % 2 == 0 { Kind::Newest } else { Kind::Oldest };
            peers.go(kind, &format!("go{place}"), &["--relay", relay])
        });
        let (ours, theirs) = (ours.collect::<Outcome<_>>()?, theirs.collect::<Outcome<_>>()?);
        let mut new = Self { case, ours, theirs, dead: BTreeSet::new(), number: 0 };
        new.meet()?;
        Ok(new)
    }

    /// Everybody knows everybody, our members their neighbours, and each Go member has its proxies.
    fn meet(&mut self) -> Outcome {
        let (seed, others) = self.ours.split_first_mut().ok_or("nobody is there")?;
        for other in others.iter_mut().chain(&mut self.theirs) {
            introduce(other, seed)?;
        }
        let all = (self.case.ours + self.case.theirs).to_string();
        for peer in self.ours.iter_mut().chain(&mut self.theirs) {
            until(&format!("{} knows all", peer.name), || Ok(peer.members()? == all))?;
        }
        let addrs: Vec<String> = self.ours.iter().map(|peer| peer.addr.clone()).collect();
        for (place, peer) in self.ours.iter_mut().enumerate() {
            let ends = self.case.neighbors(place);
            let ends: Vec<&str> = ends.into_iter().map(|end| addrs[end].as_str()).collect();
            peer.tell(&format!("neighbors {}", ends.join(" ")))?;
            peer.wait(0, "neighbors", &[])?;
        }
        (0..self.case.theirs).try_for_each(|go| self.proxies(go).map(drop))
    }

    /// Who of ours that live brings a Go member its rumours: two, as soon as they know.
    fn proxies(&mut self, go: usize) -> Outcome<Vec<usize>> {
        let name = self.theirs[go].name.clone();
        let mut found = Vec::new();
        let wanted = 2.min(self.case.ours - self.dead.len());
        until(&format!("{name} has proxies"), || {
            found.clear();
            for place in (0..self.ours.len()).filter(|place| !self.dead.contains(place)) {
                let peer = &mut self.ours[place];
                let mark = peer.mark();
                peer.tell("clients")?;
                let answer = peer.wait(mark, "clients", &[])?;
                let names = field(&answer.line, "names").unwrap_or_default();
                if names.split(' ').any(|other| other == name) {
                    found.push(place);
                }
            }
            Ok(found.len() == wanted)
        })?;
        Ok(found)
    }

    fn kill(&mut self, place: usize) -> Outcome {
        self.dead.insert(place);
        self.ours[place].kill()
    }

    fn peer(&mut self, (kin, place): (Kin, usize)) -> &mut Peer {
        match kin {
            Kin::Ours => &mut self.ours[place],
            Kin::Theirs => &mut self.theirs[place],
        }
    }

    fn live(&self) -> Vec<(Kin, usize)> {
        let ours = (0..self.ours.len()).filter(|place| !self.dead.contains(place));
        let ours = ours.map(|place| (Kin::Ours, place));
        ours.chain((0..self.theirs.len()).map(|place| (Kin::Theirs, place))).collect()
    }

    /// Each starts a message, all at once; then everybody has heard all others'.
    fn everybody_talks(&mut self) -> Outcome<Vec<Said>> {
        let mut speakers = self.live();
        speakers.retain(|(kin, _)| *kin == Kin::Ours || self.case.relay);
        let said: Vec<Said> = speakers
            .into_iter()
            .map(|by| {
                self.number += 1;
                let [high, low] = self.number.to_be_bytes();
                Said { payload: hex(&[b'n', high, low]), by }
            })
            .collect();
        self.spread(&said)?;
        Ok(said)
    }

    /// One of ours tells what no datagram holds: Go members get it over streams.
    fn large(&mut self) -> Outcome<Said> {
        let said = Said { payload: hex(&[b'n'; LARGE]), by: (Kin::Ours, 0) };
        self.spread(core::slice::from_ref(&said))?;
        Ok(said)
    }

    fn spread(&mut self, said: &[Said]) -> Outcome {
        for Said { payload, by } in said {
            self.peer(*by).tell(&format!("broadcast {payload}"))?;
        }
        for who in self.live() {
            let others = said.iter().filter(|said| said.by != who);
            for Said { payload, .. } in others {
                self.peer(who).wait(0, "message", &[("payload", payload)])?;
            }
        }
        Ok(())
    }

    /// How often Go members hear a message: from their two proxies, and no more often than their own
    /// gossip brings it beside.
    fn check_copies(&self, all: &[Said]) -> Outcome<(usize, f64, usize)> {
        let go = self.theirs.len();
        let gossiped = if self.case.relay { GO_COPIES * go } else { 0 };
        let (mut least, mut sum, mut most, mut hearers) = (usize::MAX, 0, 0, 0);
        for said in all {
            let mut heard = Vec::new();
            until(&format!("{said:?} comes from both proxies"), || {
                heard = self.hearings(said);
                Ok(self.case.relay || heard.iter().all(|&count| count >= 2))
            })?;
            let total: usize = heard.iter().sum();
            if total > 2 * go + gossiped {
                return Err(format!("{said:?} was heard too often: {heard:?}"));
            }
            least = heard.iter().copied().fold(least, usize::min);
            most = heard.iter().copied().fold(most, usize::max);
            (sum, hearers) = (sum + total, hearers + heard.len());
        }
        #[allow(clippy::cast_precision_loss, reason = "they are few")]
        let mean = sum as f64 / hearers as f64;
        Ok((least, mean, most))
    }

    /// How often each Go member has heard a message of somebody else so far.
    fn hearings(&self, said: &Said) -> Vec<usize> {
        let others = self.theirs.iter().enumerate();
        let others = others.filter(|&(go, _)| said.by != (Kin::Theirs, go));
        let fields = [("payload", &*said.payload)];
        others.map(|(_, peer)| peer.all("message", &fields).len()).collect()
    }

    /// Ours heard each message once, and what a Go member started is one rumour among them.
    fn check_once(&self, all: &[Said]) -> Outcome {
        for said in all {
            let mut ids = BTreeSet::new();
            for (place, peer) in self.ours.iter().enumerate() {
                let heard = peer.all("message", &[("payload", &said.payload)]);
                let wanted = usize::from(said.by != (Kin::Ours, place));
                let died = self.dead.contains(&place) && heard.is_empty();
                if heard.len() != wanted && !died {
                    return Err(format!("{} heard {said:?} {} times", peer.name, heard.len()));
                }
                ids.extend(heard.iter().filter_map(|line| field(line, "id")));
            }
            if said.by.0 == Kin::Theirs && ids.len() != 1 {
                return Err(format!("{said:?} is several rumours: {ids:?}"));
            }
        }
        Ok(())
    }
}
