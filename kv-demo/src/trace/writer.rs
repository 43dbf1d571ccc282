//! Writing a trace.

use std::io::{self, BufWriter, Write};

use super::{Event, RumorTag, TraceFormat, Why, thesis_log};

/// Writes one node's trace, buffered: what is not flushed when the process dies is lost, and may
/// leave half a line, which the reader reports.
///
/// ```
/// use kv_demo::trace::{Event, RumorTag, TraceFormat, TraceWriter};
///
/// let mut out = Vec::new();
/// let mut trace = TraceWriter::new(&mut out, TraceFormat::Json);
/// trace.record(&Event::Create { t: 17, id: RumorTag(0xff) }, None)?;
/// trace.flush()?;
/// drop(trace);
/// assert_eq!(out, b"{\"ev\":\"create\",\"t\":17,\"id\":\"00000000000000ff\"}\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TraceWriter<W: Write> {
    out: BufWriter<W>,
    format: TraceFormat,
}

impl<W: Write> TraceWriter<W> {
    /// A trace written to `out`.
    pub fn new(out: W, format: TraceFormat) -> Self {
        Self { out: BufWriter::new(out), format }
    }

    /// Writes `event` down.
    ///
    /// `thesis_id` is the number inside a thesis message, by which [`TraceFormat::Thesis`] calls a
    /// rumour that was created or received. Without it the rumour's tag stands in; a negative one,
    /// which the original's patterns cannot match, is written as the unsigned number of the same
    /// bits.
    ///
    /// # Errors
    ///
    /// Those of the underlying writer.
    pub fn record(&mut self, event: &Event, thesis_id: Option<i64>) -> io::Result<()> {
        match self.format {
            TraceFormat::Json => {
                serde_json::to_writer(&mut self.out, event)?;
                self.out.write_all(b"\n")
            }
            TraceFormat::Thesis => self.record_thesis(event, thesis_id),
        }
    }

    /// Hands everything recorded so far to the underlying writer.
    ///
    /// # Errors
    ///
    /// Those of the underlying writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes out everything and gives the underlying writer back.
    ///
    /// # Errors
    ///
    /// Those of the underlying writer.
    pub fn into_inner(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }

    fn record_thesis(&mut self, event: &Event, thesis_id: Option<i64>) -> io::Result<()> {
        let decimal = |tag: RumorTag| thesis_id.map_or(tag.0, i64::cast_unsigned);
        match event {
            Event::Create { t, id } => {
                writeln!(self.out, "{}", thesis_log::create_line(decimal(*id), *t))
            }
            Event::Recv { t, id, .. } => {
                writeln!(self.out, "{}", thesis_log::receive_line(decimal(*id), *t))
            }
            Event::Send { t, to, why: Why::Tick, rumors, .. } => {
                let line = thesis_log::send_line(*to, *t);
                for (_, copies) in rumors {
                    for _ in 0..*copies {
                        writeln!(self.out, "{line}")?;
                    }
                }
                Ok(())
            }
            // The original's log knows neither other datagrams nor whose log it is.
            Event::Send { .. }
            | Event::Tell { .. }
            | Event::Node { .. }
            | Event::Mark { .. }
            | Event::End { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use std::collections::BTreeMap;

    #[test]
    fn json_writes_every_event_on_its_own_line() {
        let text = written(TraceFormat::Json, &events(Why::Now), None);
        assert_eq!(text.lines().count(), 5);
        for (line, event) in text.lines().zip(events(Why::Now)) {
            assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
        }
    }

    #[test]
    fn thesis_writes_one_line_per_copy_of_the_tick() {
        assert_eq!(
            written(TraceFormat::Thesis, &events(Why::Tick), Some(42)),
            "I create a message called 42, now time 2, broadcast to others\n\
             I receive a message called 42, now time is 3\n\
             I send a packet to 10.0.0.1:1, now time 4\n\
             I send a packet to 10.0.0.1:1, now time 4\n\
             I send a packet to 10.0.0.1:1, now time 4\n"
        );
    }

    #[test]
    fn thesis_leaves_out_copies_that_the_tick_did_not_send() {
        for why in [Why::Now, Why::Probe, Why::Ack, Why::Nack, Why::Ask, Why::Relay, Why::Other] {
            assert!(
                !written(TraceFormat::Thesis, &events(why), None).contains("I send"),
                "{why:?}"
            );
        }
    }

    #[test]
    fn the_tag_stands_in_for_a_missing_thesis_id() {
        let created = |thesis_id| {
            let event = Event::Create { t: 1, id: RumorTag(7) };
            written(TraceFormat::Thesis, &[event], thesis_id)
        };
        assert!(created(None).contains(" called 7, "));
        assert!(created(Some(i64::MAX)).contains(" called 9223372036854775807, "));
        assert!(created(Some(-1)).contains(" called 18446744073709551615, "));
    }

    #[test]
    fn a_full_disk_is_reported() {
        let mut no_room = [0_u8; 8];
        let mut writer = TraceWriter::new(&mut no_room[..], TraceFormat::Json);
        let event = Event::Create { t: 1, id: RumorTag(7) };
        assert!(writer.record(&event, None).and_then(|()| writer.flush()).is_err());
    }

    fn events(why: Why) -> [Event; 5] {
        let (id, addr) = (RumorTag(0xff), "10.0.0.1:1".parse().unwrap());
        [
            Event::Node { t: 1, node: "Node1".into(), addr, mode: Mode::Classic },
            Event::Create { t: 2, id },
            Event::Recv { t: 3, id, from: Some(addr), hop: Some(1) },
            Event::Send { t: 4, to: addr, why, bytes: 9, rumors: vec![(id, 2), (RumorTag(1), 1)] },
            Event::End { t: 5, counters: BTreeMap::new() },
        ]
    }

    fn written(format: TraceFormat, events: &[Event], thesis_id: Option<i64>) -> String {
        let mut out = Vec::new();
        let mut writer = TraceWriter::new(&mut out, format);
        for event in events {
            writer.record(event, thesis_id).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        String::from_utf8(out).unwrap()
    }
}
