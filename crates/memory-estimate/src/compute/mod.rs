//! What a batch takes beside weights and cache: the buffers in which it is computed.
//!
//! llama.cpp notes all operations of a full batch and lets ggml find out how much memory they need, if each result is
//! overwritten as soon as nobody needs it. We do the same with the operations that the file's tensors imply: [`graph`] notes
//! them, [`allocate`] finds out. A closed formula would have to know which of a dozen moments is the tightest, and holes
//! between tensors make up to a fifth of a buffer.
//!
//! What layers do is taken from the tensors that they have, so that an architecture we never saw is estimated like those that
//! it resembles. Departures of single architectures are few, and each is named where it is made.

mod allocate;
mod arena;
mod attention;
mod delta;
mod feed_forward;
mod graph;
mod latent;
mod recurrent;
mod sketch;

pub(crate) use allocate::{DEVICE_ALIGNMENT, HOST_ALIGNMENT};

use crate::cache::Layout;
use crate::model::Model;
use crate::options::Options;

/// Bytes of the compute buffer of each place: the machine's own memory, then the devices. `places` says which computes each
/// layer; one more is that of the output.
pub(crate) fn buffers(model: &Model, options: &Options, layout: &Layout, places: &[usize]) -> Vec<u64> {
    let graph = sketch::Sketch::new(model, options, layout, places).graph();
    let is_pipelined =
        options.pipelined && options.devices.len() > 1 && places.iter().all(|place| *place != graph::HOST);
    let copies = if is_pipelined { allocate::PIPELINED_COPIES } else { 1 };
    allocate::measure(graph, 1 + options.devices.len(), copies)
}
