//! Labels and compounds in all the cases that memberlist's own tests name.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use rumormill::wire::Sink;
use rumormill::wire::message::{Message, Ping};
use rumormill::wire::packet::{
    COMPOUND_OVERHEAD, Checksum, PART_OVERHEAD, PacketError, PacketWriter, Protection,
    label_overhead, open, put_label, split_label,
};
use rumormill::wire::stream::{Inbox, Progress, StreamError, StreamMessage};

fn labelled(label: &[u8], rest: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    put_label(&mut bytes, label).ok()?;
    bytes.extend_from_slice(rest);
    Some(bytes)
}

#[test]
fn a_label_is_put_before_what_follows() {
    let long = [b'a'; 256];
    assert_eq!(labelled(b"", b"").unwrap(), b"");
    assert_eq!(labelled(b"", b"hello").unwrap(), b"hello");
    assert_eq!(labelled(b"foo", b"").unwrap(), b"\xf4\x03foo");
    assert_eq!(labelled(b"foo", b"hello").unwrap(), b"\xf4\x03foohello");
    let longest = labelled(&long[..255], b"hello").unwrap();
    assert_eq!((longest.len(), &longest[..2]), (2 + 255 + 5, &b"\xf4\xff"[..]));
    assert_eq!(labelled(&long, b"hello"), None);
}

#[test]
fn a_label_costs_two_bytes_more_than_it_has() {
    for (label, overhead) in [(&b""[..], 0), (b"a", 3), (b"abcdefg", 9)] {
        assert_eq!(label_overhead(label), overhead);
    }
}

#[test]
fn a_label_is_taken_off_a_datagram_and_nothing_else_is() {
    for plain in [&b""[..], b"\x00x", b"\x0dx", b"\x01x"] {
        assert_eq!(split_label(plain), Ok((&b""[..], plain)));
    }
    for cut in [&b"\xf4"[..], b"\xf4\x03", b"\xf4\x02x", b"\xf4\x03xx", b"\xf4\xffhello"] {
        assert_eq!(split_label(cut), Err(PacketError::MalformedLabel), "cut off: {cut:?}");
    }
    assert_eq!(split_label(b"\xf4\x00x"), Err(PacketError::MalformedLabel), "empty");
    assert_eq!(split_label(b"\xf4\x03abc\x08xyz"), Ok((&b"abc"[..], &b"\x08xyz"[..])));
}

#[test]
fn a_label_is_taken_off_a_stream_and_nothing_else_is() {
    let push = |bytes: &[u8]| Inbox::for_request(1_000).push(bytes, Protection::label(b"abc"));
    for plain in [&b"\x00"[..], b"\x0d", b"\x01"] {
        assert_eq!(push(plain), Err(StreamError::LabelMismatch), "no label: {plain:?}");
        assert_ne!(
            Inbox::for_request(1_000).push(plain, Protection::label(b"")),
            Err(StreamError::LabelMismatch),
            "and none is wanted"
        );
    }
    // More may come; its end is the node's to judge.
    for cut in [&b""[..], b"\xf4", b"\xf4\x03", b"\xf4\x03xx", b"\xf4\xffhello"] {
        assert_eq!(push(cut), Ok(Progress::Incomplete), "{cut:?}");
    }
    assert_eq!(push(b"\xf4\x00x"), Err(StreamError::MalformedLabel), "empty");
    let mut ping = Vec::new();
    Message::Ping(Ping::default()).encode(&mut ping).unwrap();
    let mut inbox = Inbox::for_request(1_000);
    let bytes = labelled(b"abc", &ping).unwrap();
    assert_eq!(inbox.push(&bytes, Protection::label(b"abc")), Ok(Progress::Complete));
    assert!(matches!(inbox.message(), Some(StreamMessage::Ping(_))), "what follows is kept");
}

fn compound(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut buf = [0; 1_400];
    let mut writer = PacketWriter::new(&mut buf, b"", Checksum::Absent);
    for part in parts {
        writer.part(|out| out.put(part)).unwrap();
    }
    let len = writer.finish();
    buf[..len].to_vec()
}

fn three_parts() -> Vec<Vec<u8>> {
    (3..6_u8).map(|len| vec![8; usize::from(len) * 10]).collect()
}

#[test]
fn a_compound_costs_two_bytes_and_two_for_each_part() {
    let parts = three_parts();
    let bytes: usize = parts.iter().map(Vec::len).sum();
    let packet = compound(&parts);
    assert_eq!(packet.len(), bytes + 3 * PART_OVERHEAD + COMPOUND_OVERHEAD);
    assert_eq!(open(&packet, b"").unwrap().collect::<Vec<_>>(), parts);
}

#[test]
fn a_compound_whose_last_part_is_cut_off_gives_the_others() {
    let parts = three_parts();
    let packet = compound(&parts);
    let mut opened = open(&packet[..packet.len() - 10], b"").unwrap();
    assert_eq!(opened.by_ref().collect::<Vec<_>>(), parts[..2]);
    assert_eq!(opened.cut_off(), 1);
}
