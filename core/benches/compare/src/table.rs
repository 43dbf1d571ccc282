//! What comes out.

use crate::Work;

/// Ours first, then foca, then Go if there is one.
const NAMES: [&str; 3] = ["Rumormill", "foca 2.0.0", "Go memberlist 0.7.0"];

/// How much faster than foca and Go we must be at the largest size.
const TIMES_FOCA_MIN: f64 = 5.0;
const TIMES_GO_MIN: f64 = 10.0;

/// Most bytes of heap for a member beside name and meta.
const BYTES_PER_MEMBER_MAX: f64 = 128.0;

pub struct Row {
    pub work: Work,
    pub size: usize,
    /// Per packet, in the order of [`NAMES`].
    pub nanos: Vec<f64>,
    pub allocations: Vec<f64>,
}

impl Row {
    /// How many times as long as ours another one takes.
    fn ratio(&self, other: usize) -> Option<f64> {
        Some(self.nanos.get(other)? / self.nanos.first()?)
    }
}

pub fn print(rows: &[Row]) {
    println!(
        "\n| work | members | Rumormill | foca 2.0.0 | | Go memberlist 0.7.0 | | allocations |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for row in rows {
        let work = match row.work {
            Work::Ping => "ping → ack",
            Work::Known => "20 known updates",
        };
        let allocations: Vec<String> =
            row.allocations.iter().map(|count| format!("{count:.0}")).collect();
        println!(
            "| {work} | {} | {} | {} | {} | {} | {} | {} |",
            row.size,
            time(row.nanos.first()),
            time(row.nanos.get(1)),
            times(row.ratio(1)),
            time(row.nanos.get(2)),
            times(row.ratio(2)),
            allocations.join(" / "),
        );
    }
}

pub fn print_memory(memory: &[f64]) {
    println!("\nHeap per member beside its name of 12 bytes, 10 000 members:");
    for (name, bytes) in NAMES.iter().zip(memory) {
        println!("{name}: {bytes:.1} B");
    }
}

/// Says which bars are missed, if any.
pub fn hold_bars(rows: &[Row], memory: &[f64]) -> bool {
    let mut missed = Vec::new();
    for row in rows {
        let largest = rows.iter().map(|row| row.size).max() == Some(row.size);
        for (other, min) in [(1, TIMES_FOCA_MIN), (2, TIMES_GO_MIN)] {
            if let Some(ratio) = row.ratio(other).filter(|&ratio| largest && ratio < min) {
                missed.push(format!("{:?}: {ratio:.1} x {}, not {min} x", row.work, NAMES[other]));
            }
        }
        if row.allocations.first().is_some_and(|&count| count > 0.0) {
            missed.push(format!("{:?} at {} members allocates", row.work, row.size));
        }
    }
    if memory.first().is_some_and(|&bytes| bytes > BYTES_PER_MEMBER_MAX) {
        missed.push(format!("a member takes more than {BYTES_PER_MEMBER_MAX} B"));
    }
    for bar in &missed {
        println!("missed: {bar}");
    }
    missed.is_empty()
}

fn time(nanos: Option<&f64>) -> String {
    match nanos {
        None => "–".into(),
        Some(&nanos) if nanos < 1_000.0 => format!("{nanos:.0} ns"),
        Some(&nanos) => format!("{:.2} µs", nanos / 1_000.0),
    }
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or("–".into(), |ratio| format!("× {ratio:.2}"))
}
