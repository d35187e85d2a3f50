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
    let is_pipelined =
        options.pipelined && options.devices.len() > 1 && places.iter().all(|place| *place != graph::HOST);
    let copies = if is_pipelined { allocate::PIPELINED_COPIES } else { 1 };
    let sketch = |places: &[usize]| sketch::Sketch::new(model, options, layout, places).graph();
    let count = 1 + options.devices.len();
    let mut bytes = allocate::measure(sketch(places), count, copies);
    // Products of long prompts go to the first device even for layers that it does not have, with a copy of their weights.
    let copied = model
        .layers
        .iter()
        .zip(places)
        .filter(|(_, place)| options.offloads() && **place == graph::HOST)
        .flat_map(|(layer, _)| layer.weights.values())
        .filter(|weight| !crate::weights::is_repacked(weight))
        .map(|weight| weight.bytes)
        .max();
    if let Some(copied) = copied {
        let mut there = vec![1; places.len().saturating_sub(1)];
        there.push(graph::HOST);
        let helping =
            allocate::measure(sketch(&there), count, 1).get(1).map(|peak| peak.saturating_add(copied));
        if let (Some(own), Some(helping)) = (bytes.get_mut(1), helping) {
            *own = helping.max(*own);
        }
    }
    bytes
}
