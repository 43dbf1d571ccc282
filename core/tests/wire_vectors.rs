//! The byte vectors of the protocol page's appendix A: each decodes to the value it stands for,
//! and the value encodes to the same bytes.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "this is test code")]

use rumormill::wire::envelope::Envelope;
use rumormill::wire::keyring::Version;
use rumormill::wire::message::{
    Accusation, Ack, Alive, Compress, IndirectPing, Message, Nack, NodeState, Ping, PushPullHeader,
    Refusal, Source, UserHeader, WireState,
};
use rumormill::wire::msgpack::{Blob, put_raw};
use rumormill::wire::packet::{Checksum, Finish, Opener, PacketWriter, Protection, open};
use rumormill::wire::stream::{Inbox, Layers, Progress, StreamMessage, frame, put_user_message};
use rumormill::wire::{Reader, Sink};
use rumormill::{Incarnation, Key, Keyring, SeqNo};

const PING_BARE: &str = "0082a44e6f6465a66e6f64652d62a55365714e6f01";
const SUSPECT: &str =
    "0383a446726f6da66e6f64652d61ab496e6361726e6174696f6e01a44e6f6465a66e6f64652d62";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn blob(bytes: &[u8]) -> Blob<'_> {
    Blob::Borrowed(bytes)
}

fn source() -> Source<'static> {
    Source { addr: blob(&[127, 0, 0, 1]), port: 7_946, node: blob(b"node-a") }
}

#[track_caller]
fn check(message: &Message<'_>, vector: &str) {
    let bytes = hex(vector);
    assert_eq!(Message::decode(&bytes).as_ref(), Ok(message));
    let mut encoded = Vec::new();
    message.encode(&mut encoded).unwrap();
    assert_eq!(encoded, bytes);
}

#[test]
fn probes_and_answers() {
    let ping = Ping { seq: SeqNo(1), node: blob(b"node-b"), source: Source::default() };
    check(&Message::Ping(ping.clone()), PING_BARE);
    check(
        &Message::Ping(Ping { source: source(), ..ping }),
        "0085a44e6f6465a66e6f64652d62a55365714e6f01aa536f7572636541646472a47f000001aa536f75726365\
         4e6f6465a66e6f64652d61aa536f75726365506f7274cd1f0a",
    );
    let indirect = IndirectPing {
        seq: SeqNo(2),
        target: blob(&[127, 0, 0, 1]),
        port: 7_946,
        node: blob(b"node-b"),
        nack: true,
        source: source(),
    };
    check(
        &Message::IndirectPing(indirect.clone()),
        "0188a44e61636bc3a44e6f6465a66e6f64652d62a4506f7274cd1f0aa55365714e6f02aa536f757263654164\
         6472a47f000001aa536f757263654e6f6465a66e6f64652d61aa536f75726365506f7274cd1f0aa654617267\
         6574a47f000001",
    );
    check(
        &Message::IndirectPing(IndirectPing { nack: false, source: Source::default(), ..indirect }),
        "0185a44e61636bc2a44e6f6465a66e6f64652d62a4506f7274cd1f0aa55365714e6f02a6546172676574a47f\
         000001",
    );
    let ack = |seq, payload| Message::Ack(Ack { seq: SeqNo(seq), payload });
    check(&ack(1, Blob::Nil), "0282a75061796c6f6164c0a55365714e6f01");
    check(&ack(1, blob(b"")), "0282a75061796c6f6164a0a55365714e6f01");
    check(&ack(300, blob(&[1, 2, 3])), "0282a75061796c6f6164a3010203a55365714e6fcd012c");
    check(&Message::Nack(Nack { seq: SeqNo(70_000) }), "0b81a55365714e6fce00011170");
}

