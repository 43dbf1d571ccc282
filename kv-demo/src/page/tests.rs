//! Pages of made-up results, with histories in the proportions that modes really have.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up figures are small and not negative"
)]

use super::*;
use crate::config::Mode;
use crate::experiment::{Conditions, Kill};
use crate::metrics::{Delivery, Down, Receipt, Sent, Told};
use crate::report::tests::{results, run};
use crate::topology::Graph;
use crate::trace::{Saying, Why};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the issue allows for a page of 64 nodes and four modes, plots included.
const LEN_MAX_OF_64: usize = 2_000_000;

#[test]
fn each_network_has_a_run_of_each_mode() {
    let results = results();
    let data = data_of(&page(&results, 10));
    let titles: Vec<&str> =
        list(&data["networks"]).iter().map(|network| network["title"].as_str().unwrap()).collect();
    assert_eq!(
        titles,
        [
            "bus: 4 nodes, 3 repeats, udp, preset lan",
            "hypercube of dimension 4: 16 nodes, 3 repeats, udp, preset lan"
        ]
    );
    for network in list(&data["networks"]) {
        let modes: Vec<&str> =
            list(&network["runs"]).iter().map(|run| run["mode"].as_str().unwrap()).collect();
        assert_eq!(modes, Mode::ALL.map(Mode::name));
    }
}

#[test]
fn the_run_with_the_median_convergence_time_is_shown() {
    // The convergence times of the made-up repeats ascend, so the second one is the median.
    let results = results();
    let shown = runs_to_show(&results);
    assert_eq!(shown.len(), 8);
    assert!(shown.iter().all(|run| run.repeat == 1));
    assert_eq!(
        data_of(&page(&results, 0))["networks"][0]["runs"][0]["repeat"],
        serde_json::json!([2, 3])
    );
}

#[test]
fn where_nodes_are_killed_the_first_message_after_it_is_shown() {
    let message = |repeat, message: u32| {
        let figures = run(Topology::Ring, 2, Mode::Matching, repeat);
        RunFigures { delivery: Delivery { message, ..figures.delivery.clone() }, ..figures }
    };
    let runs = (0..3).flat_map(|repeat| (0..4).map(move |number| message(repeat, number)));
    let mut results = Results::new(BTreeMap::new(), vec![], runs.collect());
    let which = |results: &Results| {
        let run = data_of(&page(results, 1))["networks"][0]["runs"][0].take();
        (run["repeat"].clone(), run["message"].clone())
    };
    let (repeat, message) = which(&results);
    assert_eq!((repeat, &message[1]), (serde_json::json!([2, 3]), &4.into()), "{message}");
    assert_ne!(message[0], 1, "the median of all");
    results.header.conditions =
        Some(Conditions { messages: 4, kill: Some(Kill::Cut), ..Conditions::default() });
    assert_eq!(which(&results), (serde_json::json!([2, 3]), serde_json::json!([1, 4])));
}

#[test]
fn the_replay_ends_after_the_last_receipt_of_the_slowest_mode() {
    let results = results();
    let data = data_of(&page(&results, 10));
    for network in list(&data["networks"]) {
        let end = network["end"].as_i64().unwrap();
        let last = list(&network["runs"])
            .iter()
            .flat_map(|run| list(&run["receipts"]).chunks(4))
            .map(|receipt| receipt[1].as_i64().unwrap())
            .max()
            .unwrap();
        assert!(end >= last && end <= last + last / 20, "{last} {end}");
    }
}

#[test]
fn a_rumour_that_nobody_received_is_watched_for_its_window() {
    let results = one_network(Topology::Ring, 2);
    let shown: Vec<Shown<'_>> = runs_to_show(&results)
        .into_iter()
        .map(|figures| Shown {
            figures,
            history: History { receipts: vec![], ..made_up(figures, 10) },
            graph: graph_of(figures),
        })
        .collect();
    let data = data_of(&render(&results, &shown).unwrap());
    assert_eq!(data["networks"][0]["end"], 4_120_000);
}

#[test]
fn the_same_results_give_the_same_page() {
    assert_eq!(page(&results(), 10), page(&results(), 10));
}

