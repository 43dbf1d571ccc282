//! Hand-made runs with known figures.

use super::*;
use crate::topology::Graph;
use crate::trace::{Event, Saying, Why};
use core::net::SocketAddr;
use proptest::prelude::*;

/// When the rumour is created, in nanoseconds since the Unix epoch.
const T0: u64 = 1_700_000_000_000_000_000;
const TAG: RumorTag = RumorTag(0xfeed);
const OTHER: RumorTag = RumorTag(0xbeef);

#[test]
fn a_run_of_four_has_the_figures_computed_by_hand() {
    // Node1 tells Node2 (10 ms) and Node3 (250.5 ms), Node2 tells Node4 (120 ms).
    let traces = [
        trace(
            1,
            vec![
                create(),
                send(0, Why::Tick, &[(TAG, 1)]),
                send(100, Why::Tick, &[(TAG, 3), (OTHER, 5)]),
                send(250, Why::Ack, &[(TAG, 1)]),
                send(999, Why::Now, &[(TAG, 1)]),
                send(1_000, Why::Tick, &[(TAG, 7)]),
            ],
        ),
        trace(2, vec![recv(10, 1), send(110, Why::Now, &[(TAG, 2)])]),
        trace(3, vec![recv_at_ns(250_500_000, 1), send(260, Why::Probe, &[(TAG, 1)])]),
        trace(4, vec![recv(120, 2), send(130, Why::Tick, &[(OTHER, 9)])]),
    ];
    let figures = measure(&run(4), &traces).unwrap();
    assert_eq!(
        figures,
        RunFigures {
            topology: Topology::Ring,
            dim: 2,
            nodes: 4,
            mode: Mode::Matching,
            overlay: Overlay::Static,
            repeat: 3,
            runtime: Runtime::Udp,
            preset: Preset::Lan,
            convergence_rate: 1.0,
            convergence_ms: Some(250.5),
            tick_copies_until_convergence: Some(4),
            tick_copies_in_window: 4,
            immediate_copies: Some(3),
            piggybacked_copies: Some(2),
            datagrams_in_window: Some(6),
            bytes_in_window: Some(600),
            rmr: Some(2.0),
            last_delivery_hop: Some(2),
            infected_per_epoch: vec![2, 1, 1],
            immediate_copies_until_convergence: Some(2),
            piggybacked_copies_until_convergence: Some(1),
            copies_until_convergence: Some(7),
            delivery: Delivery {
                message: 0,
                live: 4,
                reliability: 1.0,
                t50_ms: Some(10.0),
                t99_ms: Some(250.5),
                t_full_ms: Some(250.5),
                repair_copies: Some(0),
                out_degree_max: Some(6),
                ..Delivery::default()
            },
            interval_ms: 100,
            window_ms: 1_000,
            horizon_ms: 20_000,
            receipts_ms: vec![10.0, 120.0, 250.5],
            error: None,
        }
    );
}

#[test]
fn a_history_has_what_happened_in_the_order_of_time() {
    let to_node = |event, node| match event {
        Event::Send { t, why, bytes, rumors, .. } => {
            Event::Send { t, to: address(node), why, bytes, rumors }
        }
        other => other,
    };
    let traces = [
        trace(2, vec![recv(10, 1), to_node(send(11, Why::Now, &[(TAG, 2)]), 3)]),
        trace(1, vec![create(), to_node(send(9, Why::Tick, &[(TAG, 1)]), 2)]),
        trace(3, vec![recv(12, 2), send(13, Why::Ack, &[(TAG, 1), (OTHER, 4)])]),
        trace(4, vec![send(1, Why::Tick, &[(OTHER, 1)])]),
    ];
    let history = history(&run(4), &traces).unwrap();
    assert_eq!(history.names, ["Node2", "Node1", "Node3", "Node4"]);
    assert_eq!(history.creator, 1);
    let ms = |ms: u64| ms * NS_PER_MS;
    assert_eq!(
        history.receipts,
        [
            Receipt { t_ns: ms(10), node: 0, from: Some(1), hop: Some(1) },
            Receipt { t_ns: ms(12), node: 2, from: Some(0), hop: Some(2) },
        ]
    );
    assert_eq!(
        history.sent,
        [
            Sent { t_ns: ms(9), from: 1, to: Some(0), why: Why::Tick, copies: 1 },
            Sent { t_ns: ms(11), from: 0, to: Some(2), why: Why::Now, copies: 2 },
            Sent { t_ns: ms(13), from: 2, to: None, why: Why::Ack, copies: 1 },
        ]
    );
}

