//! How much memory a graph needs where tensors are overwritten as soon as nobody needs them: `ggml_gallocr_alloc_graph_impl`
//! of `ggml/src/ggml-alloc.c`, and the copies between devices of `ggml_backend_sched_split_graph`.

use std::collections::HashMap;

use super::arena::Arena;
use super::graph::{Graph, HOST, Id, Place, Role};

/// ggml's `TENSOR_ALIGNMENT`, in bytes.
pub(crate) const HOST_ALIGNMENT: u64 = 32;
/// What CUDA and Vulkan align tensors to, in bytes.
pub(crate) const DEVICE_ALIGNMENT: u64 = 128;
/// How many batches several devices work on at a time: ggml's `GGML_SCHED_MAX_COPIES`.
pub(crate) const PIPELINED_COPIES: usize = 4;

/// Bytes of the compute buffer in each of `places`.
pub(crate) fn measure(mut graph: Graph, places: usize, copies: usize) -> Vec<u64> {
    assign(&mut graph);
    let (first, order) = schedule(&mut graph, copies);
    let mut allocation = Allocation::new(&graph, places, &order);
    for leaf in graph.leafs.iter().chain(&first) {
        allocation.allocate(*leaf);
    }
    for step in &order {
        allocation.compute(step);
    }
    allocation.arenas.into_iter().map(|arena| arena.peak).collect()
}

/// Puts operations without weights where their neighbours are: what lies between two of a device goes to it, the processor gets
/// the rest. The passes 2 and 4 of `ggml_backend_sched_split_graph`.
fn assign(graph: &mut Graph) {
    let nodes = graph.nodes.clone();
    let operations: Vec<Id> = nodes.iter().copied().filter(|node| !graph.is_view(*node)).collect();
    let has_weights = |graph: &Graph, node: Id| {
        graph.is_external(node) || graph.tensor(node).sources.iter().any(|source| graph.is_external(*source))
    };
    let mut places: Vec<Option<Place>> =
        operations.iter().map(|node| has_weights(graph, *node).then(|| graph.tensor(*node).place)).collect();
    let spread = |places: &mut Vec<Option<Place>>, backwards: bool, skips_host: bool| {
        let mut current = None;
        for step in 0..places.len() {
            let index = if backwards { places.len() - 1 - step } else { step };
            match places[index] {
                Some(HOST) if skips_host => current = None,
                Some(place) => current = Some(place),
                None => places[index] = current,
            }
        }
    };
    for (backwards, skips_host) in [(false, true), (true, true), (false, false), (true, false)] {
        spread(&mut places, backwards, skips_host);
    }
    for (node, place) in operations.iter().zip(places) {
        graph.put(*node, place.unwrap_or(HOST));
    }
    for node in nodes {
        if let Role::View(root) = graph.tensor(node).role
            && graph.is_view(node)
        {
            graph.put(node, graph.tensor(root).place);
        }
    }
}

/// What is done next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// An operation or a view.
    Node(Id),
    /// A tensor is copied to where the next operations need it.
    Copy { from: Id, to: Id },
}

/// Puts copies where operations need what lies elsewhere. Returns also what is allocated before anything is computed.
fn schedule(graph: &mut Graph, copies: usize) -> (Vec<Id>, Vec<Step>) {
    let nodes = std::mem::take(&mut graph.nodes);
    let mut known: HashMap<(Id, Place), Id> = HashMap::new();
    let mut first = Vec::new();
    let mut order = Vec::with_capacity(nodes.len());
    // A copy is made where the run of operations in its place begins.
    let mut run_start = 0;
    let mut run_place = None;
    for node in nodes {
        let place = graph.tensor(node).place;
        let is_view = graph.is_view(node);
        if !is_view && run_place != Some(place) {
            (run_start, run_place) = (order.len(), Some(place));
        }
        for index in 0..graph.tensor(node).sources.len() {
            let source = graph.tensor(node).sources[index];
            if is_view || graph.is_external(source) || graph.tensor(source).place == place {
                continue;
            }
            let copy = *known.entry((source, place)).or_insert_with(|| {
                let copy = graph.copy(source, place, copies > 1);
                for _ in 1..copies {
                    first.push(graph.copy(source, place, true));
                }
                if copies > 1 {
                    first.push(copy);
                }
                order.insert(run_start, Step::Copy { from: source, to: copy });
                run_start += 1;
                copy
            });
            graph.replace_source(node, index, copy);
        }
        order.push(Step::Node(node));
    }
    if copies > 1 {
        for leaf in graph.leafs.clone() {
            graph.keep(leaf);
            for _ in 1..copies {
                first.push(graph.copy(leaf, HOST, true));
            }
        }
    }
    (first, order)
}

struct Allocation<'graph> {
    graph: &'graph Graph,
    arenas: Vec<Arena>,
    /// Operations that still need a tensor.
    children: Vec<u32>,
    /// Views of a tensor that are still needed.
    views: Vec<u32>,
    /// Where a tensor lies, while it has memory.
    address: Vec<Option<(Place, u64)>>,
}

impl<'graph> Allocation<'graph> {
    fn new(graph: &'graph Graph, places: usize, order: &[Step]) -> Self {
        let alignment = |place| if place == HOST { HOST_ALIGNMENT } else { DEVICE_ALIGNMENT };
        let mut children = vec![0; graph.len()];
        let mut views = vec![0; graph.len()];
        for step in order {
            match *step {
                Step::Copy { from, .. } => children[from.index()] += 1,
                Step::Node(node) => {
                    let tensor = graph.tensor(node);
                    if let Role::View(root) = tensor.role {
                        views[root.index()] += 1;
                    }
                    for source in &tensor.sources {
                        children[source.index()] += 1;
                    }
                }
            }
        }
        let arenas = (0..places).map(|place| Arena::new(alignment(place))).collect();
        Self { graph, arenas, children, views, address: vec![None; graph.len()] }
    }

