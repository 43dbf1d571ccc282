//! Hostile ciphertexts and compressed bytes, in datagrams (protocol page §9.1) and on streams
//! (§9.3).

use rumormill::wire::DecodeError;
use rumormill::wire::keyring::{KEYS_MAX, SEAL_HEADER, SealError, Version};
use rumormill::wire::lzw::{self, LzwError, PACKET_UNPACKED_MAX, STREAM_EXPANSION_MAX};
use rumormill::wire::message::{Compress, WireState};
use rumormill::wire::msgpack::Blob;
use rumormill::wire::stream::{StreamError, put_user_message};
use rumormill::{Config, Key, Keyring, KeyringError, PacketError, StreamInput};

use crate::util::{Cluster, addr, alive, exchange, still};

fn ring() -> Keyring {
    let mut ring = Keyring::new();
    ring.install(Key::new(&[1; 16]).unwrap()).unwrap();
    ring
}

/// Node 0 alone, with a key.
fn sealed_world() -> Cluster {
    Cluster::new(1, &Config { keyring: ring(), ..still(Config::lan()) })
}

/// Node 0 alone, without.
fn plain_world() -> Cluster {
    Cluster::new(1, &still(Config::lan()))
}

fn sealed(version: Version, aad: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; SEAL_HEADER];
    bytes.extend_from_slice(text);
    bytes.resize(text.len() + version.overhead(), 0);
    let len = ring().seal(version, [9; 12], aad, &mut bytes, text.len()).unwrap();
    bytes.truncate(len);
    bytes
}

/// What version 0 would be with this for its padded plaintext, which need not be padded.
fn badly_padded(aad: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = sealed(Version::Plain, aad, text);
    bytes[0] = 0;
    bytes
}

fn frame(payload: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let len = payload(b"").len() as u32;
    let header = [&[10][..], &len.to_be_bytes()].concat();
    [&header[..], &payload(&header)].concat()
}

fn compress(algorithm: u8, buf: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Compress { algorithm, buf: Blob::Borrowed(buf) }.encode(&mut bytes).unwrap();
    bytes
}

fn packed(message: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    lzw::compress(message, &mut compressed);
    compress(lzw::ALGORITHM, &compressed)
}

#[track_caller]
fn packet_refusal(world: &mut Cluster, packet: &[u8]) -> PacketError {
    let before = world.node(0).stats().packets_refused;
    let refused = world.act(0, |node, now| node.handle_packet(now, addr(1), packet));
    assert_eq!(world.node(0).stats().packets_refused, before + 1);
    assert_eq!((world.node(0).members().count(), world.sent.len()), (1, 0));
    refused.expect_err("it is refused")
}

#[track_caller]
fn stream_refusal(world: &mut Cluster, request: &[u8]) -> StreamError {
    let (_, served) = world.hear_stream(0, request);
    assert_eq!(world.node(0).members().count(), 1);
    served.expect_err("it is refused")
}

fn list() -> Vec<u8> {
    exchange(&[(2, 1, WireState::ALIVE)], true)
}

// ── Datagrams ───────────────────────────────────────────────────────────────────────────────────

/// §9.1: ciphertext shorter than 29 bytes, 45 for version 0; version above 1.
#[test]
fn ciphertexts_that_are_too_short_or_of_unknown_versions_are_dropped() {
    let mut world = sealed_world();
    for (version, min) in [(0_u8, 45), (1, 29)] {
        for len in 1..min {
            let mut packet = vec![7; len];
            packet[0] = version;
            let error = packet_refusal(&mut world, &packet);
            assert_eq!(error, PacketError::Sealed(SealError::Truncated), "{len} bytes");
        }
    }
    for version in 2..=255 {
        // 244 begins a label.
        if version != 244 {
            let error = packet_refusal(&mut world, &[version; 60]);
            assert_eq!(error, PacketError::Sealed(SealError::UnknownVersion(version)));
        }
    }
    assert_eq!(world.node(0).stats().undecryptable, 44 + 28 + 253);
}

/// §9.1: garbage ciphertext. It costs one attempt per key, and the number of keys is limited.
#[test]
fn garbage_opens_with_no_key_and_keys_are_few() {
    let mut world = sealed_world();
    for index in 1..KEYS_MAX as u8 {
        let key = Key::new(&[index + 1; 32]).unwrap();
        world.act(0, |node, _| node.keyring_mut().install(key)).unwrap();
    }
    let one_more = Key::new(&[99; 16]).unwrap();
    let refused = world.act(0, |node, _| node.keyring_mut().install(one_more));
    assert_eq!(refused, Err(KeyringError::Full));
    let mut garbage: Vec<u8> = (0..1_400_usize).map(|at| (at * 7 % 251) as u8).collect();
    for version in [0, 1] {
        garbage[0] = version;
        let error = packet_refusal(&mut world, &garbage);
        assert_eq!(error, PacketError::Sealed(SealError::NoKey));
    }
    assert_eq!(world.node(0).stats().undecryptable, 2);
}