#[test]
fn a_history_has_what_was_said_of_the_rumour_and_who_was_down() {
    let tell = |t_ms: u64, to: u16, said: &[(Saying, Option<RumorTag>)]| Event::Tell {
        t: T0 + t_ms * NS_PER_MS,
        to: address(to),
        said: said.to_vec(),
    };
    let traces = [
        trace(1, vec![create_of(0), create_of(1), tell(1_002, 2, &[(Saying::Prune, None)])]),
        trace(
            2,
            vec![
                tell(7, 1, &[(Saying::Graft, Some(tag_of(0))), (Saying::Prune, None)]),
                tell(1_003, 1, &[(Saying::IHave, Some(tag_of(0))), (Saying::Pull, Some(OTHER))]),
                tell(1_001, 9, &[(Saying::IHave, Some(tag_of(1)))]),
            ],
        ),
    ];
    let at = |ms: u64| T0 + ms * NS_PER_MS;
    let outages = [
        Outage { node: 4, from_ns: at(1_500), until_ns: Some(at(1_700)) },
        Outage { node: 2, from_ns: at(998), until_ns: None },
        Outage { node: 3, from_ns: at(100), until_ns: Some(at(999)) },
    ];
    let scene = Scene { messages: 2, outages: &outages, ..Scene::default() };
    let history = |message| history_of(&run(4), &scene, &traces, message).unwrap();
    let told = |t_ms: u64, from, to, saying| Told { t_ns: t_ms * NS_PER_MS, from, to, saying };
    assert_eq!(
        history(0).told,
        [
            told(7, 1, Some(0), Saying::Graft),
            told(7, 1, Some(0), Saying::Prune),
            told(1_003, 1, Some(0), Saying::IHave),
        ]
    );
    assert_eq!(
        history(1).told,
        [told(1, 1, None, Saying::IHave), told(2, 0, Some(1), Saying::Prune)]
    );
    let down = |place, from_ms: i64, until_ms: Option<i64>| Down {
        place,
        from_ns: from_ms * 1_000_000,
        until_ns: until_ms.map(|ms| ms * 1_000_000),
    };
    assert_eq!(history(1).outages, [down(1, -2, None), down(3, 500, Some(700))]);
}

#[test]
fn the_rumours_own_count_of_links_comes_before_that_of_the_senders() {
    let counted = Event::Recv { t: T0 + 5, id: TAG, from: Some(address(1)), hop: Some(7) };
    let lost = Event::Recv { t: T0 + 6, id: TAG, from: None, hop: None };
    let traces = [trace(1, vec![create()]), trace(2, vec![counted]), trace(3, vec![lost])];
    let hops: Vec<Option<u32>> =
        history(&run(3), &traces).unwrap().receipts.iter().map(|receipt| receipt.hop).collect();
    assert_eq!(hops, [Some(7), None]);
}

