//! The gateway's HTTP surface: which paths exist, which dialect each speaks, who may call, and how an answer or an
//! error of [`runtime::Runtime`] looks on the wire.
//!
//! [`serve`] owns a listener until it is told to stop. A connection is one task; it carries the request through
//! [`gate`] (may this page call us?), `door` (whose key is it?), the router, and one of the `surfaces`, and the answer's bytes back as they are.
//!
//! # What it deliberately does not know
//! Endpoints, retries, models, prices: all of that is behind `Runtime::chat`. It never looks into a prompt.

mod afterwards;
mod answer_stream;
mod connection;
mod door;
mod error;
mod gate;
mod gateway;
mod headers;
mod metrics;
mod observer;
mod openapi;
mod recent;
mod request_body;
mod route_header;
mod server;
mod signal;
mod surfaces;
mod traffic;
mod trail;

pub use server::{Beside, serve, serve_with};
