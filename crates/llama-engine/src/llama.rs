//! The only module that touches llama.cpp.
//!
//! ggml's CPU code comes as some dozen plug-ins, from plain SSE4.2 to Sapphire Rapids, of which the best for this machine
//! is chosen at run time: the binary itself runs on any x86-64.

use std::path::{Path, PathBuf};

use llama_cpp_2::llama_backend::{LlamaBackend, load_backends_from_path};
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaModel, VocabType};
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{
    LlamaBackendDevice, LlamaBackendDeviceType, LogOptions, list_llama_ggml_backend_devices,
    send_logs_to_tracing,
};
use llama_cpp_sys_2 as sys;

use crate::EngineError;
use crate::batcher::{DecodeFailure, Decoder, Input, Sizes};
use crate::context::{Context, Failure, Layout};
use crate::devices::{Device, idle_plugins};
use crate::memory::DeviceMemory;
use crate::model_file;
use crate::options::{KvType, Options};
use crate::template::ChatTemplate;
use crate::token::Token;

/// Most tokens that llama.cpp computes at a time. Larger batches read prompts hardly faster on a CPU and cost memory.
pub const BATCH_TOKENS: usize = 512;
/// Most tokens of a text that is embedded: all of it has to be in one batch, whose buffers grow with it. What embedding
/// models are trained on is mostly less.
pub const EMBEDDING_TOKENS: usize = 2048;
/// Texts that are embedded in one batch, if they are short.
const EMBEDDING_ROWS: usize = 32;
/// Rows beside those of running requests, which keep what earlier ones have read.
const SPARE_ROWS: usize = 8;
/// llama.cpp's `LLAMA_MAX_SEQ`.
const MOST_ROWS: usize = 256;
/// How llama.cpp pools the vectors of a text's tokens where the model does not say: the mean, which also makes something
/// of models that were never trained for it.
const DEFAULT_POOLING: sys::llama_pooling_type = sys::LLAMA_POOLING_TYPE_MEAN;

/// Starts llama.cpp once per process, with the plug-ins that lie in `plugins`.
///
/// # Errors
/// [`EngineError::Internal`] if there is no plug-in for this processor, or llama.cpp was started before.
pub fn start(plugins: &Path) -> Result<LlamaBackend, EngineError> {
    send_logs_to_tracing(LogOptions::default().with_logs_enabled(true));
    let internal = |message: String| EngineError::Internal { message };
    // The binding panics on a path that is not UTF-8 or holds a NUL; the kernel lets no NUL through.
    if plugins.to_str().is_none() {
        return Err(internal(format!(
            "the path of the plug-ins, {}, is not UTF-8; give another with --backends",
            plugins.display()
        )));
    }
    load_backends_from_path(plugins);
    let devices = devices();
    // ggml says nothing of a plug-in that it cannot load.
    for file in idle_plugins(|file| plugins.join(file).is_file(), &devices) {
        tracing::warn!("{file} found no GPU or no driver for one: the processor computes");
    }
    if devices.is_empty() {
        return Err(internal(format!(
            "no ggml plug-in for this processor in {}: expected files like libggml-cpu-haswell.so; --backends names another folder",
            plugins.display()
        )));
    }
    LlamaBackend::init().map_err(|error| internal(error.to_string()))
}

/// Where ggml can compute, the first choice first. Cheap once the engine has started; before, GPUs are woken.
pub fn devices() -> Vec<Device> {
    let device = |device: LlamaBackendDevice| {
        let kind = device.device_type;
        let gpu = matches!(kind, LlamaBackendDeviceType::Gpu | LlamaBackendDeviceType::IntegratedGpu);
        Device {
            name: device.name,
            description: device.description,
            backend: device.backend,
            gpu,
            memory_bytes: device.memory_total as u64,
            memory_free_bytes: gpu.then_some(device.memory_free as u64),
        }
    };
    list_llama_ggml_backend_devices().into_iter().map(device).collect()
}

/// A model's weights and what belongs to them. Shared by the thread that computes and those that prepare prompts.
#[derive(Debug)]
pub struct Model {
    model: LlamaModel,
    path: PathBuf,
    template: Result<ChatTemplate, String>,
    bos: String,
    context_tokens: usize,
    pooling: Option<u64>,
}

