//! Small GGUF files, right or wrong: whatever is put in is written as it stands.

/// A GGUF file that a test may change before it is written.
#[derive(Debug, Clone)]
pub struct GgufFile {
    /// Keys and their encoded values, see [`value`](Self::value).
    pub entries: Vec<(String, Vec<u8>)>,
    /// What the table of tensors says.
    pub tensors: Vec<GgufTensor>,
}

/// One row of the table of tensors.
#[derive(Debug, Clone)]
pub struct GgufTensor {
    /// At most 63 bytes in a sound file.
    pub name: String,
    /// Elements in each direction, the row first.
    pub dimensions: Vec<u64>,
    /// A `ggml_type`.
    pub kind: u32,
    /// Of the data in bytes, from the first tensor's.
    pub offset: u64,
}

impl GgufFile {
    /// A sound llama of two layers that nobody can run, with an entry of each shape: one tensor of Q4_1, two of F32.
    pub fn llama() -> Self {
        let tensor = |name: &str, dimensions: &[u64], kind, offset| GgufTensor {
            name: name.to_owned(),
            dimensions: dimensions.to_vec(),
            kind,
            offset,
        };
        let tensors = vec![
            tensor("token_embd.weight", &[64, 4], 3, 0),
            tensor("blk.0.attn_norm.weight", &[64], 0, 160),
            tensor("blk.1.attn_norm.weight", &[64], 0, 416),
        ];
        let vocabulary = [Self::string("a"), Self::string("b"), Self::string("c")].concat();
        Self { entries: Vec::new(), tensors }
            .text("general.architecture", "llama")
            .text("general.name", "A small model")
            .text("general.size_label", "1K")
            .integer("general.file_type", 3)
            .integer("llama.context_length", 2048)
            .integer("llama.embedding_length", 64)
            .integer("llama.block_count", 2)
            .integer("llama.attention.head_count", 4)
            .list("llama.attention.head_count_kv", 5, 2, &[2, 0, 0, 0, 1, 0, 0, 0])
            .value("llama.rope.freq_base", 6, &10_000f32.to_le_bytes())
            .text("tokenizer.ggml.model", "gpt2")
            .list("tokenizer.ggml.tokens", 8, 3, &vocabulary)
            .list("tokenizer.ggml.scores", 6, 3, &[0; 12])
            .value("tokenizer.ggml.add_bos_token", 7, &[1])
            .text("tokenizer.chat_template", "{{ messages }}")
    }

    /// Adds an entry of a numbered type with this content.
    #[must_use]
    pub fn value(mut self, key: &str, kind: u32, content: &[u8]) -> Self {
        self.entries.push((key.to_owned(), [&kind.to_le_bytes(), content].concat()));
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, key: &str, text: &str) -> Self {
        self.value(key, 8, &Self::string(text))
    }

    /// Adds an unsigned integer of 32 bits.
    #[must_use]
    pub fn integer(self, key: &str, value: u32) -> Self {
        self.value(key, 4, &value.to_le_bytes())
    }

    /// Adds a list of `count` elements of the type `kind`.
    #[must_use]
    pub fn list(self, key: &str, kind: u32, count: u64, content: &[u8]) -> Self {
        self.value(key, 9, &[&kind.to_le_bytes(), count.to_le_bytes().as_slice(), content].concat())
    }

    /// Removes an entry.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.entries.retain(|(known, _)| known != key);
        self
    }

    /// The whole file; the data are zeros, as many as the tensors of [`llama`](Self::llama) need.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = self.header();
        file.resize(file.len() + 672, 0);
        file
    }

    /// Everything in front of the data.
    pub fn header(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            file.extend(Self::string(key));
            file.extend(value);
        }
        for tensor in &self.tensors {
            file.extend(Self::string(&tensor.name));
            file.extend((tensor.dimensions.len() as u32).to_le_bytes());
            file.extend(tensor.dimensions.iter().flat_map(|size| size.to_le_bytes()));
            file.extend(tensor.kind.to_le_bytes());
            file.extend(tensor.offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file
    }

    /// A text with its length in front.
    pub fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }
}
