//! A cache, sessions and pub/sub that keep working when Redis does not.

pub mod envelope;
pub mod resp;