#[test]
fn statements_about_members() {
    let accusation = |incarnation, node, from| Accusation {
        incarnation: Incarnation(incarnation),
        node: blob(node),
        from: blob(from),
    };
    check(&Message::Suspect(accusation(1, b"node-b", b"node-a")), SUSPECT);
    check(
        &Message::Dead(accusation(u32::MAX, b"node-b", b"node-b")),
        "0583a446726f6da66e6f64652d62ab496e6361726e6174696f6eceffffffffa44e6f6465a66e6f64652d62",
    );
    let alive = Alive {
        incarnation: Incarnation(1),
        node: blob(b"node-a"),
        addr: blob(&[127, 0, 0, 1]),
        port: 7_946,
        meta: Blob::Nil,
        vsn: blob(&[1, 5, 2, 0, 0, 0]),
    };
    check(
        &Message::Alive(alive.clone()),
        "0486a441646472a47f000001ab496e6361726e6174696f6e01a44d657461c0a44e6f6465a66e6f64652d61a4\
         506f7274cd1f0aa356736ea6010502000000",
    );
    check(
        &Message::Alive(Alive { incarnation: Incarnation(128), meta: blob(b"hi"), ..alive }),
        "0486a441646472a47f000001ab496e6361726e6174696f6ecc80a44d657461a26869a44e6f6465a66e6f6465\
         2d61a4506f7274cd1f0aa356736ea6010502000000",
    );
}

#[test]
fn user_messages() {
    check(&Message::User(b"hello"), "0868656c6c6f");
    let mut stream = Vec::new();
    put_user_message(&mut stream, b"hello").unwrap();
    assert_eq!(stream, hex("0881aa557365724d73674c656e0568656c6c6f"));
    let header = UserHeader::decode(&mut Reader::new(&stream[1..])).unwrap();
    assert_eq!(header.len, 5);
}

#[test]
fn headers_records_and_refusals_of_streams() {
    let mut bytes = Vec::new();
    PushPullHeader { nodes: 2, user_state_len: 0, join: true }.encode(&mut bytes).unwrap();
    assert_eq!(bytes, hex("0683a44a6f696ec3a54e6f64657302ac5573657253746174654c656e00"));
    let large = PushPullHeader { nodes: 200, user_state_len: 40_000, join: false };
    let unsigned = hex("0683a44a6f696ec2a54e6f646573ccc8ac5573657253746174654c656ecd9c40");
    let signed = hex("0683a44a6f696ec2a54e6f646573d100c8ac5573657253746174654c656ed200009c40");
    for vector in [&unsigned, &signed] {
        assert_eq!(PushPullHeader::decode(&mut Reader::new(&vector[1..])), Ok(large));
    }
    bytes.clear();
    large.encode(&mut bytes).unwrap();
    assert_eq!(bytes, unsigned);

    let record = hex(
        "87a441646472a47f000001ab496e6361726e6174696f6ece00010000a44d657461a0a44e616d65a66e6f6465\
         2d62a4506f7274cd1f0aa5537461746503a356736ea6010502000000",
    );
    let node = NodeState::decode(&mut Reader::new(&record)).unwrap();
    assert_eq!(&*node.alive.node, b"node-b");
    assert_eq!((node.alive.incarnation.0, node.state), (65_536, WireState::LEFT));
    assert!(node.alive.meta.is_empty() && !node.alive.meta.is_nil());
    bytes.clear();
    node.encode(&mut bytes).unwrap();
    assert_eq!(bytes, record);

    let refusal = hex("0d81a54572726f72a4626f6f6d");
    let read = Refusal::decode(&mut Reader::new(&refusal[1..])).unwrap();
    assert_eq!(&*read.error, b"boom");
    bytes.clear();
    read.encode(&mut bytes).unwrap();
    assert_eq!(bytes, refusal);

    let compress = hex("0982a4416c676f00a3427566b200d19461c3e60d0881040d222c787060c180");
    let read = Compress::decode(&mut Reader::new(&compress[1..])).unwrap();
    assert_eq!((read.algorithm, read.buf.len()), (0, 18));
    bytes.clear();
    read.encode(&mut bytes).unwrap();
    assert_eq!(bytes, compress);
}

