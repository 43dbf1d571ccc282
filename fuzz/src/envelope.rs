//! What is ours inside memberlist's opaque bytes: the envelope of a user message, the sections of
//! a push/pull's state, the tag in a meta.

use rumormill::wire::control::Control;
use rumormill::wire::envelope::{Data, Envelope, MAGIC};
use rumormill::wire::message::Message;
use rumormill::wire::packet::{Opener, put_label};
use rumormill::wire::stream::put_user_message;
use rumormill::wire::tags::Advert;
use rumormill::wire::{META_LEN_MAX, sections as wire, serf};
use rumormill::{BootEpoch, Channel, Delivery, Fact, Mode, StreamInput};

use super::world::{Deed, FRIEND, PLAIN, Setup, World, addr, bytes_of, datagram, sealed_stream};
use super::{Nodes, assert_never_cut, encoded};

/// Longest user message here: it fits a datagram.
const USER_LEN_MAX: usize = 4_000;

/// A forwarded copy has at most this beside the user message: label, seal, checksum, compound.
const AROUND_MAX: usize = 110;

/// What lies inside memberlist's opaque bytes: envelope, sections, tag.
pub fn envelope(user: &[u8], nodes: Nodes) {
    codec(user);
    sections(user);
    tag(user);
    goodbye(user);
    if user.len() > USER_LEN_MAX {
        return;
    }
    let plain = Setup::plain(Mode::Matching, b"");
    let [_, padded, sealed] = Setup::others(Mode::Matching, b"blue");
    for setup in nodes.of([plain, padded, sealed], user) {
        told_by_datagrams(user, setup);
        told_by_a_stream(user, setup);
    }
}

/// The time in one of Serf's messages is one that we can go beyond.
fn goodbye(user: &[u8]) {
    let Ok(Some(ltime)) = serf::read_ltime(user) else { return };
    assert!(ltime <= serf::LTIME_MAX);
    let ours = encoded(|out| serf::put_leave_intent(out, ltime, b"me"));
    assert_eq!(serf::read_ltime(&ours), Ok(Some(ltime)));
    assert_never_cut(ours.len(), |out| serf::put_leave_intent(out, ltime, b"me"));
}

fn codec(user: &[u8]) {
    let decoded = Envelope::decode(user);
    assert_eq!(decoded == Ok(None), !user.starts_with(&MAGIC), "the magic alone decides");
    let Ok(Some(envelope)) = decoded else { return };
    let canonical = encoded(|out| envelope.encode(out));
    // Unknown flags are ignored when they come and 0 when they go, and so is the channel of what is
    // for no application; everything else is kept.
    let mut expected = user.to_vec();
    expected[3] &= known_flags(&envelope);
    if let Envelope::Control(_) = envelope {
        expected[4..6].fill(0);
    }
    assert_eq!(canonical, expected);
    assert_never_cut(canonical.len(), |out| envelope.encode(out));
    assert_eq!(Envelope::decode(&canonical), Ok(Some(envelope)));
    let header_len = match envelope {
        Envelope::Data(data) => Data::overhead(data.origin.len()),
        Envelope::Direct { .. } | Envelope::Control(_) => 6,
    };
    for len in MAGIC.len()..header_len {
        assert!(Envelope::decode(&user[..len]).is_err(), "a header cut off at {len} bytes");
    }
}

const fn known_flags(envelope: &Envelope<'_>) -> u8 {
    match envelope {
        Envelope::Control(Control::IHave { .. }) => 7,
        Envelope::Control(Control::Digest { .. }) => 3,
        Envelope::Data(_) | Envelope::Control(Control::Graft { .. } | Control::Pull { .. }) => 1,
        Envelope::Direct { .. }
        | Envelope::Control(Control::Prune { .. } | Control::IDontWant { .. }) => 0,
    }
}

/// The state of a push/pull comes back byte for byte, or gives nothing at all.
pub(super) fn sections(state: &[u8]) {
    let mut found = Vec::new();
    let sectioned = wire::read(state, |channel, bytes| found.push((channel, bytes)));
    assert_eq!(sectioned == Ok(None), !state.starts_with(&wire::MAGIC), "the magic alone decides");
    assert!(found.len() <= wire::SECTIONS_MAX);
    match sectioned {
        Ok(Some(())) => {
            let sections = || found.iter().copied();
            assert_eq!(encoded(|out| wire::put(out, sections())), state);
            assert_never_cut(state.len(), |out| wire::put(out, sections()));
        }
        Ok(None) | Err(_) => assert!(found.is_empty(), "all sections or none"),
    }
}

/// Our tag goes in beside whatever tags there are, and does not grow with repetition.
fn tag(meta: &[u8]) {
    let found = Advert::find(meta);
    let ours = Advert { capabilities: 1, epoch: BootEpoch(7), zone: 9 };
    let Some(tagged) = ours.add_to(meta) else { return };
    assert!(Advert::is_tag_map(meta) && Advert::is_tag_map(&tagged));
    assert!(tagged.len() <= META_LEN_MAX);
    assert_eq!(Advert::find(&tagged), Some(ours));
    assert_eq!(ours.add_to(&tagged).as_ref(), Some(&tagged));
    if let Some(found) = found {
        let restored = found.add_to(&tagged).expect("a tag of the same length fits");
        assert_eq!(Advert::find(&restored), Some(found));
    }
}

// ── The node ────────────────────────────────────────────────────────────────────────────────────