#[test]
fn fields_serialise_under_their_names_in_their_order() {
    let figures = measure(&run(2), &[trace(1, vec![create()]), trace(2, vec![])]).unwrap();
    assert_eq!(
        serde_json::to_string(&figures).unwrap(),
        "{\"topology\":\"ring\",\"dim\":2,\"nodes\":2,\"mode\":\"matching\",\"overlay\":\"static\",\
         \"repeat\":3,\"runtime\":\"udp\",\"preset\":\"lan\",\"convergence_rate\":0.5,\
         \"convergence_ms\":null,\"tick_copies_until_convergence\":null,\
         \"tick_copies_in_window\":0,\"immediate_copies\":0,\"piggybacked_copies\":0,\
         \"datagrams_in_window\":0,\"bytes_in_window\":0,\"rmr\":null,\"last_delivery_hop\":null,\
         \"infected_per_epoch\":[1],\"immediate_copies_until_convergence\":null,\
         \"piggybacked_copies_until_convergence\":null,\"copies_until_convergence\":null,\
         \"message\":0,\"live\":2,\"reliability\":0.5,\"t50_ms\":0.0,\"t99_ms\":null,\
         \"t_full_ms\":null,\"repair_copies\":0,\"out_degree_max\":0,\"control_messages\":null,\
         \"control_bytes\":null,\"flaps\":null,\"parts\":null,\"unreached\":\"missed: Node2 (1)\",\
         \"bridged\":null,\
         \"interval_ms\":100,\"window_ms\":1000,\"horizon_ms\":20000,\"receipts_ms\":[],\
         \"error\":null}"
    );
}

#[test]
fn the_window_ends_before_its_end_and_convergence_at_its_end() {
    let sends = |t_ns| {
        let creator = trace(1, vec![create(), send_at_ns(t_ns, Why::Tick, &[(TAG, 1)])]);
        let figures = measure(&run(2), &[creator, trace(2, vec![recv(1_500, 1)])]).unwrap();
        (figures.tick_copies_in_window, figures.tick_copies_until_convergence.unwrap())
    };
    assert_eq!(sends(0), (1, 1));
    assert_eq!(sends(999_999_999), (1, 1));
    assert_eq!(sends(1_000_000_000), (0, 1));
    assert_eq!(sends(1_500_000_000), (0, 1));
    assert_eq!(sends(1_500_000_001), (0, 0));
}

#[test]
fn copies_before_the_creation_do_not_count() {
    let early = Event::Send {
        t: T0 - 1,
        to: address(2),
        why: Why::Tick,
        bytes: 100,
        rumors: vec![(TAG, 1)],
    };
    let figures =
        measure(&run(2), &[trace(1, vec![create(), early]), trace(2, vec![recv(5, 1)])]).unwrap();
    assert_eq!(figures.tick_copies_in_window, 0);
    assert_eq!(figures.tick_copies_until_convergence, Some(0));
}

#[test]
fn the_earliest_receipt_counts_and_only_of_this_rumour() {
    let other = Event::Recv { t: T0 + 1, id: OTHER, from: Some(address(1)), hop: Some(1) };
    let receiver = trace(2, vec![other, recv(30, 9), recv(20, 1), recv(40, 9)]);
    let figures = measure(&run(2), &[trace(1, vec![create()]), receiver]).unwrap();
    assert_eq!(figures.receipts_ms, [20.0]);
    assert_eq!(figures.last_delivery_hop, Some(1));
}

#[test]
fn a_rumour_that_comes_back_to_its_creator_is_no_receipt() {
    let creator = trace(1, vec![create(), recv(500, 2)]);
    let figures = measure(&run(2), &[creator, trace(2, vec![recv(20, 1)])]).unwrap();
    assert_eq!(figures.receipts_ms, [20.0]);
    assert_eq!(figures.infected_per_epoch, [2]);
}

#[test]
fn a_receipt_after_the_horizon_does_not_count() {
    let receipts = |t_ns| {
        let receiver = trace(2, vec![recv_at_ns(t_ns, 1)]);
        measure(&run(2), &[trace(1, vec![create()]), receiver]).unwrap().receipts_ms
    };
    assert_eq!(receipts(20_000_000_000), [20_000.0]);
    assert!(receipts(20_000_000_001).is_empty());
}

#[test]
fn a_clock_that_is_behind_receives_at_the_creation() {
    let early = Event::Recv { t: T0 - 5_000, id: TAG, from: Some(address(1)), hop: Some(1) };
    let figures = measure(&run(2), &[trace(1, vec![create()]), trace(2, vec![early])]).unwrap();
    assert_eq!(figures.convergence_ms, Some(0.0));
    assert_eq!(figures.infected_per_epoch, [2]);
}