impl Model {
    /// Maps a GGUF file into memory. Takes a tenth of a second per 100 MB where the file is cached. The context holds
    /// `context_tokens` at most, and never more than the model was trained on. Layers go to a GPU as far as there is one
    /// and `gpu_layers` says so.
    ///
    /// # Errors
    /// [`EngineError::CorruptModel`], [`EngineError::Load`], [`EngineError::Storage`].
    pub fn load(backend: &LlamaBackend, path: &Path, options: Options) -> Result<Self, EngineError> {
        Self::open(backend, path, options, LlamaModelParams::default())
    }

    /// What the model would take with these options, device by device, as llama.cpp itself reckons; nothing is allocated.
    /// Takes as long as reading the vocabulary.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn project(
        backend: &LlamaBackend,
        path: &Path,
        options: Options,
    ) -> Result<Vec<DeviceMemory>, EngineError> {
        // Without memory there is nothing to map either.
        let params = LlamaModelParams::default().with_use_mmap(false).with_no_alloc(true);
        let model = Self::open(backend, path, options, params)?;
        let context = match model.is_encoder() {
            true => model.embedding_context(1)?,
            false => model.chat_context(options, 1)?.0,
        };
        Ok(context.memory())
    }

    fn open(
        backend: &LlamaBackend,
        path: &Path,
        options: Options,
        mut params: LlamaModelParams,
    ) -> Result<Self, EngineError> {
        let header = model_file::check(path)?;
        let failed = |reason: String| EngineError::Load { path: path.to_owned(), reason };
        if let Some(layers) = options.gpu_layers {
            params = params.with_n_gpu_layers(layers);
            if layers == 0 {
                // Without this a GPU would still compute the large products of long prompts.
                params = params.with_devices(&[]).map_err(|error| failed(error.to_string()))?;
            }
        }
        let model = LlamaModel::load_from_file(backend, path, &params).map_err(|_| {
            failed("it refused the file, and its reason stands in the engine's log".to_owned())
        })?;
        let vocab = model.vocab();
        if vocab.vocab_type() == VocabType::NONE || vocab.n_tokens() == 0 {
            return Err(failed("it has no vocabulary".to_owned()));
        }
        let text = |token| String::from_utf8_lossy(&text_of(&model, token)).into_owned();
        let (bos, eos) = (text(vocab.bos()), text(vocab.eos()));
        let template = match model.chat_template(None).map(|template| template.to_string()) {
            Ok(Ok(source)) => ChatTemplate::new(source, bos.clone(), eos),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it has none".to_owned()),
        };
        let trained = usize::try_from(model.n_ctx_train()).unwrap_or(usize::MAX);
        let context_tokens = options.context_tokens.min(trained);
        let pooling = header.pooling_type();
        Ok(Self { path: path.to_owned(), template, bos, context_tokens, pooling, model })
    }

    /// The model's chat template.
    ///
    /// # Errors
    /// [`EngineError::Invalid`]: base models have none, and guessing one would give bad answers.
    pub fn template(&self) -> Result<&ChatTemplate, EngineError> {
        self.template.as_ref().map_err(|reason| {
            EngineError::invalid("model", format!("{} cannot chat: its chat template is not usable: {reason}; take an instruction-tuned model", self.file()))
        })
    }

    /// The tokens of a rendered prompt. Special tokens in it are read as such; the begin token is put in front where the
    /// model wants one and the template has not written it already.
    pub fn tokenize(&self, prompt: &str) -> Vec<Token> {
        let vocab = self.model.vocab();
        let mut tokens = Vec::with_capacity(prompt.len() / 3 + 8);
        if vocab.should_add_bos() && !self.bos.is_empty() && !prompt.starts_with(&self.bos) {
            tokens.push(vocab.bos());
        }
        vocab.tokenize_into(prompt.as_bytes(), &mut tokens, false, true);
        tokens.into_iter().map(|token| token.0).collect()
    }

    /// The tokens of a text to embed, with those that the model wants around it.
    pub fn tokenize_text(&self, text: &str) -> Vec<Token> {
        self.model.vocab().tokenize(text.as_bytes(), true, false).into_iter().map(|token| token.0).collect()
    }

    /// How many tokens the vocabulary has.
    pub fn vocabulary_size(&self) -> usize {
        usize::try_from(self.model.vocab().n_tokens()).unwrap_or(0)
    }

    /// The bytes of each token, by number.
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        self.model.vocab().tokens().map(|token| text_of(&self.model, token)).collect()
    }

    /// Whether a token only steers the model and stands for no text.
    pub fn is_special(&self, token: Token) -> bool {
        self.model.vocab().is_control(LlamaToken(token))
    }

    /// Whether a token ends an answer.
    pub fn ends_answer(&self, token: Token) -> bool {
        self.model.vocab().is_eog(LlamaToken(token))
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Token {
        self.model.vocab().eos().0
    }

    /// Tokens that one conversation may have, answer included.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Tokens that one text may have that is embedded.
    pub fn embedding_tokens(&self) -> usize {
        self.context_tokens.min(EMBEDDING_TOKENS)
    }

    /// Length of an embedding.
    pub fn dimensions(&self) -> usize {
        usize::try_from(self.model.n_embd_out()).unwrap_or(0)
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        self.model.size()
    }

    /// Whether the model only makes vectors: it has no cache, and reads a text in both directions.
    pub fn is_encoder(&self) -> bool {
        self.pooling.is_some() && self.template.is_err()
    }

    /// What computes chats: `lanes` conversations that share [`context_tokens`](Self::context_tokens) cells.
    ///
    /// # Errors
    /// [`EngineError::Load`], mostly for want of memory, or where the model cannot have that `kv_type`.
    pub fn chat(&self, options: Options, threads: usize) -> Result<(ChatDecoder<'_>, Sizes), EngineError> {
        let (context, sizes) = self.chat_context(options, threads)?;
        let can_share = !self.model.is_recurrent() && !self.model.is_hybrid();
        Ok((ChatDecoder { context, model: &self.model, can_share }, sizes))
    }

    /// What computes vectors.
    ///
    /// # Errors
    /// [`EngineError::Load`], mostly for want of memory; [`EngineError::Invalid`] for a model that ranks.
    pub fn embedder(&self, threads: usize) -> Result<Embedder<'_>, EngineError> {
        Ok(Embedder { context: self.embedding_context(threads)?, batch: self.embedding_tokens() })
    }

    fn chat_context(&self, options: Options, threads: usize) -> Result<(Context<'_>, Sizes), EngineError> {
        let lanes = options.lanes.min(MOST_ROWS - 1);
        let sizes = Sizes {
            lanes,
            rows: (lanes + SPARE_ROWS).min(MOST_ROWS),
            batch: BATCH_TOKENS.min(self.context_tokens),
            cells: self.context_tokens,
        };
        let kv_type = match options.kv_type {
            KvType::F32 => sys::GGML_TYPE_F32,
            KvType::F16 => sys::GGML_TYPE_F16,
            KvType::Q8_0 => sys::GGML_TYPE_Q8_0,
            KvType::Q4_0 => sys::GGML_TYPE_Q4_0,
        };
        let Sizes { rows, batch, cells, .. } = sizes;
        let context = self.context(Layout { cells, rows, batch, kv_type, pooling: None }, threads)?;
        Ok((context, sizes))
    }

    fn embedding_context(&self, threads: usize) -> Result<Context<'_>, EngineError> {
        let pooling = match self.pooling {
            None | Some(0) => DEFAULT_POOLING,
            Some(1) => sys::LLAMA_POOLING_TYPE_MEAN,
            Some(2) => sys::LLAMA_POOLING_TYPE_CLS,
            Some(3) => sys::LLAMA_POOLING_TYPE_LAST,
            Some(other) => {
                return Err(EngineError::invalid(
                    "model",
                    format!(
                        "{} makes no embeddings: its pooling type is {other}, expected none, mean (1), cls (2) or last (3); take an embedding model",
                        self.file()
                    ),
                ));
            }
        };
        let tokens = self.embedding_tokens();
        let rows = EMBEDDING_ROWS.min(MOST_ROWS);
        let kv_type = sys::GGML_TYPE_F16;
        self.context(Layout { cells: tokens, rows, batch: tokens, kv_type, pooling: Some(pooling) }, threads)
    }

    fn context(&self, layout: Layout, threads: usize) -> Result<Context<'_>, EngineError> {
        Context::new(&self.model, layout, threads).ok_or_else(|| EngineError::Load {
            path: self.path.clone(),
            reason: format!("no context of {} tokens; the reason stands in the engine's log", layout.cells),
        })
    }

    fn file(&self) -> std::borrow::Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }
}

