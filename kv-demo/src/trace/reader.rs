//! Reading a trace back, whoever wrote it: nothing in a file can make this panic, and no line can
//! make it allocate more than [`LINE_LEN_MAX`].

use core::net::SocketAddr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::{Event, TraceFormat, thesis_log};
use crate::config::{Mode, Place};

/// Longest line, in bytes, its end not counted.
///
/// The longest that a node writes lists the rumours of one datagram. At three bytes or more each,
/// 65 507 bytes hold fewer than 22 000 copies, and a rumour takes 32 bytes of the line at most.
pub const LINE_LEN_MAX: usize = 1 << 20;

/// One node's trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The node's name: the trace's own word, or else the file's name without its extension.
    pub node: String,
    /// Where its datagrams come from; `None` where the trace does not say.
    pub addr: Option<SocketAddr>,
    /// How it spreads rumours; `None` where the trace does not say.
    pub mode: Option<Mode>,
    /// How the trace was written. A thesis log knows neither datagrams nor bytes nor who sent what.
    pub format: TraceFormat,
    /// What happened, in the order of the lines, the first line's [`Event::Node`] left out.
    pub events: Vec<Event>,
    /// Whether the last line lacks its end. It was left out, for half of a number is a number too.
    pub is_torn: bool,
}

/// A trace that cannot be read. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
#[error("{place}{problem}")]
pub struct TraceError {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub problem: TraceProblem,
}

/// What is wrong with a trace, and the fix.
#[derive(Debug, thiserror::Error)]
pub enum TraceProblem {
    /// The operating system refuses the file.
    #[error("cannot be read ({reason}): make it a file that this user may read")]
    Unreadable {
        /// What the operating system says.
        reason: io::Error,
    },
    /// A line is longer than [`LINE_LEN_MAX`].
    #[error("longer than {LINE_LEN_MAX} bytes, so no line of a trace: take the file away")]
    LineTooLong,
    /// A line is not UTF-8.
    #[error("not UTF-8, so no line of a trace: take the file away")]
    NotText,
    /// A line of a JSON trace is no event.
    #[error("not an event ({reason}): take the line or the file away")]
    NotAnEvent {
        /// The parser's words.
        reason: String,
    },
    /// A line of a thesis log begins as a message's line and does not go on as one.
    #[error("half of a log line (`{start}`): take the line or the file away")]
    HalfALine {
        /// How the line starts.
        start: String,
    },
    /// A JSON trace does not say whose it is.
    #[error("the first line is no `node` event: take the file away")]
    NodeNotFirst,
    /// A JSON trace says whose it is a second time.
    #[error("a second `node` event: give each node of each run its own file")]
    NodeTwice,
}

/// Reads the trace at `path`.
///
/// # Errors
///
/// [`TraceError`] with file and line, unless every complete line belongs into a trace.
pub fn read(path: &Path) -> Result<Trace, TraceError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let read = || {
        let file =
            File::open(path).map_err(|reason| at(None, TraceProblem::Unreadable { reason }))?;
        parse(&stem, BufReader::new(file))
    };
    read().map_err(|mut error| {
        error.place.file = Some(path.to_owned());
        error
    })
}

/// Reads a trace from `input`; `node` is its node's name where it does not say so itself.
///
/// # Errors
///
/// As [`read`], without the name of a file.
pub fn parse(node: &str, input: impl BufRead) -> Result<Trace, TraceError> {
    let mut lines = Lines { input, line: Vec::new(), number: 0 };
    let mut trace = Trace {
        node: node.to_owned(),
        addr: None,
        mode: None,
        format: TraceFormat::Json,
        events: Vec::new(),
        is_torn: false,
    };
    loop {
        match lines.next()? {
            Line::Complete(line, number) => {
                if number == 1 && !line.starts_with('{') {
                    trace.format = TraceFormat::Thesis;
                }
                trace.push(line, number).map_err(|problem| at(Some(number), problem))?;
            }
            Line::Torn => trace.is_torn = true,
            Line::End => return Ok(trace),
        }
    }
}

fn at(line: Option<usize>, problem: TraceProblem) -> TraceError {
    TraceError { place: Place { file: None, line }, problem }
}

impl Trace {
    fn push(&mut self, line: &str, number: usize) -> Result<(), TraceProblem> {
        match self.format {
            TraceFormat::Json => self.push_json(line, number),
            TraceFormat::Thesis => self.push_thesis(line),
        }
    }

