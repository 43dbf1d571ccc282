//! What the page of a real experiment in virtual time holds: links, repairs, deaths, cuts.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod common;

use std::collections::BTreeSet;

use common::{Dir, binary};
use serde_json::Value;

/// The run that the page of an experiment shows, and the names of kinds and uses.
struct Page {
    run: Value,
    kinds: Vec<String>,
    uses: Vec<String>,
}

impl Page {
    /// An experiment of one repeat in mode matching on warm trees with 10 ms on each link.
    fn of(test: &str, flags: &[&str]) -> Self {
        let dir = Dir::new(test);
        let fixed = ["experiment", "--runtime", "sim", "--modes", "matching", "--repeat", "1"];
        let warm = ["--delay", "uniform:10", "--warm", "3", "--out"];
        let output = binary().args(fixed).args(flags).args(warm).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
        let (_, rest) = page.split_once("id=\"data\">").unwrap();
        let mut film: Value =
            serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
        let words = |name: &str| {
            let words = film[name].as_array().unwrap().iter();
            words.map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let (kinds, uses) = (words("kinds"), words("uses"));
        Self { run: film["networks"][0]["runs"][0].take(), kinds, uses }
    }

    fn numbers(&self, field: &str) -> Vec<i64> {
        let numbers = self.run[field].as_array().unwrap().iter();
        numbers.map(|number| number.as_i64().unwrap()).collect()
    }

    /// Kind and fate of each flight.
    fn flights(&self) -> Vec<(&str, i64)> {
        let flights = self.numbers("flights");
        let kind =
            |flight: &[i64]| (self.kinds[usize::try_from(flight[3]).unwrap()].as_str(), flight[5]);
        flights.chunks(6).map(kind).collect()
    }

    /// How many links were used so.
    fn links(&self, use_: &str) -> usize {
        let links = self.run["links"]["numbers"].as_array().unwrap();
        let links: Vec<u64> = links.iter().map(|number| number.as_u64().unwrap()).collect();
        let used = links.chunks(3).map(|link| &self.uses[usize::try_from(link[2]).unwrap()]);
        used.filter(|used| *used == use_).count()
    }

    fn receivers(&self) -> BTreeSet<i64> {
        self.numbers("receipts").chunks(4).map(|receipt| receipt[0]).collect()
    }
}

#[test]
fn a_warm_tree_has_eager_links_and_lazy_ones_and_repairs_nothing() {
    let page = Page::of("lazy", &["--topology", "hypercube", "--dim", "3", "--floor", "off"]);
    assert_eq!((page.links("eager"), page.links("lazy"), page.links("asked")), (7, 5, 0));
    let flights = page.flights();
    let infecting = flights.iter().filter(|(kind, travel)| *kind == "now" && *travel == 10_000);
    assert_eq!(infecting.count(), 7, "{flights:?}");
    let words = flights.iter().filter(|(kind, travel)| *kind == "ids" && *travel == -1).count();
    assert!((5..=10).contains(&words), "one or two ids along each lazy link: {flights:?}");
    assert_eq!(flights.len(), 7 + words, "{flights:?}");
    assert_eq!(page.receivers().len(), 7);
    assert_eq!((page.numbers("outages").len(), &page.run["cuts"]), (0, &serde_json::json!([])));
}

#[test]
fn the_death_of_a_cut_vertex_shows_with_its_cut_its_losses_and_its_repair() {
    let flags = ["--topology", "bus", "--nodes", "8", "--kill", "cut", "--messages", "3"];
    let page = Page::of("cut-page", &[&flags[..], &["--loss", "10%"]].concat());
    assert_eq!(page.run["message"], serde_json::json!([1, 3]), "the first after the death");
    let outages = page.numbers("outages");
    let [dead, since, -1] = outages[..] else { panic!("one, for ever: {outages:?}") };
    assert!((1..7).contains(&dead) && since <= 0, "{outages:?}");
    let cut = serde_json::json!([{ "at": 0, "parts": 2, "off": [dead + 1, 7], "by": [dead] }]);
    assert_eq!(page.run["cuts"], cut);
    let others: BTreeSet<i64> = (1..8).filter(|node| *node != dead).collect();
    assert_eq!(page.receivers(), others, "the floor and repairs lead around");
    let flights = page.flights();
    let has =
        |is_it: &dyn Fn(&str, i64) -> bool| flights.iter().any(|&(kind, fate)| is_it(kind, fate));
    assert!(has(&|kind, fate| kind == "now" && fate == -2), "lost on the dead: {flights:?}");
    assert!(has(&|kind, _| kind == "wish"), "somebody asks: {flights:?}");
    assert!(has(&|kind, fate| kind == "repair" && fate >= 0), "and gets it: {flights:?}");
    assert!(has(&|kind, _| kind == "ids"), "{flights:?}");
    let floor = ["floor eager", "floor asked", "floor lazy"].map(|use_| page.links(use_));
    assert!(floor.iter().sum::<usize>() >= 2, "{floor:?}");
    assert!(page.links("eager") >= 2);
}

#[test]
fn who_churns_is_down_for_a_while() {
    // Two or three of 32 are down at any time.
    let flags = ["--topology", "ring", "--nodes", "32", "--churn", "100%/min", "--messages", "5"];
    let page = Page::of("churn-page", &flags);
    assert!(!page.numbers("outages").is_empty());
    for outage in page.numbers("outages").chunks(3) {
        assert_eq!(outage[2] - outage[1], 5_000_000, "{outage:?}");
        assert_ne!(outage[0], 0, "the creator never dies");
    }
}
