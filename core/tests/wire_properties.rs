//! For any value: what is encoded decodes to itself. For any bytes: decoding ends, and what it
//! accepts encodes to something that decodes to the same value.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

use proptest::collection::vec;
use proptest::prelude::*;
use rumormill::wire::envelope::{Data, Envelope};
use rumormill::wire::message::{
    Accusation, Ack, Alive, Compress, IndirectPing, Message, Nack, NodeState, Ping, PushPullHeader,
    Refusal, Source, UserHeader, WireState,
};
use rumormill::wire::msgpack::{self, Blob};
use rumormill::wire::packet::{self, Checksum, PacketWriter, Protection};
use rumormill::wire::stream::{Inbox, Progress};
use rumormill::wire::tags::Advert;
use rumormill::wire::{Reader, Sink, SliceWriter, sections};
use rumormill::{BootEpoch, Channel, Incarnation, SeqNo};

fn bytes(max: usize) -> impl Strategy<Value = Blob<'static>> {
    vec(any::<u8>(), 0..max).prop_map(Blob::Collected)
}

/// A field that Go leaves out when it is empty comes back as absent.
fn optional_bytes(max: usize) -> impl Strategy<Value = Blob<'static>> {
    prop_oneof![Just(Blob::Nil), vec(any::<u8>(), 1..max).prop_map(Blob::Collected)]
}

fn nillable_bytes(max: usize) -> impl Strategy<Value = Blob<'static>> {
    prop_oneof![Just(Blob::Nil), bytes(max)]
}

fn source() -> impl Strategy<Value = Source<'static>> {
    (optional_bytes(17), any::<u16>(), optional_bytes(40)).prop_map(|(addr, port, node)| Source {
        addr,
        port,
        node,
    })
}

fn alive() -> impl Strategy<Value = Alive<'static>> {
    (
        any::<u32>(),
        bytes(300),
        nillable_bytes(20),
        any::<u16>(),
        nillable_bytes(600),
        nillable_bytes(9),
    )
        .prop_map(|(incarnation, node, addr, port, meta, vsn)| Alive {
            incarnation: Incarnation(incarnation),
            node,
            addr,
            port,
            meta,
            vsn,
        })
}

fn accusation() -> impl Strategy<Value = Accusation<'static>> {
    (any::<u32>(), bytes(300), bytes(300)).prop_map(|(incarnation, node, from)| Accusation {
        incarnation: Incarnation(incarnation),
        node,
        from,
    })
}

fn message() -> impl Strategy<Value = Message<'static>> {
    let ping = (any::<u32>(), bytes(300), source()).prop_map(|(seq, node, source)| Ping {
        seq: SeqNo(seq),
        node,
        source,
    });
    let indirect = (any::<u32>(), bytes(20), any::<u16>(), bytes(300), any::<bool>(), source())
        .prop_map(|(seq, target, port, node, nack, source)| IndirectPing {
            seq: SeqNo(seq),
            target,
            port,
            node,
            nack,
            source,
        });
    let ack = (any::<u32>(), nillable_bytes(100))
        .prop_map(|(seq, payload)| Ack { seq: SeqNo(seq), payload });
    prop_oneof![
        ping.prop_map(Message::Ping),
        indirect.prop_map(Message::IndirectPing),
        ack.prop_map(Message::Ack),
        any::<u32>().prop_map(|seq| Message::Nack(Nack { seq: SeqNo(seq) })),
        alive().prop_map(Message::Alive),
        accusation().prop_map(Message::Suspect),
        accusation().prop_map(Message::Dead),
        vec(any::<u8>(), 0..200).prop_map(|bytes| Message::User(bytes.leak())),
    ]
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), rumormill::wire::Full>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes).unwrap();
    bytes
}

