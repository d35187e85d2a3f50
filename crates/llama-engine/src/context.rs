//! A llama.cpp context over the C interface: the state of all running conversations of a model.
//!
//! By hand because the binding's own context lets nobody change its threads while it lives, stop a batch that nobody waits
//! for, or see how much memory it takes.

#![expect(unsafe_code, reason = "the one place where llama.cpp's C interface is called")]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::batcher::Input;
use crate::memory::DeviceMemory;

/// How a context is laid out. Counts are in tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Cells of the cache.
    pub(crate) cells: usize,
    /// Rows that share the cells.
    pub(crate) rows: usize,
    /// Most tokens of one batch.
    pub(crate) batch: usize,
    /// How keys and values are kept.
    pub(crate) kv_type: sys::ggml_type,
    /// `None`: the context yields scores. Otherwise vectors, pooled in this way.
    pub(crate) pooling: Option<sys::llama_pooling_type>,
}

/// Why a batch was not computed: what `llama_decode` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There were not enough cells.
    NoRoom,
    /// The caller did not want it any more.
    Abandoned,
    /// Anything else.
    Code(i32),
}

/// The question whether a batch is still wanted, while one is computed.
type Question = Cell<Option<*const (dyn Fn() -> bool + 'static)>>;

/// A context. Dropping it frees its memory.
pub(crate) struct Context<'model> {
    context: NonNull<sys::llama_context>,
    batch: sys::llama_batch,
    batch_tokens: usize,
    /// Boxed: llama.cpp keeps its address.
    question: Box<Question>,
    vocabulary: usize,
    dimensions: usize,
    model: PhantomData<&'model LlamaModel>,
}