#[test]
fn string_headers_of_all_lengths() {
    for (len, header) in [(31, "bf"), (32, "da0020"), (255, "da00ff"), (65_536, "db00010000")] {
        let mut bytes = Vec::new();
        put_raw(&mut bytes, &vec![b'x'; len]).unwrap();
        assert!(bytes.starts_with(&hex(header)), "{len} bytes");
        assert_eq!(bytes.len(), header.len() / 2 + len);
    }
}

#[test]
fn framing_of_packets() {
    let (ping, suspect) = (hex(PING_BARE), hex(SUSPECT));
    let frame = |label: &[u8], checksum, parts: &[&[u8]]| {
        let mut buf = [0; 1_400];
        let mut writer = PacketWriter::new(&mut buf, label, checksum);
        for part in parts {
            writer.part(|out| out.put(part)).unwrap();
        }
        let len = writer.finish();
        buf[..len].to_vec()
    };
    let crc = frame(b"", Checksum::Present, &[&ping]);
    assert_eq!(crc, hex(&format!("0ce3c32310{PING_BARE}")));
    let compound = frame(b"", Checksum::Absent, &[&ping, &suspect]);
    assert_eq!(compound, hex(&format!("070200150027{PING_BARE}{SUSPECT}")));
    let both = frame(b"", Checksum::Present, &[&ping, &suspect]);
    assert_eq!(both, [&hex("0ccc11c3c7")[..], &compound].concat());
    let labelled = frame(b"foo", Checksum::Absent, &[&ping]);
    assert_eq!(labelled, hex(&format!("f403666f6f{PING_BARE}")));
    for (packet, label) in [(&crc, &b""[..]), (&compound, b""), (&both, b""), (&labelled, b"foo")] {
        assert_eq!(open(packet, label).unwrap().next(), Some(&ping[..]));
    }
}