/// Bytes that look like messages: MessagePack markers, our keys, lengths, noise.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let keys = [
        &b"\xa5SeqNo"[..],
        b"\xa4Node",
        b"\xa4Addr",
        b"\xa4Port",
        b"\xa4Meta",
        b"\xa3Vsn",
        b"\xabIncarnation",
        b"\xa4From",
        b"\xa4Name",
        b"\xa5State",
        b"\xa5Nodes",
        b"\xa4Join",
        b"\xacUserStateLen",
        b"\xaaUserMsgLen",
        b"\xa6Target",
        b"\xa4Nack",
        b"\xa7Payload",
        b"\xaaSourceAddr",
        b"\xaaSourcePort",
        b"\xaaSourceNode",
        b"RM\x10\x00",
        b"RMS1",
    ];
    let chunk = prop_oneof![
        proptest::sample::select(keys.to_vec()).prop_map(<[u8]>::to_vec),
        proptest::sample::select(vec![
            0x80, 0x81, 0x82, 0x86, 0x87, 0x90, 0x92, 0xa0, 0xa1, 0xc0, 0xc2, 0xc3, 0xc4, 0xc5,
            0xc6, 0xc7, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3, 0xd9, 0xda, 0xdb, 0xdc,
            0xdd, 0xde, 0xdf, 0xff_u8,
        ])
        .prop_map(|marker| vec![marker]),
        (0_u8..14).prop_map(|kind| vec![kind]),
        vec(any::<u8>(), 1..6),
    ];
    vec(chunk, 0..40).prop_map(|chunks| chunks.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_message_comes_back(message in message()) {
        let bytes = encoded(|out| message.encode(out));
        let decoded = Message::decode(&bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
    }

    #[test]
    fn a_message_cut_off_is_an_error_and_one_with_more_behind_it_is_not(
        message in message(),
        behind in vec(any::<u8>(), 1..20),
    ) {
        prop_assume!(!matches!(message, Message::User(_)));
        let bytes = encoded(|out| message.encode(out));
        for len in 0..bytes.len() {
            prop_assert!(Message::decode(&bytes[..len]).is_err(), "{} of {}", len, bytes.len());
        }
        let longer = [&bytes[..], &behind].concat();
        let decoded = Message::decode(&longer);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused_and_never_cut(message in message(), room in 0_usize..300) {
        let bytes = encoded(|out| message.encode(out));
        let mut buf = vec![0; room];
        let mut writer = SliceWriter::new(&mut buf);
        prop_assert_eq!(message.encode(&mut writer).is_ok(), bytes.len() <= room);
    }

    #[test]
    fn stream_structs_come_back(
        alive in alive(),
        state in any::<u32>(),
        (nodes, user_state_len, join) in any::<(u32, u32, bool)>(),
        len in any::<u32>(),
        (algorithm, buf) in (any::<u8>(), nillable_bytes(100)),
        error in bytes(100),
    ) {
        let node = NodeState { alive, state: WireState(state) };
        let bytes = encoded(|out| node.encode(out));
        prop_assert_eq!(NodeState::decode(&mut Reader::new(&bytes)), Ok(node));
        let header = PushPullHeader { nodes, user_state_len, join };
        let bytes = encoded(|out| header.encode(out));
        prop_assert_eq!(PushPullHeader::decode(&mut Reader::new(&bytes[1..])), Ok(header));
        let bytes = encoded(|out| UserHeader { len }.encode(out));
        prop_assert_eq!(UserHeader::decode(&mut Reader::new(&bytes[1..])), Ok(UserHeader { len }));
        let compress = Compress { algorithm, buf };
        let bytes = encoded(|out| compress.encode(out));
        prop_assert_eq!(Compress::decode(&mut Reader::new(&bytes[1..])), Ok(compress));
        let refusal = Refusal { error };
        let bytes = encoded(|out| refusal.encode(out));
        prop_assert_eq!(Refusal::decode(&mut Reader::new(&bytes[1..])), Ok(refusal));
    }

    #[test]
    fn envelopes_come_back(
        (channel, epoch, sequence, hop, age_ms) in any::<(u16, u32, u64, u8, u16)>(),
        origin in vec(any::<u8>(), 1..=255),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let data = Envelope::Data(Data {
            channel: Channel(channel),
            epoch: BootEpoch(epoch),
            sequence,
            hop,
            age_ms,
            off_tree: hop % 2 == 1,
            origin: &origin,
            payload: &payload,
        });
        let bytes = encoded(|out| data.encode(out));
        prop_assert_eq!(bytes.len(), Data::overhead(origin.len()) + payload.len());
        prop_assert_eq!(Envelope::decode(&bytes), Ok(Some(data)));
        let direct = Envelope::Direct { channel: Channel(channel), payload: &payload };
        let bytes = encoded(|out| direct.encode(out));
        prop_assert_eq!(Envelope::decode(&bytes), Ok(Some(direct)));
    }

    #[test]
    fn packets_come_back(
        parts in vec(vec(any::<u8>(), 1..100), 1..140),
        label in vec(any::<u8>(), 0..=255),
        checksum in any::<bool>(),
        room in 1_200_usize..3_000,
    ) {
        // A compound of one type byte each, so that no part is taken for a layer.
        let parts: Vec<Vec<u8>> = parts.into_iter().map(|part| [&[8], &part[..]].concat()).collect();
        let checksum = if checksum { Checksum::Present } else { Checksum::Absent };
        let mut buf = vec![0; room];
        let mut writer = PacketWriter::new(&mut buf, &label, checksum);
        let mut written = Vec::new();
        for part in &parts {
            let fits = part.len() + packet::PART_OVERHEAD <= writer.budget();
            let result = writer.part(|out| out.put(part));
            prop_assert!(result.is_ok() || !fits, "what the budget allows is taken");
            if result.is_ok() {
                written.push(&part[..]);
            }
        }
        let len = writer.finish();
        prop_assert!(len <= room);
        let opened: Vec<_> = packet::open(&buf[..len], &label).unwrap().collect();
        prop_assert_eq!(opened, written);
    }

    #[test]
    fn sections_come_back(sections in vec((any::<u16>(), vec(any::<u8>(), 0..50)), 0..20)) {
        let list = sections.iter().map(|(channel, bytes)| (Channel(*channel), &bytes[..]));
        let bytes = encoded(|out| sections::put(out, list));
        let mut read = Vec::new();
        let sectioned = sections::read(&bytes, |channel, bytes| read.push((channel.0, bytes.to_vec())));
        prop_assert_eq!(sectioned, Ok(Some(())));
        prop_assert_eq!(read, sections);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop_oneof![plausible(), vec(any::<u8>(), 0..300)]) {
        if let Ok(message) = Message::decode(&bytes) {
            let again = encoded(|out| message.encode(out));
            // Go leaves empty fields of a source out, so nil and empty become the same.
            if let (Message::Ping(_) | Message::IndirectPing(_), Ok(second)) = (&message, Message::decode(&again)) {
                prop_assert_eq!(encoded(|out| second.encode(out)), again);
            } else if !matches!(message, Message::Suspect(_) | Message::Dead(_) | Message::Alive(_)) {
                let decoded = Message::decode(&again);
                prop_assert_eq!(decoded.as_ref(), Ok(&message));
            }
        }
        let _ = Envelope::decode(&bytes);
        let _ = Advert::find(&bytes);
        let _ = sections::read(&bytes, |_, _| ());
        let _ = msgpack::skip(&mut Reader::new(&bytes));
        if let Ok(parts) = packet::open(&bytes, b"") {
            prop_assert!(parts.map(<[u8]>::len).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn any_stream_gives_the_same_result_in_any_pieces(
        bytes in prop_oneof![plausible(), vec(any::<u8>(), 0..300)],
        piece in 1_usize..20,
    ) {
        let whole = Inbox::for_request(1 << 16).push(&bytes, Protection::label(b""));
        let mut inbox = Inbox::for_request(1 << 16);
        let mut result = Ok(Progress::Incomplete);
        for piece in bytes.chunks(piece) {
            result = inbox.push(piece, Protection::label(b""));
            if result.is_err() {
                break;
            }
        }
        prop_assert_eq!(result, whole);
        prop_assert_eq!(inbox.message().is_some(), whole == Ok(Progress::Complete));
    }

    #[test]
    fn our_tag_survives_beside_any_tags(
        tags in vec((vec(any::<u8>(), 0..10), vec(any::<u8>(), 0..20)), 0..14),
        epoch in any::<u32>(),
        zone in any::<u64>(),
    ) {
        prop_assume!(tags.iter().all(|(key, _)| key != rumormill::wire::tags::KEY));
        let mut meta = vec![0xff, 0x80 | tags.len() as u8];
        for (key, value) in &tags {
            msgpack::put_raw(&mut meta, key).unwrap();
            msgpack::put_raw(&mut meta, value).unwrap();
        }
        let advert = Advert { capabilities: 1, epoch: BootEpoch(epoch), zone };
        if let Some(tagged) = advert.add_to(&meta) {
            prop_assert_eq!(Advert::find(&tagged), Some(advert));
            prop_assert_eq!(&tagged[2..meta.len()], &meta[2..]);
            prop_assert_eq!(advert.add_to(&tagged), Some(tagged));
        }
    }
}
