//! What precedes the stored bytes of an envelope: written and read here and nowhere else.

use super::MAX_VALUE_BYTES;

/// `F5` occurs nowhere in UTF-8, so that no text is taken for an envelope.
pub(super) const MAGIC: [u8; 3] = [0xF5, b'U', b'A'];
pub(super) const VERSION: u8 = 1;
/// Magic, version, type and codec, three LEB128 numbers of at most five bytes, checksum.
const MAX_BYTES: usize = 3 + 1 + 1 + 3 * 5 + 4;

/// The types of a value, the low four bits of the fifth byte.
pub(super) mod kind {
    pub(in super::super) const BYTES: u8 = 1;
    pub(in super::super) const TEXT: u8 = 2;
    pub(in super::super) const JSON: u8 = 3;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) codec: u8,
    pub(super) dictionary: u32,
    pub(super) value_len: usize,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Another version than ours: what follows may mean anything.
    Unknown,
    /// Cut off, too long, or with a wrong checksum.
    Corrupt,
}

impl Header {
    /// The envelope: this header, then `stored`.
    pub(super) fn seal(self, stored: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_BYTES + stored.len());
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.push(self.kind | (self.codec << 4));
        push_leb128(&mut out, self.dictionary);
        // Lengths are at most MAX_VALUE_BYTES, which fits.
        push_leb128(&mut out, self.value_len as u32);
        push_leb128(&mut out, stored.len() as u32);
        let checksum = checksum(&out, stored);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(stored);
        out
    }

    /// Reads what begins with [`MAGIC`]: the header, and where the stored bytes begin. They reach to the end.
    pub(super) fn open(envelope: &[u8]) -> Result<(Self, usize), Refused> {
        let [_, _, _, version, flags, rest @ ..] = envelope else {
            let other = envelope.get(3).is_some_and(|version| *version != VERSION);
            return Err(if other { Refused::Unknown } else { Refused::Corrupt });
        };
        if *version != VERSION {
            return Err(Refused::Unknown);
        }
        let mut rest = rest;
        let mut number = || take_leb128(&mut rest).ok_or(Refused::Corrupt);
        let (dictionary, value_len, stored_len) = (number()?, number()? as usize, number()? as usize);
        let (said, stored) = rest.split_first_chunk::<4>().ok_or(Refused::Corrupt)?;
        let at = envelope.len() - stored.len();
        if value_len > MAX_VALUE_BYTES
            || stored.len() != stored_len
            || u32::from_le_bytes(*said) != checksum(&envelope[..at - 4], stored)
        {
            return Err(Refused::Corrupt);
        }
        Ok((Self { kind: flags & 15, codec: flags >> 4, dictionary, value_len }, at))
    }
}

fn checksum(header: &[u8], stored: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(stored);
    crc.finalize()
}

/// Twelve lines that the `leb128` crate would not shorten: it reads from `io::Read` and takes padded numbers.
fn push_leb128(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// One way to write a number: padding and what exceeds 32 bits are refused, so that two readers cannot differ.
fn take_leb128(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return if *byte == 0 && shift > 0 { None } else { u32::try_from(number).ok() };
        }
    }
    None
}
