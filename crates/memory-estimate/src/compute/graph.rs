//! What is computed for a batch, as far as memory goes: tensors, what they are made of, and in which order.
//!
//! It mirrors `ggml_cgraph`: operations are noted first and come into the order by [`Graph::expand`], sources before what is
//! made of them.

/// One tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which memory a tensor lies in: 0 is the machine's own, the devices follow.
pub(crate) type Place = usize;

/// The machine's own memory.
pub(crate) const HOST: Place = 0;

/// Elements in each direction, the row first.
pub(crate) type Shape = [u64; 4];

/// What a tensor is to the allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Weights and caches: allocated elsewhere.
    External,
    /// Filled before each batch.
    Input,
    /// The result of an operation, which may overwrite a source of the same layout.
    InPlace,
    /// The result of an operation, in memory of its own.
    Fresh,
    /// Another look at a tensor.
    View(Id),
}

#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) role: Role,
    pub(crate) shape: Shape,
    /// Of an element, in bytes.
    pub(crate) width: u64,
    pub(crate) sources: Vec<Id>,
    /// Never freed, and never overwritten.
    pub(crate) is_kept: bool,
    pub(crate) place: Place,
}

impl Tensor {
    pub(crate) fn bytes(&self) -> u64 {
        self.shape.iter().fold(self.width, |bytes, size| bytes.saturating_mul(*size))
    }
}

/// A batch's tensors.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    tensors: Vec<Tensor>,
    is_visited: Vec<bool>,
    /// Inputs, in the order of their first use.
    pub(crate) leafs: Vec<Id>,
    /// Operations and views, in the order in which they are computed.
    pub(crate) nodes: Vec<Id>,
    /// Where what is noted from now on is computed.
    pub(crate) place: Place,
}

const F32: u64 = 4;

impl Graph {
    pub(crate) fn tensor(&self, id: Id) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// Whether it computes nothing and looks at another.
    pub(crate) fn is_view(&self, id: Id) -> bool {
        matches!(self.tensor(id).role, Role::View(_)) && self.tensor(id).width != 0
    }

    /// Whether it lies outside of what is computed, as weights and the cache do, or looks at what does.
    pub(crate) fn is_external(&self, id: Id) -> bool {
        match self.tensor(id).role {
            Role::External => true,
            Role::View(root) => self.tensor(root).role == Role::External,
            _ => false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tensors.len()
    }

    fn push(&mut self, role: Role, shape: Shape, width: u64, sources: &[Id], place: Place) -> Id {
        let id = Id(u32::try_from(self.tensors.len()).unwrap_or(u32::MAX));
        let sources = sources.to_vec();
        self.tensors.push(Tensor { role, shape, width, sources, is_kept: false, place });
        self.is_visited.push(false);
        id
    }

    /// Weights or a cache.
    pub(crate) fn external(&mut self) -> Id {
        self.push(Role::External, [0; 4], 0, &[], self.place)
    }

    /// What is filled before each batch, by the processor.
    pub(crate) fn input(&mut self, shape: Shape, width: u64) -> Id {
        self.push(Role::Input, shape, width, &[], HOST)
    }

    /// An operation that may overwrite a source: ggml's `ggml_op_can_inplace`.
    pub(crate) fn in_place(&mut self, shape: Shape, sources: &[Id]) -> Id {
        self.push(Role::InPlace, shape, F32, sources, self.place)
    }

    /// An operation whose result needs memory of its own.
    pub(crate) fn fresh(&mut self, shape: Shape, sources: &[Id]) -> Id {
        self.push(Role::Fresh, shape, F32, sources, self.place)
    }

    /// The same with elements of another width.
    pub(crate) fn fresh_of(&mut self, shape: Shape, width: u64, sources: &[Id]) -> Id {
        self.push(Role::Fresh, shape, width, sources, self.place)
    }

    /// Another look at a tensor.
    pub(crate) fn view(&mut self, of: Id, shape: Shape) -> Id {
        let viewed = self.tensor(of);
        let (width, place) = (viewed.width, viewed.place);
        let root = if let Role::View(root) = viewed.role { root } else { of };
        self.push(Role::View(root), shape, width, &[of], place)
    }

    /// Writes sources into a cache, or into another tensor.
    pub(crate) fn store(&mut self, into: Id, sources: &[Id]) -> Id {
        let sources: Vec<Id> = sources.iter().copied().chain([into]).collect();
        self.push(Role::View(into), [0; 4], 0, &sources, self.place)
    }

    /// The tensor is wanted after the batch.
    pub(crate) fn keep(&mut self, id: Id) {
        self.tensors[id.index()].is_kept = true;
    }

    /// Computes the tensor next, and first whatever it is made of and is not yet there.
    pub(crate) fn expand(&mut self, id: Id) {
        let mut path = vec![(id, 0)];
        if std::mem::replace(&mut self.is_visited[id.index()], true) {
            return;
        }
        while let Some((current, next)) = path.pop() {
            if let Some(&source) = self.tensors[current.index()].sources.get(next) {
                path.push((current, next + 1));
                if !std::mem::replace(&mut self.is_visited[source.index()], true) {
                    path.push((source, 0));
                }
                continue;
            }
            match self.tensors[current.index()].role {
                Role::External => {}
                Role::Input => self.leafs.push(current),
                _ => self.nodes.push(current),
            }
        }
    }

    /// A copy of a tensor in another place, beside the graph.
    pub(crate) fn copy(&mut self, of: Id, place: Place, is_kept: bool) -> Id {
        let (shape, width) = (self.tensor(of).shape, self.tensor(of).width);
        let id = self.push(Role::Fresh, shape, width, &[], place);
        self.tensors[id.index()].is_kept = is_kept;
        id
    }

    /// Where an operation is done.
    pub(crate) fn put(&mut self, id: Id, place: Place) {
        self.tensors[id.index()].place = place;
    }

    pub(crate) fn replace_source(&mut self, of: Id, index: usize, by: Id) {
        self.tensors[of.index()].sources[index] = by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_before_what_is_made_of_them_and_each_once() {
        let mut graph = Graph::default();
        let input = graph.input([4, 1, 1, 1], 4);
        let left = graph.fresh([4, 1, 1, 1], &[input]);
        let right = graph.fresh([4, 1, 1, 1], &[input]);
        let sum = graph.in_place([4, 1, 1, 1], &[left, right]);
        graph.expand(right);
        graph.expand(sum);
        assert_eq!(graph.leafs, [input]);
        assert_eq!(graph.nodes, [right, left, sum], "what was asked for first comes first");
    }

    #[test]
    fn a_view_of_a_view_looks_at_the_whole() {
        let mut graph = Graph::default();
        let whole = graph.input([8, 2, 1, 1], 2);
        let half = graph.view(whole, [4, 2, 1, 1]);
        let row = graph.view(half, [4, 1, 1, 1]);
        assert_eq!(graph.tensor(row).role, Role::View(whole));
        assert_eq!(graph.tensor(row).bytes(), 8);
    }
}
