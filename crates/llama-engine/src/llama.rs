//! The only module that touches llama.cpp.
//!
//! ggml's CPU code comes as some dozen plug-ins, from plain SSE4.2 to Sapphire Rapids, of which the best for this machine
//! is chosen at run time: the binary itself runs on any x86-64.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::{LlamaBackend, load_backends_from_path};
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaModel, VocabType};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{
    LlamaBackendDevice, LlamaBackendDeviceType, LogOptions, list_llama_ggml_backend_devices,
    send_logs_to_tracing,
};

use crate::EngineError;
use crate::batcher::{DecodeFailure, Decoder, Input, Token};
use crate::devices::{Device, idle_plugins};
use crate::model_file;
use crate::request::Sampling;
use crate::template::ChatTemplate;
use crate::worker::{KvType, Options};

/// Most tokens that llama.cpp computes at a time. Larger batches read prompts hardly faster on a CPU and cost memory.
pub const BATCH_TOKENS: usize = 512;

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
}

impl Model {
    /// Maps a GGUF file into memory. Takes a tenth of a second per 100 MB where the file is cached. The context holds
    /// `context_tokens` at most, and never more than the model was trained on. Layers go to a GPU as far as there is one
    /// and `gpu_layers` says so.
    ///
    /// # Errors
    /// [`EngineError::CorruptModel`], [`EngineError::Load`], [`EngineError::Storage`].
    pub fn load(backend: &LlamaBackend, path: &Path, options: Options) -> Result<Self, EngineError> {
        model_file::check(path)?;
        let failed = |reason: String| EngineError::Load { path: path.to_owned(), reason };
        let mut params = LlamaModelParams::default();
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
        Ok(Self { path: path.to_owned(), template, bos, context_tokens, model })
    }

    /// The model's chat template.
    ///
    /// # Errors
    /// [`EngineError::Invalid`]: base models have none, and guessing one would give bad answers.
    pub fn template(&self) -> Result<&ChatTemplate, EngineError> {
        self.template.as_ref().map_err(|reason| {
            let file = self.path.file_name().unwrap_or_default().to_string_lossy();
            EngineError::invalid("model", format!("{file} cannot chat: its chat template is not usable: {reason}; take an instruction-tuned model"))
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

    /// Tokens that one conversation may have, answer included.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        self.model.size()
    }

    /// A context for `lanes` conversations that share [`context_tokens`](Self::context_tokens) cells.
    ///
    /// # Errors
    /// [`EngineError::Load`], mostly for want of memory, or where the model cannot have that `kv_type`.
    pub fn context(&self, backend: &LlamaBackend, options: Options) -> Result<Context<'_>, EngineError> {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let threads = i32::try_from(options.threads_now()).unwrap_or(i32::MAX);
        let kv_type = match options.kv_type {
            KvType::F16 => KvCacheType::F16,
            KvType::Q8_0 => KvCacheType::Q8_0,
            KvType::Q4_0 => KvCacheType::Q4_0,
        };
        let batch_tokens = BATCH_TOKENS.min(self.context_tokens);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(number(self.context_tokens)))
            .with_n_seq_max(number(options.lanes))
            .with_kv_unified(true)
            .with_n_batch(number(batch_tokens))
            .with_n_ubatch(number(batch_tokens))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_type_k(kv_type)
            .with_type_v(kv_type);
        let context = self.model.new_context(backend, params).map_err(|error| EngineError::Load {
            path: self.path.clone(),
            reason: format!("no context of {} tokens: {error}", self.context_tokens),
        })?;
        Ok(Context { context, model: &self.model, batch: LlamaBatch::new(batch_tokens, 1) })
    }
}

/// The text of a special token; empty where the vocabulary has no such token.
fn text_of(model: &LlamaModel, token: LlamaToken) -> Vec<u8> {
    if token.0 < 0 { Vec::new() } else { model.vocab().token_to_piece(token, true, None) }
}

/// The state of all running conversations of a model.
#[derive(Debug)]
pub struct Context<'model> {
    context: LlamaContext<'model>,
    model: &'model LlamaModel,
    batch: LlamaBatch<'static>,
}

impl Decoder for Context<'_> {
    type Sampler = LlamaSampler;

    fn sampler(&self, sampling: &Sampling) -> LlamaSampler {
        if sampling.temperature <= 0.0 {
            return LlamaSampler::greedy();
        }
        // llama.cpp's order. What leaves most candidates behind comes first.
        let chain = [
            LlamaSampler::top_k(sampling.top_k),
            LlamaSampler::top_p(sampling.top_p, 1),
            LlamaSampler::min_p(sampling.min_p, 1),
            LlamaSampler::temp(sampling.temperature),
            LlamaSampler::dist(sampling.seed),
        ];
        LlamaSampler::chain(chain, true)
    }

    fn decode(&mut self, batch: &[Input]) -> Result<(), DecodeFailure> {
        let failed = |error: &dyn std::fmt::Display| DecodeFailure::Failed(error.to_string());
        self.batch.clear();
        for input in batch {
            let position = i32::try_from(input.position).map_err(|error| failed(&error))?;
            let lane = i32::try_from(input.lane).map_err(|error| failed(&error))?;
            let added = self.batch.add(LlamaToken(input.token), position, &[lane], input.sample);
            added.map_err(|error| failed(&error))?;
        }
        match self.context.decode(&mut self.batch) {
            Ok(()) => Ok(()),
            Err(DecodeError::NoKvCacheSlot) => Err(DecodeFailure::NoRoom),
            Err(error) => Err(failed(&error)),
        }
    }

    fn sample(&mut self, sampler: &mut LlamaSampler, index: usize) -> Token {
        // A batch has at most BATCH_TOKENS inputs.
        sampler.sample(&self.context, index as i32).0
    }

    fn forget(&mut self, lane: usize) {
        // Removing a whole sequence cannot fail, says llama.h.
        let _ = self.context.clear_kv_cache_seq(u32::try_from(lane).ok(), None, None);
    }

    fn append_piece(&self, token: Token, bytes: &mut Vec<u8>) {
        self.model.vocab().token_to_piece_into(LlamaToken(token), bytes, false, None);
    }

    fn ends_answer(&self, token: Token) -> bool {
        self.model.vocab().is_eog(LlamaToken(token))
    }
}
