//! The tests' own Redis client: one command at a time, blocking, RESP2, and the bytes as they are. It is written here so
//! that what a client of the product did is seen by somebody who shares no code with it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A server that answers nothing for so long is frozen; the test is told instead of hanging.
const LIMIT: Duration = Duration::from_secs(5);

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A short word such as `OK`.
    Status(String),
    /// A refusal, beginning with its code: `WRONGTYPE Operation against ...`.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value, byte for byte.
    Bytes(Vec<u8>),
    /// The absence of a value.
    Nil,
    /// Several answers.
    Array(Vec<Reply>),
}

/// As `redis-cli` prints it into a pipe: nothing for nil, one line for each element.
impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) | Self::Error(text) => formatter.write_str(text),
            Self::Integer(number) => number.fmt(formatter),
            Self::Bytes(bytes) => formatter.write_str(&String::from_utf8_lossy(bytes)),
            Self::Nil => Ok(()),
            Self::Array(replies) => {
                for (index, reply) in replies.iter().enumerate() {
                    if index > 0 {
                        formatter.write_str("\n")?;
                    }
                    reply.fmt(formatter)?;
                }
                Ok(())
            }
        }
    }
}

/// A connection that is logged in.
#[derive(Debug)]
pub(super) struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects to a server's Unix socket as a user who needs no password.
    pub(super) fn open(socket: &Path, user: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut connection = Self(BufReader::new(stream));
        match connection.call(&["AUTH", user, "any"])? {
            Reply::Error(text) => Err(io::Error::other(text)),
            _ => Ok(connection),
        }
    }

    /// Sends one command and reads its answer.
    pub(super) fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            write!(request, "${}\r\n", word.as_ref().len())?;
            request.extend_from_slice(word.as_ref());
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request)?;
        read_reply(&mut self.0)
    }
}

fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end_matches("\r\n");
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("no RESP2: {line:?}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(unknown)?;
    let number = || rest.parse::<i64>().map_err(|_| unknown());
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(number()?),
        "$" | "*" if number()? < 0 => Reply::Nil,
        "$" => {
            let mut bytes = Vec::new();
            let length = number()?.unsigned_abs();
            if from.take(length + 2).read_to_end(&mut bytes)? as u64 != length + 2 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.truncate(bytes.len() - 2);
            Reply::Bytes(bytes)
        }
        "*" => Reply::Array((0..number()?).map(|_| read_reply(from)).collect::<io::Result<_>>()?),
        _ => return Err(unknown()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wire: &str, reply: Reply, text: &str) {
        assert_eq!(read_reply(&mut wire.as_bytes()).unwrap(), reply);
        assert_eq!(reply.to_string(), text);
    }

    #[test]
    fn every_kind_of_reply_is_read_and_printed() {
        check("+OK\r\n", Reply::Status("OK".into()), "OK");
        check("-ERR no\r\n", Reply::Error("ERR no".into()), "ERR no");
        check(":-7\r\n", Reply::Integer(-7), "-7");
        check("$-1\r\n", Reply::Nil, "");
        check("$0\r\n\r\n", Reply::Bytes(Vec::new()), "");
        check("$4\r\na\r\nb\r\n", Reply::Bytes(b"a\r\nb".to_vec()), "a\r\nb");
        let pair = vec![Reply::Bytes(b"a".to_vec()), Reply::Array(vec![Reply::Integer(1), Reply::Nil])];
        check("*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", Reply::Array(pair), "a\n1\n");
    }

    #[test]
    fn what_ends_early_or_is_no_resp_is_an_error() {
        for wire in ["", "$5\r\nab", "*2\r\n:1\r\n", "?\r\n", "\r\n", ":x\r\n"] {
            assert!(read_reply(&mut wire.as_bytes()).is_err(), "{wire:?}");
        }
    }
}