/// The text of a token; empty where the vocabulary has no such token.
fn text_of(model: &LlamaModel, token: LlamaToken) -> Vec<u8> {
    if token.0 < 0 { Vec::new() } else { model.vocab().token_to_piece(token, true, None) }
}

/// Computes the running conversations of a model.
#[derive(Debug)]
pub struct ChatDecoder<'model> {
    context: Context<'model>,
    model: &'model LlamaModel,
    can_share: bool,
}

impl ChatDecoder<'_> {
    /// How many threads compute from now on.
    pub fn set_threads(&mut self, threads: usize) {
        self.context.set_threads(threads);
    }

    /// What the model and its conversations take of the machine's own memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        host_total(&self.context.memory())
    }
}

/// What is taken of the machine's own memory, in bytes.
pub fn host_total(devices: &[DeviceMemory]) -> u64 {
    let host = devices.iter().filter(|device| device.is_host);
    host.map(|device| device.weights + device.cache + device.compute).sum()
}

impl Decoder for ChatDecoder<'_> {
    fn decode(&mut self, batch: &[Input], abandoned: &dyn Fn() -> bool) -> Result<(), DecodeFailure> {
        self.context.decode(batch, abandoned).map_err(|failure| match failure {
            Failure::NoRoom => DecodeFailure::NoRoom,
            Failure::Abandoned => DecodeFailure::Abandoned,
            Failure::Code(code) => {
                DecodeFailure::Failed(format!("llama.cpp could not compute a batch (code {code})"))
            }
        })
    }

    fn scores(&self, index: usize) -> &[f32] {
        self.context.scores(index)
    }

    fn can_share(&self) -> bool {
        self.can_share
    }

    fn truncate(&mut self, row: usize, length: usize) {
        self.context.truncate(row, length);
    }

    fn share(&mut self, from: usize, to: usize, length: usize) {
        self.context.share(from, to, length);
    }

    fn append_piece(&self, token: Token, bytes: &mut Vec<u8>) {
        self.model.vocab().token_to_piece_into(LlamaToken(token), bytes, false, None);
    }

    fn ends_answer(&self, token: Token) -> bool {
        self.model.vocab().is_eog(LlamaToken(token))
    }
}

