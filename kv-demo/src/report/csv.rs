//! Runs as comma-separated values.

use csv::Writer;

use crate::metrics::RunFigures;

/// A field of a run: its name, and what its cell holds.
struct Column {
    name: &'static str,
    cell: fn(&RunFigures) -> String,
}

/// The fields of [`RunFigures`] in their order, the infection curve left out.
const COLUMNS: [Column; 40] = [
    column("topology", |run| run.topology.to_string()),
    column("dim", |run| run.dim.to_string()),
    column("nodes", |run| run.nodes.to_string()),
    column("mode", |run| run.mode.to_string()),
    column("overlay", |run| run.overlay.to_string()),
    column("repeat", |run| run.repeat.to_string()),
    column("runtime", |run| run.runtime.to_string()),
    column("preset", |run| run.preset.to_string()),
    column("convergence_rate", |run| run.convergence_rate.to_string()),
    column("convergence_ms", |run| cell(run.convergence_ms)),
    column("tick_copies_until_convergence", |run| cell(run.tick_copies_until_convergence)),
    column("tick_copies_in_window", |run| run.tick_copies_in_window.to_string()),
    column("immediate_copies", |run| cell(run.immediate_copies)),
    column("piggybacked_copies", |run| cell(run.piggybacked_copies)),
    column("datagrams_in_window", |run| cell(run.datagrams_in_window)),
    column("bytes_in_window", |run| cell(run.bytes_in_window)),
    column("rmr", |run| cell(run.rmr)),
    column("last_delivery_hop", |run| cell(run.last_delivery_hop)),
    column("infected_per_epoch", |run| words(&run.infected_per_epoch)),
    column("immediate_copies_until_convergence", |run| {
        cell(run.immediate_copies_until_convergence)
    }),
    column("piggybacked_copies_until_convergence", |run| {
        cell(run.piggybacked_copies_until_convergence)
    }),
    column("copies_until_convergence", |run| cell(run.copies_until_convergence)),
    column("message", |run| run.delivery.message.to_string()),
    column("live", |run| run.delivery.live.to_string()),
    column("reliability", |run| run.delivery.reliability.to_string()),
    column("t50_ms", |run| cell(run.delivery.t50_ms)),
    column("t99_ms", |run| cell(run.delivery.t99_ms)),
    column("t_full_ms", |run| cell(run.delivery.t_full_ms)),
    column("repair_copies", |run| cell(run.delivery.repair_copies)),
    column("out_degree_max", |run| cell(run.delivery.out_degree_max)),
    column("control_messages", |run| cell(run.delivery.control_messages)),
    column("control_bytes", |run| cell(run.delivery.control_bytes)),
    column("flaps", |run| cell(run.delivery.flaps)),
    column("parts", |run| cell(run.delivery.parts)),
    column("unreached", |run| run.delivery.unreached.clone().unwrap_or_default()),
    column("bridged", |run| run.delivery.bridged.clone().unwrap_or_default()),
    column("interval_ms", |run| run.interval_ms.to_string()),
    column("window_ms", |run| run.window_ms.to_string()),
    column("horizon_ms", |run| run.horizon_ms.to_string()),
    column("error", |run| run.error.clone().unwrap_or_default()),
];

const fn column(name: &'static str, cell: fn(&RunFigures) -> String) -> Column {
    Column { name, cell }
}

pub(super) fn render(runs: &[RunFigures]) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    let write = "writing records of one length to memory cannot fail";
    writer.write_record(COLUMNS.map(|column| column.name)).expect(write);
    for run in runs {
        writer.write_record(COLUMNS.map(|column| (column.cell)(run))).expect(write);
    }
    String::from_utf8(writer.into_inner().expect(write)).expect("cells are text")
}

/// Empty for a figure that the run does not have.
fn cell(figure: Option<impl ToString>) -> String {
    figure.map(|figure| figure.to_string()).unwrap_or_default()
}

/// A list in one cell, separated by spaces.
fn words(figures: &[u32]) -> String {
    let words: Vec<String> = figures.iter().map(ToString::to_string).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{results, run};
    use super::*;
    use crate::config::Mode;
    use crate::topology::Topology;

    #[test]
    fn columns_are_the_fields_in_their_order_without_the_curve() {
        let json = serde_json::to_string(&run(Topology::Bus, 2, Mode::Classic, 0)).unwrap();
        let at = |name: &str| json.find(&format!("\"{name}\":")).unwrap();
        let places: Vec<usize> = COLUMNS.iter().map(|column| at(column.name)).collect();
        assert!(places.is_sorted());
        let fields = serde_json::from_str::<serde_json::Value>(&json).unwrap();
        assert_eq!(fields.as_object().unwrap().len(), COLUMNS.len() + 1);
    }

    #[test]
    fn every_run_has_a_row_and_what_is_missing_is_empty() {
        let mut runs = results().runs;
        runs.truncate(2);
        runs[1].convergence_ms = None;
        runs[1].error = Some("1 of 4 traces missing; \"so\"".into());
        let csv = render(&runs);
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows.len(), 3);
        assert!(rows[1].starts_with("bus,2,4,thesis-classic,none,0,udp,lan,1,210,2848,11392,0,0,"));
        assert!(
            rows[1]
                .ends_with(",1 3,0,0,2848,0,4,1,70,210,210,0,1428,12,480,0.5,,,,200,4000,20000,")
        );
        assert!(rows[2].starts_with("bus,2,4,thesis-classic,none,1,udp,lan,1,,2848,"));
        assert!(rows[2].ends_with(",\"1 of 4 traces missing; \"\"so\"\"\""));
    }
}
