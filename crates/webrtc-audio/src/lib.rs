//! Turns what browsers send over WebRTC into 16 kHz mono samples on one clock.
//!
//! [`Peers`] takes SDP offers and gives answers, takes the datagrams of one UDP port and says which to send, and gives samples. It
//! does no I/O and reads no clock: time is passed in with each call, so that whole conversations, with loss, reordering and peers that
//! vanish, are played through in tests within milliseconds.
//!
//! ICE, DTLS, SRTP and SCTP are [str0m](https://github.com/algesten/str0m)'s, with cryptography in Rust; Opus is libopus, the reference,
//! which decodes to 16 kHz directly. Ours are the clock ([`timeline`]): sample `n` is what sounded `n` / 16,000 s after the first packet,
//! whatever the network did; and the way of a datagram to its session, which str0m would ask each session for.
//!
//! We are the lite side of ICE (RFC 8445, section 2.5): browsers prove from where they come, and nothing is sent to an address that only an offer
//! names. This crate knows nothing of sockets, of HTTP, of speech, nor of what events are told.

mod error;
mod offer;
mod opus;
mod peers;
mod session;
mod timeline;

pub use error::{CannotStart, Ended, OfferError};
pub use offer::{LONGEST_OFFER, check_offer};
pub use peers::{Accepted, Datagram, Happened, Options, PeerId, Peers};

/// Samples per second of what comes out.
pub const SAMPLE_RATE: u32 = 16_000;