    fn push_json(&mut self, line: &str, number: usize) -> Result<(), TraceProblem> {
        let event = serde_json::from_str(line).map_err(|error| {
            // The parser counts lines within this one: its columns help, its line does not.
            let reason = error.to_string().replace("at line 1 column", "at column");
            TraceProblem::NotAnEvent { reason }
        })?;
        match event {
            Event::Node { node, addr, mode, .. } if number == 1 => {
                self.node = node;
                self.addr = Some(addr);
                self.mode = Some(mode);
            }
            Event::Node { .. } => return Err(TraceProblem::NodeTwice),
            _ if number == 1 => return Err(TraceProblem::NodeNotFirst),
            event => self.events.push(event),
        }
        Ok(())
    }

    fn push_thesis(&mut self, line: &str) -> Result<(), TraceProblem> {
        let event = thesis_log::parse_line(line).map_err(|thesis_log::Garbled| {
            TraceProblem::HalfALine { start: line.chars().take(80).collect() }
        })?;
        self.events.extend(event);
        Ok(())
    }
}

/// The lines of a file, one buffer for all.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: usize,
}

enum Line<'a> {
    /// A line without its end, and its number from 1.
    Complete(&'a str, usize),
    /// The rest of a file that stops within a line.
    Torn,
    End,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Line<'_>, TraceError> {
        self.line.clear();
        self.number += 1;
        let number = self.number;
        let most = u64::try_from(LINE_LEN_MAX + 1).unwrap_or(u64::MAX);
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.line);
        read.map_err(|reason| at(None, TraceProblem::Unreadable { reason }))?;
        if self.line.pop_if(|last| *last == b'\n').is_none() {
            return match self.line.len() {
                0 => Ok(Line::End),
                1..=LINE_LEN_MAX => Ok(Line::Torn),
                _ => Err(at(Some(number), TraceProblem::LineTooLong)),
            };
        }
        match str::from_utf8(&self.line) {
            Ok(line) => Ok(Line::Complete(line, number)),
            Err(_) => Err(at(Some(number), TraceProblem::NotText)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RumorTag, TraceWriter, Why};
    use super::*;
    use proptest::prelude::*;

    const NODE: &str =
        r#"{"ev":"node","t":1,"node":"Node7","addr":"127.0.0.1:4001","mode":"matching"}"#;
    const CREATE: &str = r#"{"ev":"create","t":2,"id":"00000000000000ff"}"#;

    #[test]
    fn a_json_trace_says_whose_it_is() {
        let trace = parse_text(&format!("{NODE}\n{CREATE}\n")).unwrap();
        assert_eq!(trace.node, "Node7");
        assert_eq!(trace.addr, "127.0.0.1:4001".parse().ok());
        assert_eq!(trace.mode, Some(Mode::Matching));
        assert_eq!(trace.format, TraceFormat::Json);
        assert_eq!(trace.events, [Event::Create { t: 2, id: RumorTag(0xff) }]);
        assert!(!trace.is_torn);
    }

    #[test]
    fn a_thesis_log_is_its_files() {
        let log = "2024/05/01 12:00:00.000001 [DEBUG] memberlist: hello\n\
                   2024/05/01 12:00:00.000001 main.go:51: I create a message called 5, \
                   now time 2, broadcast to others\n\
                   2024/05/01 12:00:00.000001 state.go:51: I send a packet to 10.0.0.1:3, \
                   now time 9\n";
        let trace = parse_text(log).unwrap();
        assert_eq!(trace.node, "stem");
        assert_eq!(trace.format, TraceFormat::Thesis);
        assert_eq!(trace.events.len(), 2);
        assert_eq!(trace.events[0], Event::Create { t: 2, id: RumorTag(5) });
    }

    #[test]
    fn what_the_writer_writes_the_reader_reads() {
        let to = "127.0.0.1:4002".parse().unwrap();
        let events = [
            Event::Create { t: 2, id: RumorTag(9) },
            Event::Send { t: 3, to, why: Why::Tick, bytes: 0, rumors: vec![] },
            Event::Recv { t: 4, id: RumorTag(8), from: None, hop: None },
        ];
        for format in [TraceFormat::Json, TraceFormat::Thesis] {
            let mut out = Vec::new();
            let mut writer = TraceWriter::new(&mut out, format);
            let addr = "127.0.0.1:4001".parse().unwrap();
            let node = Event::Node { t: 1, node: "stem".into(), addr, mode: Mode::Classic };
            writer.record(&node, None).unwrap();
            for event in &events {
                // A thesis log has a line for each copy, so its send must carry one.
                let mut event = event.clone();
                if let (TraceFormat::Thesis, Event::Send { rumors, .. }) = (format, &mut event) {
                    rumors.push((RumorTag(9), 1));
                }
                writer.record(&event, None).unwrap();
            }
            drop(writer);
            let trace = parse("stem", out.as_slice()).unwrap();
            assert_eq!((trace.format, trace.node.as_str()), (format, "stem"));
            assert_eq!(trace.events, events);
        }
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_reported() {
        for torn in [r#"{"ev":"cre"#, CREATE] {
            let trace = parse_text(&format!("{NODE}\n{CREATE}\n{torn}")).unwrap();
            assert_eq!(trace.events.len(), 1);
            assert!(trace.is_torn);
        }
        let log = "I receive a message called 5, now time is 1700\n\
                   I receive a message called 6, now time is 17";
        let trace = parse_text(log).unwrap();
        assert_eq!(trace.events.len(), 1, "17 may be the start of a longer number");
        assert!(trace.is_torn);
    }

    #[test]
    fn an_empty_file_is_a_node_that_saw_nothing() {
        let trace = parse_text("").unwrap();
        assert_eq!((trace.node.as_str(), trace.events.len()), ("stem", 0));
        assert!(parse_text("{\"ev\"").unwrap().is_torn);
    }

    #[test]
    fn a_line_that_is_no_event_is_refused_in_the_parsers_words() {
        for (line, reason) in [
            ("hello", "expected value at column 1"),
            ("", "EOF while parsing"),
            (
                r#"{"ev":"party","t":1}"#,
                "unknown variant `party`, expected one of `node`, `create`",
            ),
            (r#"{"ev":"create","t":-1,"id":"00000000000000ff"}"#, "invalid value: integer `-1`"),
            (
                r#"{"ev":"create","t":1,"id":"FF"}"#,
                "`FF` is not a rumour's id: it has 16 lower-case",
            ),
        ] {
            let error = parse_text(&format!("{NODE}\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line 2: not an event ({reason}")), "{error}");
            assert!(error.ends_with("): take the line or the file away"), "{error}");
        }
    }

    #[test]
    fn garbage_is_refused_with_its_line_and_a_fix() {
        let cases = [
            (
                format!("{CREATE}\n"),
                "line 1: the first line is no `node` event: take the file away",
            ),
            (
                format!("{NODE}\n{NODE}\n"),
                "line 2: a second `node` event: give each node of each run its own file",
            ),
            (
                "\nI send a packet to nowhere\n".to_owned(),
                "line 2: half of a log line (`I send a packet to nowhere`): \
                 take the line or the file away",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse_text(&text).unwrap_err().to_string(), message);
        }
        let error = parse("stem", &b"ok\n\xff\n"[..]).unwrap_err().to_string();
        assert_eq!(error, "line 2: not UTF-8, so no line of a trace: take the file away");
    }

    #[test]
    fn lines_end_at_their_limit() {
        let of_length = |len: usize, end: &str| parse_text(&format!("{}{end}", "x".repeat(len)));
        for len in [LINE_LEN_MAX - 1, LINE_LEN_MAX] {
            assert!(!of_length(len, "\n").unwrap().is_torn);
            assert!(of_length(len, "").unwrap().is_torn);
        }
        for end in ["\n", ""] {
            assert_eq!(
                of_length(LINE_LEN_MAX + 1, end).unwrap_err().to_string(),
                "line 1: longer than 1048576 bytes, so no line of a trace: take the file away"
            );
        }
    }

    #[test]
    fn a_file_is_named_in_its_errors_and_names_its_node() {
        let path = std::env::temp_dir().join(format!("rumormill-trace-{}.log", std::process::id()));
        std::fs::write(&path, "I create a message called 5\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        std::fs::write(&path, "hello\n").unwrap();
        let trace = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(error.starts_with(&format!("{}:1: half of a log line", path.display())), "{error}");
        assert_eq!(trace.node, format!("rumormill-trace-{}", std::process::id()));
        let error = read(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: cannot be read (", path.display())), "{error}");
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse("stem", bytes.as_slice());
        }

        #[test]
        fn no_cut_makes_a_trace_unreadable(cut in 0..NODE.len() + CREATE.len() + 2) {
            let text = format!("{NODE}\n{CREATE}\n");
            let trace = parse("stem", &text.as_bytes()[..cut]).unwrap();
            prop_assert_eq!(trace.is_torn, cut != 0 && !text[..cut].ends_with('\n'));
        }
    }

    fn parse_text(text: &str) -> Result<Trace, TraceError> {
        parse("stem", text.as_bytes())
    }
}