#[test]
fn epochs_without_news_are_kept() {
    let traces = [
        trace(1, vec![create()]),
        trace(2, vec![recv_at_ns(99_999_999, 1)]),
        trace(3, vec![recv_at_ns(100_000_000, 1)]),
        trace(4, vec![recv(450, 1)]),
    ];
    assert_eq!(measure(&run(4), &traces).unwrap().infected_per_epoch, [2, 1, 0, 0, 1]);
}

#[test]
fn a_tree_has_no_redundancy() {
    let creator = trace(1, vec![create(), send(1, Why::Now, &[(TAG, 1)])]);
    let figures = measure(&run(2), &[creator, trace(2, vec![recv(2, 1)])]).unwrap();
    assert_eq!(figures.rmr, Some(0.0));
}

#[test]
fn an_unknown_sender_leaves_the_depth_open() {
    for from in [Some(address(99)), None] {
        let event = Event::Recv { t: T0 + 1, id: TAG, from, hop: None };
        let figures = measure(
            &run(3),
            &[trace(1, vec![create()]), trace(2, vec![event]), trace(3, vec![recv(9, 1)])],
        )
        .unwrap();
        assert_eq!(figures.last_delivery_hop, None);
        assert_eq!(figures.receipts_ms.len(), 2);
    }
}

#[test]
fn nodes_that_name_each_other_leave_the_depth_open() {
    let traces = [
        trace(1, vec![create()]),
        trace(2, vec![recv(5, 3)]),
        trace(3, vec![recv(5, 2)]),
        trace(4, vec![recv(5, 1)]),
    ];
    assert_eq!(measure(&run(4), &traces).unwrap().last_delivery_hop, None);
    let itself = [trace(1, vec![create()]), trace(2, vec![recv(5, 2)])];
    assert_eq!(measure(&run(2), &itself).unwrap().last_delivery_hop, None);
}

#[test]
fn a_bus_is_as_deep_as_it_is_long() {
    let mut traces = vec![trace(1, vec![create()])];
    traces.extend((2..=64).map(|node| trace(node, vec![recv(u64::from(node), node - 1)])));
    assert_eq!(measure(&run(64), &traces).unwrap().last_delivery_hop, Some(63));
}

#[test]
fn thesis_logs_leave_open_what_they_cannot_know() {
    let thesis = |node: u16, events| Trace {
        addr: None,
        mode: None,
        format: TraceFormat::Thesis,
        ..trace(node, events)
    };
    let received = Event::Recv { t: T0 + 7_000_000, id: TAG, from: None, hop: None };
    let traces = [
        thesis(1, vec![create(), send(1, Why::Tick, &[]), send(1, Why::Tick, &[])]),
        thesis(2, vec![received, send(8, Why::Tick, &[])]),
    ];
    let figures = measure(&run(2), &traces).unwrap();
    assert_eq!(figures.convergence_ms, Some(7.0));
    assert_eq!(figures.tick_copies_in_window, 3);
    assert_eq!(figures.tick_copies_until_convergence, Some(2));
    assert_eq!(figures.immediate_copies, None);
    assert_eq!(figures.piggybacked_copies, None);
    assert_eq!(figures.datagrams_in_window, None);
    assert_eq!(figures.bytes_in_window, None);
    assert_eq!(figures.rmr, None);
    assert_eq!(figures.last_delivery_hop, None);
    assert_eq!(figures.copies_until_convergence, None);
}

