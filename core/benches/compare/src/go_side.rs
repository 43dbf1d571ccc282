//! Go memberlist: a program of ours around it, spoken to in lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::crowd;
use crate::{Side, Work};

pub struct GoSide {
    program: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    size: usize,
    ping: String,
    known: String,
    /// Heap per member, taken when the members came.
    heap: f64,
}

impl GoSide {
    /// Starts the program and makes it know `size` members.
    pub fn start(program: &Path, size: usize) -> Result<Self, String> {
        let mut program = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let orders = program.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::new(program.stdout.take().ok_or("no pipe")?);
        let ping = hex(&crowd::ping());
        let known = hex(&crowd::known_updates(size));
        let mut side = Self { program, orders, answers, size, ping, known, heap: 0.0 };
        side.meet()?;
        Ok(side)
    }

    fn meet(&mut self) -> Result<(), String> {
        let [before] = self.ask("heap")?;
        let (indexes, mut members): (Vec<usize>, f64) = ((1..self.size).collect(), 0.0);
        for some in indexes.chunks(100) {
            let [_, _] = self.ask(&format!("run 1 {}", hex(&crowd::alives(some, b""))))?;
            // Each answer takes some of the news along, until none is left. A long queue would
            // leave behind a map as large, which is no part of a member.
            [members] = self.ask(&format!("settle {}", self.ping))?;
        }
        if members != self.size as f64 {
            return Err(format!("it knows {members} members instead of {}", self.size));
        }
        let [after] = self.ask("heap")?;
        self.heap = (after - before) / (self.size - 1) as f64;
        Ok(())
    }

    /// Gives an order and reads the numbers of the answer.
    fn ask<const N: usize>(&mut self, order: &str) -> Result<[f64; N], String> {
        writeln!(self.orders, "{order}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        let numbers: Vec<f64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.try_into().map_err(|_| format!("it answered {line:?}"))
    }

    fn ask_run(&mut self, work: Work, packets: u32) -> [f64; 2] {
        let packet = match work {
            Work::Ping => &self.ping,
            Work::Known => &self.known,
        };
        let order = format!("run {packets} {packet}");
        self.ask(&order).expect("the Go program goes on answering")
    }
}

impl Side for GoSide {
    fn run(&mut self, work: Work, packets: u32) -> Duration {
        let [nanos, _] = self.ask_run(work, packets);
        Duration::from_secs_f64(nanos / 1e9)
    }

    fn allocations(&mut self, work: Work, packets: u32) -> f64 {
        let [_, allocations] = self.ask_run(work, packets);
        allocations / f64::from(packets)
    }

    fn bytes_per_member(&mut self) -> f64 {
        self.heap - crowd::name(0).len() as f64
    }
}

impl Drop for GoSide {
    fn drop(&mut self) {
        // It ends by itself when its input does; this is for one that hangs.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Builds the program; an error if there is no Go to build it with.
pub fn build() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = me.with_file_name("go-memberlist");
    let built = Command::new("go")
        .current_dir(source)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .status()
        .map_err(|error| format!("no Go toolchain ({error})"))?;
    if built.success() { Ok(program) } else { Err("go build failed".into()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
