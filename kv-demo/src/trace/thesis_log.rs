//! The original's log lines.
//!
//! Its scripts apply three patterns to each line of a node's log, from the line's start, and skip
//! every other line:
//!
//! ```text
//! .*I create a message called (\d+), now time (\d+).*
//! .*I receive a message called (\d+), now time is (\d+).*
//! .*I send a packet to ([\d,.]+):(\d+), now time (\d+).*
//! ```
//!
//! Times are nanoseconds since the Unix epoch. One send line stands for one copy of a rumour that
//! the gossip tick sent; copies that rode on probes or were forwarded at once have no line. The
//! third pattern knows IPv4 only; with IPv6 our lines keep their form and only we read them.

use core::net::SocketAddr;

use super::{Event, RumorTag, Why};

const CREATE: &str = "I create a message called ";
const RECEIVE: &str = "I receive a message called ";
const SEND: &str = "I send a packet to ";
const TIME: &str = ", now time ";
const TIME_OF_RECEIPT: &str = ", now time is ";

pub(super) fn create_line(id: u64, t: u64) -> String {
    format!("{CREATE}{id}{TIME}{t}, broadcast to others")
}

pub(super) fn receive_line(id: u64, t: u64) -> String {
    format!("{RECEIVE}{id}{TIME_OF_RECEIPT}{t}")
}

pub(super) fn send_line(to: SocketAddr, t: u64) -> String {
    format!("{SEND}{to}{TIME}{t}")
}

/// A line that begins as one of the three and does not go on as it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// The event on a line; `Ok(None)` for a line about something else.
pub(super) fn parse_line(line: &str) -> Result<Option<Event>, Garbled> {
    // As the patterns' leading `.*` does, look for the last place where one of them begins.
    let find = |start| line.rfind(start).map(|at| (at, start));
    let last = [CREATE, RECEIVE, SEND].into_iter().filter_map(find).max();
    let Some((at, start)) = last else { return Ok(None) };
    let rest = &line[at + start.len()..];
    let event = match start {
        CREATE => parse_message(rest, TIME).map(|(id, t)| Event::Create { t, id }),
        RECEIVE => parse_message(rest, TIME_OF_RECEIPT).map(|(id, t)| Event::Recv {
            t,
            id,
            from: None,
            hop: None,
        }),
        _ => parse_send(rest),
    };
    event.map(Some).ok_or(Garbled)
}

fn parse_message(rest: &str, separator: &str) -> Option<(RumorTag, u64)> {
    let (id, t) = rest.split_once(separator)?;
    Some((RumorTag(id.parse().ok()?), leading_number(t)?))
}

fn parse_send(rest: &str) -> Option<Event> {
    let (to, t) = rest.split_once(TIME)?;
    let (to, t) = (to.parse().ok()?, leading_number(t)?);
    Some(Event::Send { t, to, why: Why::Tick, bytes: 0, rumors: Vec::new() })
}

fn leading_number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_originals_to_the_letter() {
        let to = "10.0.0.1:30000".parse().unwrap();
        assert_eq!(
            create_line(123, 1_700_000_000_000_000_000),
            "I create a message called 123, now time 1700000000000000000, broadcast to others"
        );
        assert_eq!(
            receive_line(123, 1_700_000_000_000_000_000),
            "I receive a message called 123, now time is 1700000000000000000"
        );
        assert_eq!(
            send_line(to, 1_700_000_000_000_000_000),
            "I send a packet to 10.0.0.1:30000, now time 1700000000000000000"
        );
    }

    #[test]
    fn each_line_reads_back_behind_the_originals_prefix() {
        let to = "10.0.0.1:30000".parse().unwrap();
        let id = RumorTag(u64::MAX);
        let cases = [
            (create_line(id.0, 7), Event::Create { t: 7, id }),
            (receive_line(id.0, 7), Event::Recv { t: 7, id, from: None, hop: None }),
            (send_line(to, 7), Event::Send { t: 7, to, why: Why::Tick, bytes: 0, rumors: vec![] }),
        ];
        for (line, event) in cases {
            let prefixed = format!("2024/05/01 12:00:00.000001 delegate.go:51: {line}");
            assert_eq!(parse_line(&prefixed), Ok(Some(event)));
        }
    }

    #[test]
    fn ipv6_targets_read_back_too() {
        let to = "[::1]:30000".parse().unwrap();
        let event = parse_line(&send_line(to, 7)).unwrap().unwrap();
        assert!(matches!(event, Event::Send { to: read, .. } if read == to));
    }

    #[test]
    fn other_lines_are_skipped() {
        for line in ["", "2024/05/01 [DEBUG] memberlist: Stream connection from=10.0.0.1", "{}"] {
            assert_eq!(parse_line(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn half_a_line_is_garbled() {
        for line in [
            "I create a message called ",
            "I create a message called 12",
            "I create a message called x, now time 7",
            "I create a message called 12, now time ",
            "I create a message called 18446744073709551616, now time 7",
            "I receive a message called 12, now time 7",
            "I send a packet to 10.0.0.1, now time 7",
            "I send a packet to 10.0.0.1:30000, now time x",
        ] {
            assert_eq!(parse_line(line), Err(Garbled), "{line}");
        }
    }
}