#[test]
fn missing_and_torn_traces_are_told_with_the_figures() {
    let error = |nodes, torn: &[usize]| {
        let mut traces = [trace(1, vec![create()]), trace(2, vec![recv(5, 1)]), trace(3, vec![])];
        for index in torn {
            traces[*index].is_torn = true;
        }
        measure(&run(nodes), &traces).unwrap().error
    };
    assert_eq!(error(3, &[]), None);
    assert_eq!(error(5, &[]).unwrap(), "2 of 5 traces missing");
    assert_eq!(error(3, &[1]).unwrap(), "the trace of Node2 is cut off");
    assert_eq!(
        error(4, &[0, 1, 2]).unwrap(),
        "1 of 4 traces missing; the traces of Node1 and 2 more are cut off"
    );
}

#[test]
fn traces_of_no_run_are_refused_with_a_fix() {
    let creator = || trace(1, vec![create()]);
    let cases = [
        (
            measure(&run(1), &[]),
            "no trace has a created rumour: give the run one, or look whether its creator started",
        ),
        (
            measure(&run(2), &[trace(1, vec![create(), create()]), trace(2, vec![])]),
            "the traces have 2 created rumours: a run spreads one",
        ),
        (
            measure(&run(1), &[creator(), trace(2, vec![])]),
            "2 traces for 1 nodes: remove those of other runs",
        ),
        (
            measure(&run(2), &[creator(), trace(1, vec![])]),
            "two traces are of node `Node1`: remove the one of another run",
        ),
        (
            measure(&Run { interval_ms: 0, ..run(1) }, &[creator()]),
            "the gossip interval is 0 ms: give at least 1",
        ),
        (
            measure(&Run { interval_ms: 1, horizon_ms: 1_000_001, ..run(1) }, &[creator()]),
            "a horizon of 1000001 ms has too many gossip intervals of 1 ms: \
             shorten it to 1000000 intervals at most",
        ),
    ];
    for (result, message) in cases {
        assert_eq!(result.unwrap_err().to_string(), message);
    }
}

#[test]
fn the_longest_horizon_is_measured() {
    let longest = Run { interval_ms: 1, horizon_ms: EPOCHS_MAX, ..run(2) };
    let receiver = trace(2, vec![recv(EPOCHS_MAX, 1)]);
    let figures = measure(&longest, &[trace(1, vec![create()]), receiver]).unwrap();
    assert_eq!(figures.infected_per_epoch.len(), 1_000_001);
}

#[test]
fn counts_saturate() {
    let most = vec![(TAG, u32::MAX); 3];
    let send = Event::Send { t: T0, to: address(2), why: Why::Tick, bytes: u32::MAX, rumors: most };
    let traces = [trace(1, vec![create(), send]), trace(2, vec![recv(5, 1)])];
    let figures = measure(&run(2), &traces).unwrap();
    assert_eq!(figures.tick_copies_in_window, 3 * u64::from(u32::MAX));
    let mut copies =
        copies::Copies { tick: u64::MAX - 1, immediate: 7, piggybacked: u64::MAX, repaired: 0 };
    assert_eq!(copies.total(), u64::MAX);
    copies.tick = copies.tick.saturating_add(5);
    assert_eq!(copies.total(), u64::MAX);
}

proptest! {
    #[test]
    fn no_traces_make_it_panic(
        times in proptest::collection::vec(any::<u64>(), 8),
        tags in proptest::collection::vec(0_u64..3, 8),
        senders in proptest::collection::vec(1_u16..6, 8),
        window_ms in any::<u64>(),
        horizon_ms in 0_u64..=EPOCHS_MAX,
    ) {
        let event = |index: usize| {
            let (t, id, sender) = (times[index], RumorTag(tags[index]), senders[index]);
            match index % 4 {
                0 | 1 => Event::Recv { t, id, from: Some(address(sender)), hop: None },
                2 => Event::Send {
                    t, to: address(sender), why: Why::Tick, bytes: u32::MAX, rumors: vec![(id, 9)],
                },
                _ => Event::Create { t, id },
            }
        };
        let traces: Vec<Trace> = (0..4_u16)
            .map(|node| {
                let first = usize::from(node) * 2;
                trace(node + 1, vec![event(first), event(first + 1)])
            })
            .collect();
        let run = Run { interval_ms: 1, window_ms, horizon_ms, ..run(4) };
        let single = &traces[..3];
        prop_assert!(measure(&run, &traces).is_err(), "two rumours are created");
        let figures = measure(&run, single).unwrap();
        prop_assert!(figures.convergence_rate <= 1.0);
        prop_assert!(figures.infected_per_epoch.len() as u64 <= EPOCHS_MAX + 1);
    }
}

