//! Traces on their way to the coordinator, piece by piece, as the outbox has room for them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use super::AgentError;
use super::outbox::Outbox;
use super::protocol::{News, PIECE_LEN_MAX};

/// The traces that are still to be sent.
#[derive(Debug, Default)]
pub(super) struct Traces {
    files: VecDeque<(usize, PathBuf)>,
    open: Option<(usize, Pieces<File>)>,
    is_due: bool,
}

impl Traces {
    /// These files, by index of their child. One that does not exist is a child without a trace.
    pub(super) fn new(files: impl Iterator<Item = (usize, PathBuf)>) -> Self {
        Self { files: files.collect(), open: None, is_due: true }
    }

    /// Whether nothing is left to be sent.
    pub(super) const fn is_empty(&self) -> bool {
        !self.is_due
    }

    /// Sends what the outbox has room for.
    ///
    /// # Errors
    ///
    /// [`AgentError::Unread`].
    pub(super) fn send_some(&mut self, outbox: &Outbox) -> Result<(), AgentError> {
        while self.is_due && outbox.is_easy() {
            match self.next() {
                Some(Ok((index, piece))) => outbox.tell(&News::Trace { index, piece })?,
                Some(Err(reason)) => outbox.tell(&News::Refused { reason })?,
                None => {
                    self.is_due = false;
                    outbox.tell(&News::TracesEnd)?;
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Result<(usize, String), String>> {
        loop {
            if let Some((index, pieces)) = &mut self.open {
                match pieces.next() {
                    Ok(Some(piece)) => return Some(Ok((*index, piece))),
                    Ok(None) => self.open = None,
                    Err(error) => {
                        self.open = None;
                        return Some(Err(format!("a trace cannot be read ({error})")));
                    }
                }
            }
            let (index, path) = self.files.pop_front()?;
            self.open = File::open(path).ok().map(|file| (index, Pieces::new(file)));
        }
    }
}

/// A text file in pieces that do not cut a character.
#[derive(Debug)]
struct Pieces<R> {
    input: R,
    buffer: Vec<u8>,
}

impl<R: Read> Pieces<R> {
    const fn new(input: R) -> Self {
        Self { input, buffer: Vec::new() }
    }

    fn next(&mut self) -> io::Result<Option<String>> {
        let room = PIECE_LEN_MAX.saturating_sub(self.buffer.len());
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        self.input.by_ref().take(room).read_to_end(&mut self.buffer)?;
        let len = match str::from_utf8(&self.buffer) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        if len == 0 {
            let is_end = self.buffer.is_empty();
            return if is_end { Ok(None) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
        let rest = self.buffer.split_off(len);
        let piece = std::mem::replace(&mut self.buffer, rest);
        String::from_utf8(piece).map(Some).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_together_are_the_text_whatever_its_length() {
        for len in [0, 1, PIECE_LEN_MAX - 1, PIECE_LEN_MAX, PIECE_LEN_MAX + 1, 3 * PIECE_LEN_MAX] {
            for unit in ["x", "é", "€"] {
                let text = unit.repeat(len / unit.len());
                let mut pieces = Pieces::new(text.as_bytes());
                let mut together = String::new();
                while let Some(piece) = pieces.next().unwrap() {
                    assert!(piece.len() <= PIECE_LEN_MAX && !piece.is_empty());
                    together.push_str(&piece);
                }
                assert_eq!(together, text, "{len} bytes of {unit}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let mut pieces = Pieces::new(&b"ok\xff"[..]);
        assert_eq!(pieces.next().unwrap().as_deref(), Some("ok"));
        assert!(pieces.next().is_err());
    }
}