#[test]
fn a_real_gossip_packet_of_memberlist_0_2_2() {
    let packet = hex("0c420c3261 0702003d003d
         0486a441646472a47f000001ab496e6361726e6174696f6e01a44d657461c0a44e6f6465a57275737479a450
         6f7274cdaa0aa356736ea6010502020504
         0486a441646472a47f000001ab496e6361726e6174696f6e01a44d657461a2ff80a44e6f6465a3737276a450
         6f7274cd461aa356736ea6010502020505");
    let names: Vec<_> = open(&packet, b"")
        .unwrap()
        .map(|part| {
            let message = Message::decode(part).unwrap();
            let mut again = Vec::new();
            message.encode(&mut again).unwrap();
            assert_eq!(again, part, "re-encoded byte for byte");
            let Message::Alive(alive) = message else { panic!() };
            alive.node.to_vec()
        })
        .collect();
    assert_eq!(names, [b"rusty".to_vec(), b"srv".to_vec()]);
}

#[test]
fn a_whole_push_pull() {
    let bytes = hex("0683a44a6f696ec3a54e6f64657302ac5573657253746174654c656e05
         87a441646472a47f000001ab496e6361726e6174696f6e01a44d657461c0a44e616d65a66e6f64652d61a450
         6f7274cd1f0aa5537461746500a356736ea6010502000000
         87a441646472b000000000000000000000ffff7f000002ab496e6361726e6174696f6e03a44d657461a16da4
         4e616d65a66e6f64652d62a4506f7274cd1f0ba5537461746502a356736ea6010502000000
         68656c6c6f");
    let mut inbox = Inbox::for_response(1 << 20);
    assert_eq!(inbox.push(&bytes, Protection::label(b"")), Ok(Progress::Complete));
    let Some(StreamMessage::PushPull(exchange)) = inbox.message() else { panic!() };
    assert!(exchange.join);
    assert_eq!(exchange.user_state, b"hello");
    let nodes: Vec<_> = exchange.nodes().collect();
    assert_eq!(nodes[0].state, WireState::ALIVE);
    assert_eq!((nodes[1].state, nodes[1].alive.incarnation.0), (WireState::DEAD, 3));
    let mapped =
        rumormill::wire::message::NodeAddr::from_wire(&nodes[1].alive.addr, 7_947).unwrap();
    assert_eq!(mapped.socket_addr(), "127.0.0.2:7947".parse().unwrap());
    assert_eq!(mapped.ip_bytes().len(), 16, "forwarded as its owner wrote it");
    assert_eq!(exchange.node_count(), 2);
}

/// All that either generation of Go's codec accepts (protocol page §2.3).
#[test]
fn foreign_forms_are_accepted() {
    let accepts = |text: &str, seq: u32, node: &[u8]| {
        let bytes = hex(text);
        match Message::decode(&bytes) {
            Ok(Message::Ping(ping)) => assert_eq!((ping.seq.0, &*ping.node), (seq, node), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    };
    // Any key order; map16 and map32.
    accepts("00 82 a55365714e6f 01 a44e6f6465 a162", 1, b"b");
    accepts("00 de0002 a55365714e6f 01 a44e6f6465 a162", 1, b"b");
    accepts("00 df00000002 a55365714e6f 01 a44e6f6465 a162", 1, b"b");
    // Arrays in declaration order, short and long.
    accepts("00 91 07", 7, b"");
    accepts("00 92 07 a162", 7, b"b");
    accepts("00 97 07 a162 c0 00 c0 c3 c3", 7, b"b");
    // A repeated key overrides; unknown keys of any kind are skipped.
    accepts("00 82 a55365714e6f 01 a55365714e6f 02", 2, b"");
    accepts("00 82 a158 82 a161 93 01 02 c403 010203 a162 d40100 a55365714e6f 05", 5, b"");
    accepts("00 82 a158 cb0000000000000000 a55365714e6f 05", 5, b"");
    // Strings as str8, bin and arrays of numbers; keys as str8 and bin.
    accepts("00 82 d9055365714e6f 01 c4044e6f6465 c4 01 62", 1, b"b");
    accepts("00 82 a55365714e6f 01 a44e6f6465 d9 01 62", 1, b"b");
    accepts("00 82 a55365714e6f 01 a44e6f6465 92 6e 62", 1, b"nb");
    accepts("00 82 a55365714e6f 01 a44e6f6465 81 6e 62", 1, b"nb");
    // nil in any field; a nil key is no key of ours.
    accepts("00 82 a55365714e6f c0 a44e6f6465 c0", 0, b"");
    accepts("00 82 c0 01 a55365714e6f 03", 3, b"");
    // Integers of any form that are not negative.
    for form in [
        "09",
        "cc09",
        "cd0009",
        "ce00000009",
        "cf0000000000000009",
        "d009",
        "d10009",
        "d200000009",
        "d30000000000000009",
    ] {
        accepts(&format!("00 81 a55365714e6f {form}"), 9, b"");
    }
    // Bytes after the value.
    accepts("00 81 a55365714e6f 01 ffff", 1, b"");
}

#[test]
fn forms_that_go_refuses_are_refused() {
    for text in [
        "00",                                    // no body
        "00 c0",                                 // nil as a whole
        "00 a0",                                 // not a struct
        "00 81 a55365714e6f d0ff",               // negative
        "00 81 a55365714e6f ff",                 // negative, one byte
        "00 81 a55365714e6f cf0000000100000000", // beyond 32 bits
        "00 81 a55365714e6f ca00000000",         // a float
        "00 81 a55365714e6f a0",                 // a string
        "00 81 a44e6f6465 93 01 cd0100 02",      // an element above 255
        "00 81 a44e6f6465 05",                   // a number as a name
        "00 82 a55365714e6f 01",                 // a pair is missing
        "00 dfffffffff",                         // claims 2^32 pairs
        "00 81 a44e6f6465 dbffffffff",           // claims 4 GiB
        "00 81 a158 ddffffffff",                 // the same in an unknown field
        "01 81 a44e61636b 02",                   // neither true nor false
        "06 83",
        "07 00",
        "09 80",
        "0a",
        "0c",
        "0d 80",
        "f4",
        "ff",
    ] {
        assert!(Message::decode(&hex(text)).is_err(), "{text}");
    }
    assert!(matches!(
        Message::decode(&hex("01 81 a44e61636b 01")),
        Ok(Message::IndirectPing(IndirectPing { nack: true, .. }))
    ));
}

#[test]
fn envelopes_are_not_mistaken_for_plain_messages_of_the_thesis() {
    assert_eq!(Envelope::decode(b"d\x00\x00\x00\x00\x00\x00\x00\x00{}"), Ok(None));
}

const NONCE: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

fn vector_ring() -> Keyring {
    let key: [u8; 16] = core::array::from_fn(|byte| byte as u8);
    let mut ring = Keyring::new();
    ring.install(Key::new(&key).unwrap()).unwrap();
    ring
}

#[test]
fn encrypted_packets() {
    let (ring, ping) = (vector_ring(), hex(PING_BARE));
    for (version, label, bytes) in [
        (
            Version::Plain,
            &b""[..],
            "01000102030405060708090a0b93ee0380097f92f225bd05ef1bc1d55bd6575489522304c3f870b47c6757
             baac0cd62f6f52",
        ),
        (
            Version::Plain,
            b"foo",
            "f403666f6f01000102030405060708090a0b93ee0380097f92f225bd05ef1bc1d55bd657548952d7ad72eb
             023f770fb3cff1b93857d12d",
        ),
        (
            Version::Padded,
            b"",
            "00000102030405060708090a0b93ee0380097f92f225bd05ef1bc1d55bd657548952e6f6fded2afa261f4f
             a9678238a640cb2aa0f3c5c9a535f1f85391",
        ),
    ] {
        let mut buf = [0; 200];
        let mut writer = PacketWriter::sealed(&mut buf, label, version, Checksum::Absent);
        writer.part(|out| out.put(&ping)).unwrap();
        let len = writer.finish_with(Finish { compress: None, seal: Some((&ring, NONCE)) });
        assert_eq!(buf[..len], hex(bytes));
        let protection = Protection { keyring: &ring, ..Protection::label(label) };
        let mut opener = Opener::default();
        assert_eq!(opener.open(&buf[..len], protection).unwrap().next(), Some(&ping[..]));
    }
}

#[test]
fn encrypted_streams() {
    let (ring, ping) = (vector_ring(), hex(PING_BARE));
    for (version, label, bytes) in [
        (
            Version::Plain,
            &b""[..],
            "0a0000003201000102030405060708090a0b93ee0380097f92f225bd05ef1bc1d55bd6575489529c50484b
             18903a686af4f9aeb6383dd0",
        ),
        (
            Version::Plain,
            b"foo",
            "0a0000003201000102030405060708090a0b93ee0380097f92f225bd05ef1bc1d55bd65754895251248467
             a7445658e104e4bc438ce5d2",
        ),
        (
            Version::Padded,
            b"",
            "0a0000003d00000102030405060708090a0b93ee0380097f92f225bd05ef1bc1d55bd657548952e6f6fded
             2afa261f4fa967a3291abda1c42084d961635b6ead4ffe",
        ),
    ] {
        let layers = Layers { compress: false, seal: Some((&ring, version, NONCE)), label };
        assert_eq!(frame(ping.clone(), layers), hex(bytes));
        let protection = Protection { keyring: &ring, ..Protection::label(label) };
        let mut inbox = Inbox::for_response(1 << 10);
        assert_eq!(inbox.push(&hex(bytes), protection), Ok(Progress::Complete));
        assert!(matches!(inbox.message(), Some(StreamMessage::Ping(_))));
    }
}

#[test]
fn a_compressed_packet() {
    let mut buf = [0; 200];
    let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Absent);
    let text = [&b"\x08"[..], &b"hello ".repeat(9)].concat();
    writer.part(|out| out.put(&text)).unwrap();
    let mut packed = Vec::new();
    let len = writer.finish_with(Finish { compress: Some(&mut packed), seal: None });
    assert!(buf.starts_with(&hex("0982a4416c676f00a3427566")));
    let mut opener = Opener::default();
    let parts = opener.open(&buf[..len], Protection::label(b"")).unwrap();
    assert_eq!(parts.collect::<Vec<_>>(), [&text]);
}
