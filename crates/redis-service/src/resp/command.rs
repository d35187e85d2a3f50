//! A command as it is sent.

use bytes::{BufMut, Bytes, BytesMut};

/// A command, encoded, and the key that says which node of a cluster it belongs to.
#[derive(Debug, Clone)]
pub struct Command {
    arguments: BytesMut,
    count: usize,
    key: Option<Bytes>,
}

impl Command {
    /// A command without arguments yet.
    pub fn new(name: &str) -> Self {
        Self { arguments: BytesMut::with_capacity(64), count: 0, key: None }.arg(name)
    }

    /// One argument more.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        put_bulk(&mut self.arguments, argument.as_ref());
        self.count += 1;
        self
    }

    /// One argument more, a number.
    #[must_use]
    pub fn int(self, number: i64) -> Self {
        self.arg(number.to_string())
    }

    /// One argument more, by whose slot a cluster's node is found.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(Bytes::copy_from_slice(key.as_ref()));
        self.arg(key)
    }

    /// Goes to the node of this key, which is no argument of its own.
    #[must_use]
    pub fn routed_by(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(Bytes::copy_from_slice(key.as_ref()));
        self
    }

    /// The key by which the command is routed.
    pub fn routing_key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut BytesMut) {
        put_header(out, b'*', self.count);
        out.extend_from_slice(&self.arguments);
    }

    /// The frame by itself.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.arguments.len() + 16);
        self.encode(&mut out);
        out.freeze()
    }
}

/// Appends `*3\r\n` and the like.
pub(crate) fn put_header(out: &mut BytesMut, kind: u8, number: usize) {
    let mut digits = [0_u8; 20];
    let mut from = digits.len();
    let mut rest = number;
    loop {
        from -= 1;
        // One decimal digit always fits a byte.
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_u8(kind);
    out.put_slice(&digits[from..]);
    out.put_slice(b"\r\n");
}

/// Appends one argument.
pub(crate) fn put_bulk(out: &mut BytesMut, argument: &[u8]) {
    put_header(out, b'$', argument.len());
    out.reserve(argument.len() + 2);
    out.put_slice(argument);
    out.put_slice(b"\r\n");
}

/// Appends one argument that is written in two parts, such as prefix and key.
pub(crate) fn put_bulk_parts(out: &mut BytesMut, first: &[u8], second: &[u8]) {
    put_header(out, b'$', first.len() + second.len());
    out.reserve(first.len() + second.len() + 2);
    out.put_slice(first);
    out.put_slice(second);
    out.put_slice(b"\r\n");
}