/// §9.1: version 0 with bad padding and a valid tag. It ends a Go process.
#[test]
fn bad_padding_behind_a_valid_tag_is_dropped() {
    let mut world = sealed_world();
    for text in [[0; 16], [17; 16], [255; 16], *b"fifteen bytes!!\x02"] {
        let error = packet_refusal(&mut world, &badly_padded(b"", &text));
        assert_eq!(error, PacketError::Sealed(SealError::Padding), "{text:?}");
    }
}

/// §9.1: authenticated empty plaintext.
#[test]
fn an_empty_plaintext_is_dropped() {
    let mut world = sealed_world();
    for version in [Version::Plain, Version::Padded] {
        let error = packet_refusal(&mut world, &sealed(version, b"", b""));
        assert_eq!(error, PacketError::Empty);
    }
}

/// §9.1: plaintext where there are keys. Only a migration takes it.
#[test]
fn plaintext_is_taken_only_while_migrating_and_garbage_not_even_then() {
    let news = alive(1, |_| ());
    let mut world = sealed_world();
    assert!(matches!(packet_refusal(&mut world, &news), PacketError::Sealed(_)));
    let config = Config { keyring: ring(), verify_incoming: false, ..still(Config::lan()) };
    let mut migrating = Cluster::new(1, &config);
    let error = packet_refusal(&mut migrating, &[1; 100]);
    assert!(matches!(error, PacketError::Message(_)), "{error:?}");
    migrating.hear(0, 1, &news);
    assert_eq!(migrating.node(0).members().count(), 2);
}

/// §9.1: compress in compress, compress in compound, a checksum in compress; to any depth.
#[test]
fn layers_lie_in_each_other_in_one_order_only() {
    let mut world = plain_world();
    let news = alive(1, |_| ());
    let mut nested = packed(&news);
    for depth in 2..6 {
        nested = packed(&nested);
        let error = packet_refusal(&mut world, &nested);
        let unexpected = DecodeError::UnexpectedType(9);
        assert_eq!(error, PacketError::Message(unexpected), "{depth} layers");
    }
    let crc = [&[12][..], &crc32fast::hash(&news).to_be_bytes(), &news].concat();
    assert!(matches!(packet_refusal(&mut world, &packed(&crc)), PacketError::Message(_)));
    let part = packed(&news);
    let compound = [&[7, 1], &(part.len() as u16).to_be_bytes()[..], &part].concat();
    for packet in [packed(&compound), compound] {
        world.hear(0, 1, &packet);
    }
    assert_eq!(world.node(0).stats().messages_malformed, 2);
    assert_eq!(world.node(0).members().count(), 1);
    let good = [&[7, 1], &(news.len() as u16).to_be_bytes()[..], &news].concat();
    world.hear(0, 1, &packed(&good));
    assert_eq!(world.node(0).members().count(), 2, "a compressed compound is what Go sends");
}

/// §9.1 and attack 2: LZW bomb in a datagram, at the ratio of the reporter's and beyond.
#[test]
fn a_datagram_decompresses_to_256_kib_at_most() {
    let mut world = plain_world();
    let too_large = PacketError::Compressed(LzwError::TooLarge { max: PACKET_UNPACKED_MAX });
    for len in [PACKET_UNPACKED_MAX + 1, 1 << 20, (40 << 20) + 1] {
        let bomb = packed(&vec![8; len]);
        assert!(bomb.len() < 65_507, "{} bytes fit a datagram", bomb.len());
        assert_eq!(packet_refusal(&mut world, &bomb), too_large);
    }
    world.hear(0, 1, &packed(&vec![8; PACKET_UNPACKED_MAX]));
    assert_eq!(PACKET_UNPACKED_MAX, 4 * 65_536);
}

/// §9.1 and attack 2: 255 parts, each a bomb.
#[test]
fn bombs_in_a_compound_are_not_even_lit() {
    let mut world = plain_world();
    let bomb = packed(&vec![8; 60_000]);
    let mut compound = vec![7, 255];
    for _ in 0..255 {
        compound.extend_from_slice(&(bomb.len() as u16).to_be_bytes());
    }
    compound.extend(bomb.repeat(255));
    world.hear(0, 1, &compound);
    assert_eq!(world.node(0).stats().messages_malformed, 255);
    assert!(world.facts(0).iter().all(|fact| !matches!(fact, rumormill::Fact::Rumor { .. })));
}

/// §9.1: `compress.Algo` other than 0.
#[test]
fn unknown_algorithms_are_dropped() {
    let mut world = plain_world();
    for algorithm in 1..=255 {
        let error = packet_refusal(&mut world, &compress(algorithm, b"\x00\x83\x04\x04"));
        assert_eq!(error, PacketError::Compressed(LzwError::UnknownAlgorithm(algorithm)));
    }
}