fn run(nodes: u32) -> Run {
    Run {
        topology: Topology::Ring,
        dim: 2,
        nodes,
        mode: Mode::Matching,
        overlay: Overlay::Static,
        repeat: 3,
        runtime: Runtime::Udp,
        preset: Preset::Lan,
        interval_ms: 100,
        window_ms: 1_000,
        horizon_ms: 20_000,
    }
}

fn trace(node: u16, events: Vec<Event>) -> Trace {
    Trace {
        node: format!("Node{node}"),
        addr: Some(address(node)),
        mode: Some(Mode::Matching),
        format: TraceFormat::Json,
        events,
        is_torn: false,
    }
}

fn create() -> Event {
    Event::Create { t: T0, id: TAG }
}

fn recv(ms: u64, from: u16) -> Event {
    recv_at_ns(ms * NS_PER_MS, from)
}

fn recv_at_ns(ns: u64, from: u16) -> Event {
    Event::Recv { t: T0 + ns, id: TAG, from: Some(address(from)), hop: None }
}

fn send(ms: u64, why: Why, rumors: &[(RumorTag, u32)]) -> Event {
    send_at_ns(ms * NS_PER_MS, why, rumors)
}

fn send_at_ns(ns: u64, why: Why, rumors: &[(RumorTag, u32)]) -> Event {
    Event::Send { t: T0 + ns, to: address(9), why, bytes: 100, rumors: rumors.to_vec() }
}

fn address(node: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4_000 + node))
}

// ── Several rumours, and those who live ─────────────────────────────────────────────────────────

/// A rumour of its own for each number, created so many seconds after the start.
fn tag_of(number: u64) -> RumorTag {
    RumorTag(0x100 + number)
}

fn create_of(number: u64) -> Event {
    Event::Create { t: T0 + number * 1_000 * NS_PER_MS, id: tag_of(number) }
}

fn recv_of(number: u64, ms: u64) -> Event {
    let t = T0 + (number * 1_000 + ms) * NS_PER_MS;
    Event::Recv { t, id: tag_of(number), from: Some(address(1)), hop: Some(1) }
}

fn counters(t_s: u64, control: [u64; 3], is_end: bool) -> Event {
    let names = ["control_sent", "control_bytes_sent", "eager_flips"];
    let counters = names.map(str::to_owned).into_iter().zip(control).collect();
    let t = T0 + t_s * 1_000 * NS_PER_MS;
    if is_end { Event::End { t, counters } } else { Event::Mark { t, counters } }
}

#[test]
fn rumours_are_measured_one_by_one_and_those_that_warm_up_are_not() {
    let sent = |number: u64, copies: u32| Event::Send {
        t: T0 + (number * 1_000 + 1) * NS_PER_MS,
        to: address(2),
        why: Why::Repair,
        bytes: 10,
        rumors: vec![(tag_of(number), copies), (tag_of(0), 1)],
    };
    let mut origin: Vec<Event> = (0..3).map(create_of).collect();
    origin.extend([sent(1, 2), sent(2, 5)]);
    let traces = [
        trace(1, origin),
        trace(2, vec![recv_of(2, 20), recv_of(0, 5), recv_of(1, 30), recv_of(1, 10)]),
    ];
    let scene = Scene { warm: 1, messages: 2, ..Scene::default() };
    let figures = measure_all(&run(2), &scene, &traces).unwrap();
    let times: Vec<&[f64]> = figures.iter().map(|run| run.receipts_ms.as_slice()).collect();
    assert_eq!(times, [[10.0], [20.0]]);
    assert_eq!(figures[1].delivery.message, 1);
    let repairs: Vec<_> = figures.iter().map(|run| run.delivery.repair_copies.unwrap()).collect();
    assert_eq!(repairs, [2, 5]);
    assert_eq!(figures[1].rmr, Some(4.0), "repairs are copies");
    let history = history_of(&run(2), &scene, &traces, 1).unwrap();
    assert_eq!((history.receipts.len(), history.sent[0].copies), (1, 5));
    let other = Scene { messages: 3, ..scene };
    assert_eq!(
        measure_all(&run(2), &other, &traces).unwrap_err().to_string(),
        "the traces have 3 created rumours: a run spreads 4"
    );
}