impl<'model> Context<'model> {
    /// `None` if llama.cpp refuses; its reason is in the log. Takes its memory at once.
    pub(crate) fn new(model: &'model LlamaModel, layout: Layout, threads: usize) -> Option<Self> {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let model = raw(model);
        // SAFETY: returns a plain structure.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = number(layout.cells);
        params.n_seq_max = number(layout.rows);
        params.kv_unified = true;
        params.n_batch = number(layout.batch);
        params.n_ubatch = number(layout.batch);
        params.n_threads = i32::try_from(threads).unwrap_or(i32::MAX);
        params.n_threads_batch = params.n_threads;
        params.type_k = layout.kv_type;
        params.type_v = layout.kv_type;
        params.no_perf = true;
        if let Some(pooling) = layout.pooling {
            params.embeddings = true;
            params.pooling_type = pooling;
        }
        let question = Box::new(Question::new(None));
        params.abort_callback = Some(is_abandoned);
        params.abort_callback_data = (&raw const *question).cast_mut().cast();
        // SAFETY: the model lives as long as 'model, the callback's data as long as the context: see `Drop`.
        let context = NonNull::new(unsafe { sys::llama_init_from_model(model, params) })?;
        // SAFETY: the numbers are small and positive; the batch is freed in `Drop` only.
        let batch = unsafe { sys::llama_batch_init(i32::try_from(layout.batch).ok()?, 0, 1) };
        // SAFETY: the model is alive.
        let (vocabulary, dimensions) = unsafe {
            (sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(model)), sys::llama_model_n_embd_out(model))
        };
        Some(Self {
            context,
            batch,
            batch_tokens: layout.batch,
            question,
            vocabulary: usize::try_from(vocabulary).unwrap_or(0),
            dimensions: usize::try_from(dimensions).unwrap_or(0),
            model: PhantomData,
        })
    }

    /// Computes a batch; `abandoned` is asked now and then whether to stop.
    pub(crate) fn decode(&mut self, inputs: &[Input], abandoned: &dyn Fn() -> bool) -> Result<(), Failure> {
        if inputs.is_empty() || inputs.len() > self.batch_tokens {
            return Err(Failure::Code(-1));
        }
        for (index, input) in inputs.iter().enumerate() {
            // SAFETY: `llama_batch_init` made room for `batch_tokens` entries with one row each.
            unsafe {
                *self.batch.token.add(index) = input.token;
                *self.batch.pos.add(index) = i32::try_from(input.position).unwrap_or(i32::MAX);
                *self.batch.n_seq_id.add(index) = 1;
                **self.batch.seq_id.add(index) = i32::try_from(input.row).unwrap_or(i32::MAX);
                *self.batch.logits.add(index) = i8::from(input.sample);
            }
        }
        self.batch.n_tokens = i32::try_from(inputs.len()).unwrap_or(0);
        // SAFETY: only the lifetime is lengthened, and the question is taken back before this function returns.
        let question = unsafe {
            std::mem::transmute::<*const (dyn Fn() -> bool + '_), *const (dyn Fn() -> bool + 'static)>(
                abandoned,
            )
        };
        self.question.set(Some(question));
        // SAFETY: context and batch are alive; `synchronize` ends what a GPU may still compute.
        let code = unsafe {
            let code = sys::llama_decode(self.context.as_ptr(), self.batch);
            sys::llama_synchronize(self.context.as_ptr());
            code
        };
        self.question.set(None);
        match code {
            0 => Ok(()),
            1 => Err(Failure::NoRoom),
            2 => Err(Failure::Abandoned),
            code => Err(Failure::Code(code)),
        }
    }

    /// The score of each token after the `index`-th input of the last batch. Empty if it was not asked for.
    pub(crate) fn scores(&self, index: usize) -> &[f32] {
        // SAFETY: the context is alive and `&self` keeps it from computing; llama.cpp returns null or a row of the
        // vocabulary's length.
        unsafe {
            let index = i32::try_from(index).unwrap_or(-1);
            slice(sys::llama_get_logits_ith(self.context.as_ptr(), index), self.vocabulary)
        }
    }

    /// The pooled vector of a row of the last batch. Empty if there is none.
    pub(crate) fn vector(&self, row: usize) -> &[f32] {
        // SAFETY: as above, with a row of the model's output dimensions.
        unsafe {
            let row = i32::try_from(row).unwrap_or(-1);
            slice(sys::llama_get_embeddings_seq(self.context.as_ptr(), row), self.dimensions)
        }
    }

    /// Only the first `length` tokens of a row stay.
    pub(crate) fn truncate(&mut self, row: usize, length: usize) {
        let from = i32::try_from(length).unwrap_or(i32::MAX);
        // SAFETY: the context is alive. Models without a cache have a null memory, which llama.cpp accepts.
        unsafe {
            let memory = sys::llama_get_memory(self.context.as_ptr());
            sys::llama_memory_seq_rm(memory, i32::try_from(row).unwrap_or(i32::MAX), from, -1);
        }
    }

    /// Lets the empty row `to` use the first `length` tokens of `from`.
    pub(crate) fn share(&mut self, from: usize, to: usize, length: usize) {
        let number = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
        // SAFETY: the context is alive.
        unsafe {
            let memory = sys::llama_get_memory(self.context.as_ptr());
            sys::llama_memory_seq_cp(memory, number(from), number(to), 0, number(length));
        }
    }

    /// How many threads compute from now on.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        // SAFETY: the context is alive.
        unsafe { sys::llama_set_n_threads(self.context.as_ptr(), threads, threads) }
    }

    /// What the context and its model take, device by device.
    pub(crate) fn memory(&self) -> Vec<DeviceMemory> {
        unsafe extern "C" fn add(
            devices: *mut c_void,
            device: *const c_char,
            is_host: bool,
            weights: usize,
            cache: usize,
            compute: usize,
        ) {
            // SAFETY: `devices` is the vector below, `device` a text of ggml's.
            let (devices, device) =
                unsafe { (&mut *devices.cast::<Vec<DeviceMemory>>(), CStr::from_ptr(device)) };
            let device = device.to_string_lossy().into_owned();
            let bytes = |value: usize| value as u64;
            devices.push(DeviceMemory {
                device,
                is_host,
                weights: bytes(weights),
                cache: bytes(cache),
                compute: bytes(compute),
            });
        }
        let mut devices: Vec<DeviceMemory> = Vec::new();
        // SAFETY: the context is alive, and the callback is called before this returns.
        unsafe { uat_memory_breakdown(self.context.as_ptr(), add, (&raw mut devices).cast()) };
        devices
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and are not used afterwards. The question outlives the context.
        unsafe {
            sys::llama_batch_free(self.batch);
            sys::llama_free(self.context.as_ptr());
        }
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("batch_tokens", &self.batch_tokens).finish_non_exhaustive()
    }
}

type AddDevice = unsafe extern "C" fn(*mut c_void, *const c_char, bool, usize, usize, usize);

unsafe extern "C" {
    /// `memory_breakdown.cpp`: llama.cpp tells this in C++ only.
    fn uat_memory_breakdown(context: *const sys::llama_context, add: AddDevice, data: *mut c_void);
}

/// llama.cpp asks this between the steps of a batch, on the thread that called `llama_decode`.
unsafe extern "C" fn is_abandoned(question: *mut c_void) -> bool {
    // SAFETY: the box of a living context: see `Context::new`.
    let question = unsafe { &*question.cast::<Question>() };
    // SAFETY: set during `decode` only, while what it points at is borrowed.
    question.get().is_some_and(|question| unsafe { (*question)() })
}

/// # Safety
/// `start` is null or the start of `length` floats that live and stay as they are for 'a.
unsafe fn slice<'a>(start: *const f32, length: usize) -> &'a [f32] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, length) }
}

/// The model as llama.cpp knows it, which the binding keeps to itself.
fn raw(model: &LlamaModel) -> *mut sys::llama_model {
    const {
        assert!(size_of::<LlamaModel>() == size_of::<*mut sys::llama_model>());
        assert!(align_of::<LlamaModel>() == align_of::<*mut sys::llama_model>());
    }
    // SAFETY: `LlamaModel` is `repr(transparent)` over a pointer that is never null, in the version that is pinned exactly.
    unsafe { ptr::from_ref(model).cast::<*mut sys::llama_model>().read() }
}
