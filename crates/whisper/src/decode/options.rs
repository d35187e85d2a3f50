//! How a transcription is made.

/// How a transcription is made. The defaults are those of OpenAI's `transcribe` and faster-whisper, but for what is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A code such as `de`; none lets a multilingual model find out by the first 30 s. Models for English know `en` alone.
    pub language: Option<String>,
    /// Translate into English instead; multilingual models only.
    pub translate: bool,
    /// Texts that are followed side by side at temperature nought; 1 is greedy.
    pub beam_size: usize,
    /// Texts that are drawn at other temperatures, of which the likeliest is taken.
    pub best_of: usize,
    /// Tried in turn while a text repeats itself or is too unlikely. The first is usually nought.
    pub temperatures: Vec<f32>,
    /// A text that compresses better than this repeats itself.
    pub compression_ratio_threshold: f32,
    /// A text whose tokens are less likely on average, as a natural logarithm, is not trusted.
    pub logprob_threshold: f32,
    /// Nothing was said where the model is surer of that than this (0 to 1) and its text is not trusted.
    pub no_speech_threshold: f32,
    /// Whether a window is decoded with the text of the one before in mind.
    pub condition_on_previous_text: bool,
    /// What might have been said before: names, spelling, style.
    pub initial_prompt: Option<String>,
    /// Whether words get times; costs another pass over each text.
    pub words: bool,
    /// Silence that the encoder hears after an utterance, in ms. The original always hears 30 s in all, which
    /// [`Self::WHOLE_WINDOW`] asks for; too little silence changes words.
    pub margin_ms: u32,
    /// What the encoder hears at least, in ms: a shorter utterance gets more silence than the margin. With less than this, the model
    /// says short utterances again and again.
    pub least_ms: u32,
    /// For drawing at temperatures above nought.
    pub seed: u64,
}

impl Options {
    /// A margin by which the encoder hears 30 s whatever the utterance, as OpenAI's does.
    pub const WHOLE_WINDOW: u32 = 30_000;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: None,
            translate: false,
            beam_size: 5,
            best_of: 5,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: 2.4,
            logprob_threshold: -1.0,
            no_speech_threshold: 0.6,
            condition_on_previous_text: true,
            initial_prompt: None,
            words: false,
            margin_ms: 2_000,
            least_ms: 10_000,
            seed: 0,
        }
    }
}