#[test]
fn a_page_loads_nothing() {
    let page = page(&results(), 10);
    for word in ["http:", "https:", "src=", "@import", "url(", "fetch(", "import("] {
        let allowed = page.matches("http://www.w3.org/2000/svg").count();
        let found = page.matches(word).count();
        assert_eq!(found, if word == "http:" { allowed } else { 0 }, "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_name_cannot_leave_the_script_or_the_text_it_stands_in() {
    let results = one_network(Topology::Bus, 1);
    let shown: Vec<Shown<'_>> = runs_to_show(&results)
        .into_iter()
        .map(|figures| {
            let mut history = made_up(figures, 1);
            history.names[1] = "</script><b>{{data}}&\"'".to_owned();
            Shown { figures, history, graph: graph_of(figures) }
        })
        .collect();
    let page = render(&results, &shown).unwrap();
    assert_eq!(page.matches("</script").count(), 2, "those of the template");
    assert_eq!(data_of(&page)["networks"][0]["runs"][0]["names"]["1"], "</script><b>{{data}}&\"'");
    assert_eq!(escaped("<a href='\"&'>"), "&lt;a href=&#39;&quot;&amp;&#39;&gt;");
}

#[test]
fn four_modes_on_sixty_four_nodes_fit_their_two_megabytes() {
    // Twice the datagrams that the greediest mode sends in the whole window of its preset.
    for topology in Topology::ORIGINAL {
        let page = page(&one_network(topology, 6), 5_000);
        assert!(page.len() <= LEN_MAX_OF_64, "{topology}: {}", page.len());
    }
}

#[test]
fn the_largest_page_keeps_its_limit_and_tells_what_it_left_out() {
    // Sixteen runs of 1024 nodes are all that may be shown; the dimension above is too large.
    let mut runs = Vec::new();
    for preset in [crate::config::Preset::Lan, crate::config::Preset::Wan] {
        for (topology, dim) in [
            (Topology::Hypercube, 10),
            (Topology::Ring, 10),
            (Topology::Bus, 10),
            (Topology::Bus, 11),
        ] {
            runs.extend(Mode::ALL.map(|mode| RunFigures { preset, ..run(topology, dim, mode, 0) }));
        }
    }
    let results = Results::new(BTreeMap::new(), vec![], runs);
    // Everything said twice over, and every other node dies one after the other.
    let dying = |place: usize| {
        let from_ns = i64::try_from(place).unwrap() * 1_000_000;
        Down { place, from_ns, until_ns: None }
    };
    let shown: Vec<Shown<'_>> = runs_to_show(&results)
        .into_iter()
        .map(|figures| Shown {
            figures,
            history: History {
                outages: (1..figures.nodes as usize).step_by(2).map(dying).collect(),
                ..made_up(figures, 20_000)
            },
            graph: graph_of(figures),
        })
        .collect();
    let page = render(&results, &shown).unwrap();
    let plots = below::plots(&results).unwrap().len();
    assert!(page.len() - plots <= LEN_MAX, "{} of {}", page.len() - plots, page.len());
    assert!(page.len() - plots >= LEN_MAX / 2, "the limit says little: {}", page.len() - plots);
    let runs: usize =
        list(&data_of(&page)["networks"]).iter().map(|network| list(&network["runs"]).len()).sum();
    assert_eq!(runs, 16);
    assert!(page.contains("Not replayed, or not in every mode"), "said openly");
    assert!(page.contains("bus: 2048 nodes"));
}

#[test]
fn results_without_a_trace_still_have_table_and_plots() {
    let page = render(&results(), &[]).unwrap();
    assert_eq!(data_of(&page)["networks"], serde_json::json!([]));
    assert_eq!(page.matches("<figure ").count(), 4);
}

#[test]
fn what_is_put_into_the_template_is_not_looked_at_again() {
    assert_eq!(fill("a{{x}}b{{y}}c", &[("x", "{{y}}"), ("y", "2")]), "a{{y}}b2c");
}

/// A page of results whose runs sent so many datagrams.
fn page(results: &Results, datagrams: u64) -> String {
    let shown: Vec<Shown<'_>> = runs_to_show(results)
        .into_iter()
        .map(|figures| Shown {
            figures,
            history: made_up(figures, datagrams),
            graph: graph_of(figures),
        })
        .collect();
    render(results, &shown).unwrap()
}

fn graph_of(figures: &RunFigures) -> Graph {
    Graph::of(figures.topology, figures.nodes as usize, 0).unwrap()
}

fn one_network(topology: Topology, dim: u32) -> Results {
    let runs = Mode::ALL.map(|mode| run(topology, dim, mode, 0)).to_vec();
    Results::new(BTreeMap::new(), vec![], runs)
}

/// Each node gets the rumour from the one before, and all of them send all the time.
fn made_up(figures: &RunFigures, datagrams: u64) -> History {
    let nodes = figures.nodes as usize;
    let t_ns = |node: usize| (figures.receipts_ms[node - 1] * 1e6) as u64;
    let receipt =
        |node| Receipt { t_ns: t_ns(node), node, from: Some(node - 1), hop: Some(node as u32) };
    let last_ns = t_ns(nodes - 1);
    let sent = |number: u64| Sent {
        t_ns: last_ns / datagrams * number,
        from: number as usize % nodes,
        to: Some((number as usize + 1) % nodes),
        why: Why::Tick,
        copies: 62,
    };
    let told = |number: u64| Told {
        t_ns: last_ns / datagrams * number,
        from: number as usize % nodes,
        to: Some((number as usize * 5 + 2) % nodes),
        saying: Saying::IHave,
    };
    History {
        names: (1..=nodes).map(|number| format!("Node{number}")).collect(),
        creator: 0,
        receipts: (1..nodes).map(receipt).collect(),
        sent: (0..datagrams).map(sent).collect(),
        told: (0..datagrams).map(told).collect(),
        outages: vec![],
    }
}

fn data_of(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}
