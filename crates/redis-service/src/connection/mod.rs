//! Connections to single servers, multiplexed and pipelined, all read by one thread.
//!
//! Callers write: whoever has commands appends them to the connection's buffer and, as long as the socket takes them, hands
//! them to the kernel itself, which spares the change of threads that a queue would cost. The *driver*, one thread per
//! service, reads all sockets, gives replies to whom they belong, watches deadlines and silence, and never blocks. What
//! blocks (names, TCP and TLS handshakes, logins) happens on threads of [`connect`], which end with it.
//!
//! Not redis-rs' multiplexed connection: it gives each command a task's wake-up, and asynchronous calls from Node that are
//! answered one by one are no faster than ioredis. See the crate's documentation for the figures.

pub(crate) mod connect;
pub(crate) mod driver;
pub(crate) mod link;
pub(crate) mod reading;
pub(crate) mod silence;
pub(crate) mod socket;
pub(crate) mod soon;
pub(crate) mod tls;

pub(crate) use driver::Driver;
pub(crate) use link::{Answer, Exchange, Link, LinkOwner, Overdue, PATIENT, Phase, Refused, Replies};
