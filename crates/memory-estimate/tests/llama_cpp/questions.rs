//! What llama.cpp was asked about the models of `testkit::model_file`, shared by the test and the example.

use memory_estimate::{KvType, Options, Parallel};

/// Asked of each model, in the words of `reference/reference.cpp`.
pub(crate) const QUESTIONS: &[&str] = &[
    "context=512",
    "context=8192",
    "context=8192 flash=0",
    "context=32768",
    "context=32768 flash=0",
    "context=8192 k=q8_0 v=q8_0",
    "context=8192 k=q4_0 v=q4_0",
    "context=8192 k=f32 v=f32 flash=0",
    "context=8192 rows=16",
    "context=8192 rows=16 flash=0",
    "context=8192 rows=9",
    "context=8192 rows=4 unified=0",
    "context=8192 rows=4 unified=0 flash=0",
    "context=8192 rows=16 full=1",
    "context=4096 batch=128",
    "context=16384 batch=2048",
    "context=8192 gpus=1",
    "context=8192 gpus=1 flash=0",
    "context=8192 gpus=1 layers=10",
    "context=8192 gpus=2",
    "context=8192 gpus=2 events=1",
    "context=8192 gpus=3 events=1 flash=0",
];

/// The same question as options of ours.
pub(crate) fn options(question: &str) -> Options {
    let mut options = Options { pipelined: false, ..Options::default() };
    let (mut rows, mut is_shared) = (1, true);
    for word in question.split(' ') {
        let (key, value) = word.split_once('=').expect("a word is key=value");
        let number = || value.parse::<u32>().expect("a number");
        match key {
            "context" => options.context_tokens = Some(number().into()),
            "batch" => options.batch_tokens = number().into(),
            "rows" => rows = number(),
            "unified" => is_shared = number() != 0,
            "flash" => options.flash_attention = number() != 0,
            "k" => options.kv_type_k = kv_type(value),
            "v" => options.kv_type_v = kv_type(value),
            "gpus" => options.devices = vec![1.0; number() as usize],
            "full" => options.full_windows = number() != 0,
            "layers" => options.gpu_layers = Some(number()),
            "events" => options.pipelined = number() != 0,
            other => panic!("{other} is not known"),
        }
    }
    options.parallel = if is_shared { Parallel::Shared { rows } } else { Parallel::Own { rows } };
    options
}

fn kv_type(name: &str) -> KvType {
    serde_json::from_value(name.into()).expect("a type of keys")
}
