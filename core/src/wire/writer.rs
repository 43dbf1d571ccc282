use alloc::vec::Vec;

use thiserror::Error;

/// The destination has no room for the record; what was written of it must be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the buffer has no room for the record")]
pub struct Full;

/// Where encoders put bytes: a packet buffer with a limit, a growing stream buffer, a counter.
pub trait Sink {
    /// Appends `bytes`, or nothing.
    ///
    /// # Errors
    ///
    /// [`Full`] if they do not fit.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

/// A cursor over a caller's buffer with a limit and roll-back.
#[derive(Debug)]
pub struct SliceWriter<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> SliceWriter<'a> {
    /// Starts at the front of `buf`; its length is the limit.
    #[must_use]
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// How many bytes have been written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets what was written from `len` on: the roll-back of a record that did not fit.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// What has been written.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    /// What has been written, to patch a header.
    #[must_use]
    pub fn written_mut(&mut self) -> &mut [u8] {
        &mut self.buf[..self.len]
    }

    /// The whole buffer, written or not.
    #[must_use]
    pub const fn into_inner(self) -> &'a mut [u8] {
        self.buf
    }

    /// Makes room for `len` bytes at `at` by moving what follows.
    ///
    /// # Errors
    ///
    /// [`Full`] if the buffer has no room for them.
    pub fn insert_gap(&mut self, at: usize, len: usize) -> Result<(), Full> {
        let end = self.len.checked_add(len).filter(|&end| end <= self.buf.len()).ok_or(Full)?;
        self.buf.copy_within(at..self.len, at + len);
        self.len = end;
        Ok(())
    }
}

impl Sink for SliceWriter<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len.checked_add(bytes.len()).ok_or(Full)?;
        self.buf.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

struct Counter(usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// How many bytes `encode` would write.
///
/// ```
/// use rumormill::wire::{encoded_len, Sink};
/// assert_eq!(encoded_len(|sink| sink.put(b"four")), 4);
/// ```
pub fn encoded_len(encode: impl FnOnce(&mut dyn Sink) -> Result<(), Full>) -> usize {
    let mut counter = Counter(0);
    // A counter is never full, and an encoder fails for no other reason.
    let _ = encode(&mut counter);
    counter.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_does_not_fit_leaves_no_trace_after_roll_back() {
        let mut buf = [0; 6];
        let mut writer = SliceWriter::new(&mut buf);
        writer.put(b"abcd").unwrap();
        let mark = writer.len();
        assert_eq!(writer.put(b"ef"), Ok(()));
        assert_eq!(writer.put(b"g"), Err(Full));
        writer.truncate(mark);
        assert_eq!(writer.written(), b"abcd");
    }

    #[test]
    fn a_gap_moves_what_follows_it() {
        let mut buf = [0; 6];
        let mut writer = SliceWriter::new(&mut buf);
        writer.put(b"abcd").unwrap();
        assert_eq!(writer.insert_gap(1, 3), Err(Full));
        writer.insert_gap(1, 2).unwrap();
        writer.written_mut()[1..3].copy_from_slice(b"XY");
        assert_eq!(writer.written(), b"aXYbcd");
    }
}
