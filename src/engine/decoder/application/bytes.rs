//! A cursor over bytes from outside: every read says whether there was enough.

/// Reads big-endian numbers and slices from the front; a read past the end gives nothing and moves nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Bytes { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*number))
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        let ([a, b, c], rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes([0, *a, *b, *c]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*number))
    }

    /// The bytes that a one-byte length announces.
    pub(crate) fn block8(&mut self) -> Option<Bytes<'a>> {
        let mut ahead = *self;
        let length = ahead.u8()?;
        let block = ahead.take(length.into())?;
        *self = ahead;
        Some(Bytes::new(block))
    }

    /// The bytes that a two-byte length announces.
    pub(crate) fn block16(&mut self) -> Option<Bytes<'a>> {
        let mut ahead = *self;
        let length = ahead.u16()?;
        let block = ahead.take(length.into())?;
        *self = ahead;
        Some(Bytes::new(block))
    }
}

/// Writes lower-case hexadecimal digits of each byte.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
}