/// What the application is told, as far as it is about messages.
#[derive(Debug, PartialEq, Eq)]
enum Told<'a> {
    Rumor { channel: Channel, hop: Option<u8>, payload: &'a [u8] },
    Message { channel: Channel, payload: &'a [u8], delivery: Delivery },
}

fn told(world: &World) -> Vec<Told<'_>> {
    world.facts.iter().filter_map(about_messages).collect()
}

fn about_messages(fact: &Fact) -> Option<Told<'_>> {
    match *fact {
        Fact::Rumor { channel, hop, ref payload, .. } => {
            Some(Told::Rumor { channel, hop, payload })
        }
        Fact::Message { channel, ref payload, delivery, .. } => {
            Some(Told::Message { channel, payload, delivery })
        }
        _ => None,
    }
}

/// The message comes in a datagram, then a copy of it from somebody else.
fn told_by_datagrams(user: &[u8], setup: Setup<'_>) {
    let mut world = World::new(setup);
    let packet = datagram(setup.label, &[bytes_of(&Message::User(user))]);
    for from in [PLAIN, FRIEND] {
        assert_eq!(world.hear(from, &packet), Ok(()), "the layers around it are valid");
        world.drain();
    }
    world.wake(4);
    let message =
        |channel, payload| Told::Message { channel, payload, delivery: Delivery::BestEffort };
    let expected = match Envelope::decode(user) {
        Ok(Some(Envelope::Data(data))) => {
            forwarded(&world, setup, data.payload, Some(data));
            let Data { channel, hop, payload, .. } = data;
            vec![Told::Rumor { channel, hop: Some(hop), payload }]
        }
        Ok(Some(Envelope::Direct { channel, payload })) => {
            vec![message(channel, payload), message(channel, payload)]
        }
        Ok(None) => {
            forwarded(&world, setup, user, None);
            vec![Told::Rumor { channel: Channel::BARE, hop: None, payload: user }]
        }
        Ok(Some(Envelope::Control(_))) | Err(_) => Vec::new(),
    };
    assert_eq!(told(&world), expected, "a rumour is told once, a message as often as it comes");
    let refused = world.node.stats().envelopes_refused;
    assert_eq!(refused, if Envelope::decode(user).is_err() { 2 } else { 0 });
}

/// Copies go on as they came: enveloped ones one hop further, to those who understand them.
fn forwarded(world: &World, setup: Setup<'_>, payload: &[u8], data: Option<Data<'_>>) {
    let mut to_friend = 0;
    for deed in &world.deeds {
        let Deed::Send { to, bytes } = deed else { continue };
        let understands = *to == addr(FRIEND);
        for copy in &user_messages(bytes, setup) {
            to_friend += usize::from(understands);
            match data {
                Some(data) if understands => assert_next_hop(copy, data),
                Some(data) => {
                    assert_eq!(data.channel, Channel::BARE, "{to} understands no other");
                    assert_eq!(copy, payload, "{to} gets the bare form");
                }
                None => assert_eq!(copy, payload, "what came bare goes bare"),
            }
        }
    }
    let header = data.map_or(0, |data| Data::overhead(data.origin.len()));
    let fits = header + payload.len() + AROUND_MAX <= world.node.params().packet_size_max();
    assert!(to_friend > 0 || !fits, "a rumour that fits is forwarded along the link");
}

fn user_messages(bytes: &[u8], setup: Setup<'_>) -> Vec<Vec<u8>> {
    let mut opener = Opener::default();
    let parts = opener.open(bytes, setup.protection()).expect("the world checked what was sent");
    let user = |part| match Message::decode(part) {
        Ok(Message::User(user)) => match Envelope::decode(user) {
            // What is said about rumours is none.
            Ok(Some(Envelope::Control(_))) => None,
            _ => Some(user.to_vec()),
        },
        _ => None,
    };
    parts.filter_map(user).collect()
}

#[track_caller]
fn assert_next_hop(copy: &[u8], came: Data<'_>) {
    let Ok(Some(Envelope::Data(sent))) = Envelope::decode(copy) else {
        panic!("{copy:?} is no rumour");
    };
    let expected = Data { hop: came.hop.saturating_add(1), age_ms: sent.age_ms, ..came };
    assert_eq!(sent, expected);
    assert!(sent.age_ms >= came.age_ms, "a rumour does not grow younger");
}

/// The message comes reliably.
fn told_by_a_stream(user: &[u8], setup: Setup<'_>) {
    let mut world = World::new(setup);
    let stream = world.node.handle_accept(world.now, addr(FRIEND)).expect("one stream is allowed");
    let mut bytes = encoded(|out| put_label(out, setup.label));
    bytes.extend(encoded(|out| put_user_message(out, user)));
    if let Some(version) = setup.sealed {
        bytes = sealed_stream(&bytes, version);
    }
    let fed = world.node.handle_stream(world.now, stream, StreamInput::Bytes(&bytes));
    assert_eq!(fed, Ok(()), "the layers around it are valid");
    world.drain();
    let message =
        |channel, payload| vec![Told::Message { channel, payload, delivery: Delivery::Reliable }];
    let expected = match Envelope::decode(user) {
        Ok(Some(Envelope::Direct { channel, payload })) => message(channel, payload),
        Ok(None) => message(Channel::BARE, user),
        Ok(Some(Envelope::Data(Data { channel, hop, payload, .. }))) => {
            vec![Told::Rumor { channel, hop: Some(hop), payload }]
        }
        Ok(Some(Envelope::Control(_))) | Err(_) => Vec::new(),
    };
    assert_eq!(told(&world), expected, "rumours that were fetched come by streams");
}