#[test]
fn only_those_who_live_from_the_creation_to_the_horizon_count() {
    let outage = |node, from_ms: i64, until_ms: Option<i64>| Outage {
        node,
        from_ns: T0.saturating_add_signed(from_ms * 1_000_000),
        until_ns: until_ms.map(|ms| T0.saturating_add_signed(ms * 1_000_000)),
    };
    // Node2 died before, Node3 was back in time, Node4 dies within the horizon, Node5 after it.
    let outages = [
        outage(2, -5, None),
        outage(3, -9, Some(-1)),
        outage(4, 19_999, Some(30_000)),
        outage(5, 20_001, None),
    ];
    let mut traces = vec![trace(1, vec![create()]), trace(2, vec![])];
    traces.extend([3_u16, 4].map(|node| trace(node, vec![recv(u64::from(node), 1)])));
    traces.push(trace(5, vec![]));
    traces[1].is_torn = true;
    let scene = Scene { outages: &outages, ..Scene::default() };
    let figures = &measure_all(&run(5), &scene, &traces).unwrap()[0];
    assert_eq!((figures.delivery.live, figures.delivery.reliability), (3, 0.666_667));
    assert_eq!((figures.delivery.t50_ms, figures.delivery.t_full_ms), (Some(3.0), None));
    assert_eq!(figures.delivery.unreached.as_deref(), Some("missed: Node5 (1)"));
    assert_eq!(figures.error, None, "half a line of who was killed is no lack");
}

#[test]
fn the_graph_tells_who_is_cut_off_where_rumours_go_along_it() {
    let graph = Graph::of(Topology::Bus, 5, 0).unwrap();
    let outages = [Outage { node: 3, from_ns: T0 - 1, until_ns: None }];
    let scene = Scene { graph: Some(&graph), outages: &outages, ..Scene::default() };
    let mut traces = vec![trace(1, vec![create()]), trace(2, vec![recv(1, 1)])];
    traces.extend((3..=5).map(|node| trace(node, vec![])));
    let delivery = |overlay| {
        let run = Run { overlay, ..run(5) };
        measure_all(&run, &scene, &traces).unwrap().remove(0).delivery
    };
    let along = delivery(Overlay::Static);
    assert_eq!(along.parts, Some(2));
    assert_eq!(along.unreached.as_deref(), Some("of 2 parts, cut off: Node4..Node5 (2)"));
    let anywhere = delivery(Overlay::None);
    assert_eq!(anywhere.parts, None);
    assert_eq!(anywhere.unreached.as_deref(), Some("missed: Node4..Node5 (2)"));
}

#[test]
fn upkeep_counts_from_mark_to_end_in_every_life() {
    let origin = vec![
        counters(0, [100, 1_000, 3], false),
        create(),
        counters(60, [110, 1_400, 9], true),
        // A second life begins to count anew.
        counters(70, [0, 0, 0], false),
        counters(100, [2, 60, 0], true),
    ];
    let dead = vec![counters(0, [7, 70, 0], false), recv(5, 1)];
    let figures = &measure_all(&run(2), &Scene::default(), &[trace(1, origin), trace(2, dead)]);
    let delivery = &figures.as_ref().unwrap()[0].delivery;
    assert_eq!((delivery.control_messages, delivery.control_bytes), (Some(12.0), Some(460.0)));
    assert_eq!(delivery.flaps, Some(4.0), "six in one and a half minutes");
}