/// Makes vectors of texts.
#[derive(Debug)]
pub struct Embedder<'model> {
    context: Context<'model>,
    batch: usize,
}

impl Embedder<'_> {
    /// How many threads compute from now on.
    pub fn set_threads(&mut self, threads: usize) {
        self.context.set_threads(threads);
    }

    /// What the model and the buffers for vectors take, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        host_total(&self.context.memory())
    }

    /// How many of `texts`, from the first, fit into one batch.
    pub fn fitting(&self, texts: &[Vec<Token>]) -> usize {
        let mut tokens = 0;
        let fits = |text: &&Vec<Token>| {
            tokens += text.len();
            tokens <= self.batch
        };
        texts.iter().take(EMBEDDING_ROWS).take_while(fits).count()
    }

    /// The vectors of `texts`, of length 1 each. They must fit: see [`fitting`](Self::fitting).
    ///
    /// # Errors
    /// [`EngineError::Internal`] in llama.cpp's words.
    pub fn embed(
        &mut self,
        texts: &[Vec<Token>],
        abandoned: &dyn Fn() -> bool,
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let internal = |message: String| EngineError::Internal { message };
        let inputs: Vec<Input> = texts
            .iter()
            .enumerate()
            .flat_map(|(row, text)| {
                let input = move |(position, token): (usize, &Token)| Input {
                    token: *token,
                    position,
                    row,
                    sample: true,
                };
                text.iter().enumerate().map(input)
            })
            .collect();
        let computed = self.context.decode(&inputs, abandoned);
        let vectors = computed
            .map_err(|failure| internal(format!("llama.cpp could not compute a batch ({failure:?})")))
            .map(|()| (0..texts.len()).map(|row| self.context.vector(row).to_vec()).collect::<Vec<_>>());
        for row in 0..texts.len() {
            self.context.truncate(row, 0);
        }
        let mut vectors = vectors?;
        if vectors.iter().any(Vec::is_empty) {
            return Err(internal("llama.cpp made no vector for a text".to_owned()));
        }
        vectors.iter_mut().for_each(|vector| normalise(vector));
        Ok(vectors)
    }
}

/// Gives a vector the length 1; one of zeros stays.
pub fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}