    fn compute(&mut self, step: &Step) {
        match *step {
            Step::Copy { from, to } => {
                self.release(from);
                self.allocate(to);
            }
            Step::Node(node) => {
                self.allocate(node);
                for source in &self.graph.tensor(node).sources {
                    self.release(*source);
                }
            }
        }
    }

    fn allocate(&mut self, id: Id) {
        let tensor = self.graph.tensor(id);
        let needs_memory = matches!(tensor.role, Role::Input | Role::InPlace | Role::Fresh);
        if !needs_memory || self.address[id.index()].is_some() {
            return;
        }
        let reused = match tensor.role {
            Role::InPlace => {
                tensor.sources.iter().copied().find(|source| self.may_be_overwritten(id, *source))
            }
            _ => None,
        };
        self.address[id.index()] = match reused {
            Some(source) => self.address[source.index()].take(),
            None => self.arenas.get_mut(tensor.place).map(|arena| (tensor.place, arena.take(tensor.bytes()))),
        };
    }

    fn may_be_overwritten(&self, by: Id, source: Id) -> bool {
        let (result, tensor) = (self.graph.tensor(by), self.graph.tensor(source));
        self.address[source.index()].is_some()
            && !tensor.is_kept
            && tensor.place == result.place
            && (tensor.shape, tensor.width) == (result.shape, result.width)
            && self.children[source.index()] == 1
            && self.views[source.index()] == 0
    }

    /// One operation less needs this.
    fn release(&mut self, id: Id) {
        let count = &mut self.children[id.index()];
        *count = count.saturating_sub(1);
        if *count > 0 || self.views[id.index()] > 0 {
            return;
        }
        if let Role::View(root) = self.graph.tensor(id).role {
            let views = &mut self.views[root.index()];
            *views = views.saturating_sub(1);
            if *views == 0 && self.children[root.index()] == 0 {
                self.free(root);
            }
        } else {
            self.free(id);
        }
    }

    fn free(&mut self, id: Id) {
        let tensor = self.graph.tensor(id);
        if tensor.is_kept {
            return;
        }
        if let Some((place, address)) = self.address[id.index()].take()
            && let Some(arena) = self.arenas.get_mut(place)
        {
            arena.give_back(address, tensor.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: [u64; 4] = [256, 1, 1, 1];

    #[test]
    fn what_nobody_needs_any_more_is_overwritten() {
        let mut graph = Graph::default();
        let input = graph.input(ROW, 4);
        let weights = graph.external();
        let mut state = graph.fresh(ROW, &[weights, input]);
        for _ in 0..10 {
            state = graph.fresh(ROW, &[weights, state]);
        }
        graph.keep(state);
        graph.expand(state);
        assert_eq!(measure(graph, 1, 1), [2048], "two at a time");
    }

    #[test]
    fn an_operation_in_place_takes_no_memory_unless_its_source_is_needed_again() {
        let build = |is_needed: bool| {
            let mut graph = Graph::default();
            let input = graph.input(ROW, 4);
            let first = graph.in_place(ROW, &[input]);
            let second = graph.in_place(ROW, &[first]);
            let last = graph.in_place(ROW, &[second, if is_needed { first } else { second }]);
            graph.expand(last);
            measure(graph, 1, 1)
        };
        assert_eq!(build(false), [2048], "a source that is used twice is not overwritten");
        assert_eq!(build(true), [2048]);
    }

    #[test]
    fn a_view_keeps_what_it_looks_at() {
        let mut graph = Graph::default();
        let input = graph.input([512, 1, 1, 1], 4);
        let whole = graph.fresh([512, 1, 1, 1], &[input]);
        let half = graph.view(whole, ROW);
        let other = graph.fresh(ROW, &[half]);
        let sum = graph.fresh(ROW, &[other, half]);
        graph.expand(sum);
        // The input is free when the others are made; `whole` only after the sum.
        assert_eq!(measure(graph, 1, 1), [2048 + 2048]);
    }

    #[test]
    fn what_lies_elsewhere_is_copied_once_and_freed_there() {
        let mut graph = Graph::default();
        let input = graph.input(ROW, 4);
        graph.place = 1;
        let weights = graph.external();
        let first = graph.fresh(ROW, &[input, weights]);
        let second = graph.fresh(ROW, &[first, input]);
        graph.expand(second);
        assert_eq!(measure(graph, 2, 1), [1024, 3 * 1024]);
    }

    #[test]
    fn what_needs_no_weights_is_done_where_its_neighbours_are() {
        let mut graph = Graph::default();
        let input = graph.input(ROW, 4);
        let weights = graph.external();
        let on_host = graph.fresh(ROW, &[input, weights]);
        let between = graph.fresh(ROW, &[on_host]);
        graph.place = 1;
        let on_device = graph.fresh(ROW, &[between, weights]);
        graph.expand(on_device);
        assign(&mut graph);
        let places: Vec<Place> = graph.nodes.iter().map(|node| graph.tensor(*node).place).collect();
        assert_eq!(places, [0, 1, 1]);
    }

    #[test]
    fn several_batches_at_a_time_need_their_inputs_several_times() {
        let mut graph = Graph::default();
        let input = graph.input(ROW, 4);
        graph.place = 1;
        let weights = graph.external();
        let first = graph.fresh(ROW, &[input, weights]);
        graph.expand(first);
        assert_eq!(measure(graph, 2, 4), [4 * 1024, 5 * 1024]);
    }
}