/// §9.1: LZW without its end code, with a bad code.
#[test]
fn compressed_bytes_that_are_none_are_dropped() {
    let mut world = plain_world();
    let mut compressed = Vec::new();
    lzw::compress(&alive(1, |_| ()), &mut compressed);
    for len in 0..compressed.len() - 1 {
        let error = packet_refusal(&mut world, &compress(0, &compressed[..len]));
        assert_eq!(error, PacketError::Compressed(LzwError::Truncated), "{len} bytes");
    }
    let error = packet_refusal(&mut world, &compress(0, &[0xff; 20]));
    assert_eq!(error, PacketError::Compressed(LzwError::InvalidCode));
    let empty = packet_refusal(&mut world, &compress(0, b"\x00\x03\x02"));
    assert_eq!(empty, PacketError::Empty);
}

// ── Streams ─────────────────────────────────────────────────────────────────────────────────────

/// §9.3: a frame of more than 20 MiB.
#[test]
fn a_frame_beyond_20_mib_is_refused_at_its_header() {
    let mut world = sealed_world();
    for len in [(20_u32 << 20) + 1, u32::MAX] {
        let header = [&[10][..], &len.to_be_bytes()].concat();
        assert!(matches!(stream_refusal(&mut world, &header), StreamError::Message(_)));
    }
    let header = [&[10][..], &(20_u32 << 20).to_be_bytes()].concat();
    assert_eq!(world.hear_stream(0, &header).1, Ok(()), "as much is legal");
}

/// §9.3: a frame that decrypts to nothing. It ends every Go process.
#[test]
fn a_frame_with_nothing_in_it_is_refused() {
    let mut world = sealed_world();
    for version in [Version::Plain, Version::Padded] {
        let request = frame(|aad| sealed(version, aad, b""));
        assert_eq!(stream_refusal(&mut world, &request), StreamError::Unfinished);
    }
}

/// §9.3: version 0 with invalid padding.
#[test]
fn a_frame_with_bad_padding_is_refused() {
    let mut world = sealed_world();
    let request = frame(|aad| badly_padded(aad, &[17; 32]));
    assert_eq!(stream_refusal(&mut world, &request), StreamError::Sealed(SealError::Padding));
}

/// §9.3: `compress.Buf` that claims up to 4 GiB.
#[test]
fn a_compressed_message_is_held_to_the_limit_of_a_message() {
    let config = Config { stream_message_max: 1 << 16, ..still(Config::lan()) };
    let mut world = Cluster::new(1, &config);
    let (stream, served) = world.hear_stream(0, b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\xff\xff\xff\xff");
    assert_eq!(served, Ok(()));
    let piece = [0; 1_000];
    let refused = (0..100).find_map(|_| {
        let input = StreamInput::Bytes(&piece);
        world.act(0, |node, now| node.handle_stream(now, stream, input)).err()
    });
    assert_eq!(refused, Some(StreamError::MessageTooLong { max: 1 << 16 }));
}

/// §9.3 and attack 2: decompression bomb on a stream.
#[test]
fn a_stream_grows_64_times_at_most() {
    let mut world = plain_world();
    let mut message = Vec::new();
    put_user_message(&mut message, &vec![0; 19 << 20]).unwrap();
    let bomb = packed(&message);
    assert!(bomb.len() * STREAM_EXPANSION_MAX < message.len());
    let error = stream_refusal(&mut world, &bomb);
    assert!(matches!(error, StreamError::Compressed(LzwError::TooLarge { .. })), "{error:?}");
    assert_eq!(STREAM_EXPANSION_MAX, 64);
}

/// §9.3: nested compress; a frame inside another layer.
#[test]
fn layers_of_a_stream_come_once_and_in_order() {
    let mut world = plain_world();
    let unexpected = |kind| StreamError::Message(DecodeError::UnexpectedType(kind));
    assert_eq!(stream_refusal(&mut world, &packed(&packed(&list()))), unexpected(9));
    let mut world = sealed_world();
    let frame_in_frame = frame(|aad| sealed(Version::Plain, aad, &frame(|_| vec![1; 40])));
    assert_eq!(stream_refusal(&mut world, &frame_in_frame), unexpected(10));
    let frame_in_packed = packed(&frame(|aad| sealed(Version::Plain, aad, &list())));
    assert_eq!(stream_refusal(&mut world, &frame_in_packed), StreamError::Plaintext);
}

/// §9.3: what decompresses to nothing.
#[test]
fn a_compressed_nothing_is_refused() {
    let mut world = plain_world();
    assert_eq!(stream_refusal(&mut world, &packed(b"")), StreamError::Unfinished);
}
