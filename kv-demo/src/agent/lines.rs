//! Lines from a pipe, none longer than a limit.

use std::io::{BufRead as _, BufReader, Read};

/// How much of a line that makes no sense is quoted, in characters.
const QUOTE_LEN: usize = 80;
/// How much is repeated of what another process says about itself, in characters.
const WORDS_LEN: usize = 400;

/// Reads lines; one buffer serves all.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    len_max: u64,
}

/// What a pipe says next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line without its end.
    Text(&'a str),
    /// A line that is too long, or no text.
    Garbled,
    /// Nothing more; half a line is nothing, for its writer died over it.
    End,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `len_max` bytes, their ends not counted.
    pub(crate) fn new(input: R, len_max: usize) -> Self {
        let len_max = u64::try_from(len_max).unwrap_or(u64::MAX);
        Self { input: BufReader::new(input), line: Vec::new(), len_max }
    }

    /// The next line. After [`Line::Garbled`] the reader stands somewhere within the input.
    pub(crate) fn next(&mut self) -> Line<'_> {
        self.line.clear();
        let most = self.len_max.saturating_add(1);
        if self.input.by_ref().take(most).read_until(b'\n', &mut self.line).is_err() {
            return Line::End;
        }
        if self.line.pop_if(|last| *last == b'\n').is_none() {
            let is_long = u64::try_from(self.line.len()).is_ok_and(|len| len > self.len_max);
            return if is_long { Line::Garbled } else { Line::End };
        }
        str::from_utf8(&self.line).map_or(Line::Garbled, Line::Text)
    }

    /// Length of the line that was read last, in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.line.len()
    }

    /// The start of the line that was read last, fit to be printed in one line.
    pub(crate) fn quote(&self) -> String {
        let text = String::from_utf8_lossy(&self.line);
        quote(&text)
    }
}

/// The start of a text, fit to be printed in one line.
pub(crate) fn quote(text: &str) -> String {
    printable(text, QUOTE_LEN)
}

/// What another process says about itself, fit to be printed in one line: no terminal is cleared by
/// it, and no second line is made up.
pub(crate) fn words(text: &str) -> String {
    printable(text, WORDS_LEN)
}

fn printable(text: &str, len_max: usize) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.trim().chars().map(printable).take(len_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_their_limit() {
        for (len, expected) in [(7, true), (8, true), (9, false)] {
            let text = format!("{}\nnext\n", "x".repeat(len));
            let mut lines = Lines::new(text.as_bytes(), 8);
            assert_eq!(matches!(lines.next(), Line::Text(_)), expected, "{len}");
        }
    }

    #[test]
    fn half_a_line_is_the_end() {
        let mut lines = Lines::new(&b"whole\nhal"[..], 8);
        assert_eq!(lines.next(), Line::Text("whole"));
        assert_eq!(lines.next(), Line::End);
        assert_eq!(lines.next(), Line::End);
    }

    #[test]
    fn what_is_no_text_is_garbled_and_quoted_without_control_characters() {
        let mut lines = Lines::new(&b"\xff\x1b[2J\n"[..], 80);
        assert_eq!(lines.next(), Line::Garbled);
        assert_eq!(lines.quote(), "\u{fffd}\u{fffd}[2J");
    }

    #[test]
    fn words_of_others_are_one_line_of_bounded_length() {
        assert_eq!(words(" no\nroute\r\n"), "no\u{fffd}route");
        assert_eq!(words(&"é".repeat(WORDS_LEN + 1)).chars().count(), WORDS_LEN);
    }
}
