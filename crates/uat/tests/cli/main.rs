//! The real binary, as a person or a script calls it.

mod chat;
mod config;
mod doctor;
mod models;
mod serve;
mod support;
