//! Limits of streams that peers open.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod util;

use std::net::SocketAddr;

use bytes::Bytes;
use rumormill::wire::message::PushPullHeader;
use rumormill::wire::stream::StreamError;
use rumormill::{Channel, Config, Delivery, SendError, StreamId, StreamInput};
use util::{Cluster, name};

/// A push/pull request from a stranger, answered with the blob of channel 0.
fn request(cluster: &mut Cluster, port: u16) -> (StreamId, Result<(), StreamError>) {
    let mut bytes = Vec::new();
    PushPullHeader { nodes: 0, user_state_len: 0, join: true }.encode(&mut bytes).unwrap();
    let from = SocketAddr::from(([10, 9, 9, 9], port));
    let stream = cluster.act(0, |node, now| node.handle_accept(now, from)).unwrap();
    let served =
        cluster.act(0, |node, now| node.handle_stream(now, stream, StreamInput::Bytes(&bytes)));
    (stream, served)
}

#[test]
fn answers_that_wait_to_be_written_count_against_the_buffers() {
    const STATE: usize = 200_000;
    let config = Config { stream_buffers_max: 1 << 20, ..Config::lan() };
    let mut cluster = Cluster::new(1, &config);
    let state = Bytes::from(vec![7; STATE]);
    cluster.act(0, |node, _| node.set_channel_state(Channel::BARE, state));
    let max = (1 << 20) / 8 * 7;
    let served: Vec<_> = (0..10).map(|port| request(&mut cluster, port)).collect();
    for (index, (_, served)) in served.iter().enumerate() {
        let expected =
            if index < max / STATE { Ok(()) } else { Err(StreamError::BuffersFull { max }) };
        assert_eq!(*served, expected, "request {index}");
    }
    let stats = cluster.node(0).stats();
    assert_eq!((stats.stream_buffers_full, stats.push_pulls_served), (6, 4));
    // A peer that reads its answer makes room.
    for _ in 0..=STATE / 65_536 {
        let first = served[0].0;
        cluster.act(0, |node, now| node.handle_stream(now, first, StreamInput::Written)).unwrap();
    }
    assert_eq!(request(&mut cluster, 11).1, Ok(()));
}

#[test]
fn a_reliable_message_beyond_the_buffers_is_refused() {
    let config = Config { stream_buffers_max: 1 << 16, ..Config::lan() };
    let mut cluster = Cluster::joined(2, &config);
    cluster.cut(0, 1);
    let send = |cluster: &mut Cluster, len: usize| {
        let payload = vec![1; len];
        cluster.act(0, |node, now| {
            node.send(now, &name(1), Channel::BARE, &payload, Delivery::Reliable)
        })
    };
    assert_eq!(send(&mut cluster, 40_000), Ok(()));
    assert_eq!(send(&mut cluster, 40_000), Err(SendError::BuffersFull { max: 1 << 16 }));
    assert_eq!(send(&mut cluster, 20_000), Ok(()));
    assert_eq!(cluster.node(0).stats().stream_buffers_full, 1);
}
