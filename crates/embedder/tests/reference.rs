//! The model itself, against what onnxruntime and Hugging Face's tokenizers make of it (versions 1.32 and 0.23).
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use embedder::Embedder;
use model_store::ModelStore;
use testkit::speech::or_skipped;

/// A text, the first numbers of its embedding, and how alike it is to the first text.
type Reference = (&'static str, [f32; 8], f32);

/// Everyday text, accents and punctuation, scripts that the model hardly knows, and nothing at all.
const REFERENCES: [Reference; 5] = [
    (
        "What do you know about whales?",
        [0.007, 0.05551, 0.0696, 0.08694, -0.03314, -0.04376, 0.0296, -0.00856],
        1.0,
    ),
    (
        "How do I sort a list of dictionaries by a key in Python?",
        [0.03729, 0.04067, 0.05937, -0.0529, -0.01155, -0.08649, 0.05818, 0.0038],
        0.13416,
    ),
    (
        "Zürich's naïve café — costs $3.50 (10% off)!",
        [0.04692, 0.04115, 0.01873, 0.03689, 0.09865, 0.00319, 0.02725, -0.0085],
        0.07637,
    ),
    (
        "大規模言語モデル is 中文 mixed with English\u{200b} and\ttabs",
        [0.01952, 0.00831, 0.03954, -0.04197, 0.02181, 0.07285, -0.01913, -0.02646],
        -0.00983,
    ),
    ("", [-0.12735, 0.04087, -0.00143, -0.01599, 0.05388, 0.00888, 0.11788, 0.00482], 0.08719),
];

/// Of "whale " 400 times, which is cut.
const LONG: ([f32; 8], f32) =
    ([-0.00599, -0.03455, 0.00536, -0.03669, -0.07672, 0.03692, 0.05622, -0.06377], 0.33345);

/// Other kernels add in another order.
const CLOSE: f32 = 1e-3;

/// The embedder, where its model was pulled.
fn minilm() -> Option<Embedder> {
    let store = ModelStore::open().unwrap();
    let files =
        store.resolve("minilm-l6").and_then(|model| Ok((model, store.resolve("minilm-l6-tokenizer")?)));
    let (model, tokenizer) = or_skipped(files)?;
    Some(Embedder::load(&model, &tokenizer).unwrap())
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn embeddings_are_those_of_the_reference() {
    let Some(embedder) = minilm() else { return };
    assert_eq!(embedder.dims(), 384);
    let first = embedder.embed(REFERENCES[0].0).unwrap();
    let long = ("whale ".repeat(400), LONG.0, LONG.1);
    let texts = REFERENCES.map(|(text, numbers, alike)| (text.to_owned(), numbers, alike));
    for (text, numbers, alike) in texts.into_iter().chain([long]) {
        let found = embedder.embed(&text).unwrap();
        assert!((product(&found, &found) - 1.0).abs() < 1e-5, "{text:?}");
        for (found, expected) in found.iter().zip(numbers) {
            assert!((found - expected).abs() < CLOSE, "{text:?}: {found} is not {expected}");
        }
        assert!((product(&first, &found) - alike).abs() < CLOSE, "{text:?}");
    }
}

#[test]
fn a_text_has_one_embedding_whoever_asks_and_with_whatever() {
    let Some(embedder) = minilm() else { return };
    let texts: Vec<String> = (0..20).map(|i| "What is this about? ".repeat(1 + i % 7)).collect();
    let together = embedder.embed_all(&texts).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (text, expected) in texts.iter().zip(&together) {
                    assert_eq!(embedder.embed(text).unwrap(), *expected);
                }
            });
        }
    });
    assert_eq!(embedder.embed_all(&[""; 0]).unwrap(), Vec::<Vec<f32>>::new());
}

#[test]
fn what_comes_after_the_last_token_that_is_read_changes_nothing() {
    let Some(embedder) = minilm() else { return };
    let text = "whale ".repeat(300);
    assert_eq!(embedder.embed(&text).unwrap(), embedder.embed(&format!("{text} and a tail")).unwrap());
}
