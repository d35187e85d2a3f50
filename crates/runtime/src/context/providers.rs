use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use context_pack::{Passages, Piece, Role};
use llm_wire::openai::{self, ChatRequest};

use super::ask::{ContextAsk, Document};
use super::gathered::{Gathered, Group};
use super::memory::{Memory, SessionKey, Span};
use super::report::Missing;
use super::retriever::Retriever;
use super::turn::Turn;
use crate::config::{ConfigError, ConfigErrors, ContextKind, ContextProviderConfig, Location, UatConfig};
use crate::errors::RuntimeError;

/// Exchanges that are kept of a session unless said otherwise: what a person refers back to is seldom older.
const TURNS: u32 = 10;
/// An hour: who comes back later has begun something else.
const TTL: Duration = Duration::from_secs(3600);
/// Passages that are looked for unless said otherwise: some 1,000 tokens.
const TOP: u32 = 5;
/// Documents of more bytes are searched on a thread that may compute: about a millisecond's work.
const SOON_SEARCHED: usize = 64 << 10;

/// What may be added, as one configuration says it.
pub(crate) struct Providers {
    instructions: Vec<Group>,
    libraries: Vec<Library>,
    remembers: Remembers,
    most: u64,
    /// Whether the configuration names any.
    is_configured: bool,
}

/// Files that are searched.
struct Library {
    name: Arc<str>,
    passages: Box<dyn Retriever>,
    top: usize,
    most: Option<u64>,
}

struct Remembers {
    name: Arc<str>,
    span: Span,
    most: Option<u64>,
}

impl Providers {
    /// Reads the files of the providers.
    ///
    /// # Errors
    /// `UAT_CONFIG` with the file that is no text.
    pub(crate) fn new(config: &UatConfig) -> Result<Self, RuntimeError> {
        let remembers =
            Remembers { name: "memory".into(), span: Span { turns: TURNS, ttl: TTL }, most: None };
        let mut providers = Self {
            instructions: Vec::new(),
            libraries: Vec::new(),
            remembers,
            most: config.context.max_tokens,
            is_configured: !config.context_providers.is_empty(),
        };
        for (index, provider) in config.context_providers.iter().enumerate() {
            providers.add(index, provider)?;
        }
        Ok(providers)
    }

    fn add(&mut self, index: usize, provider: &ContextProviderConfig) -> Result<(), RuntimeError> {
        let (name, most) = (Arc::clone(&provider.name), provider.max_tokens);
        match provider.kind {
            ContextKind::Memory => {
                let span = Span {
                    turns: provider.turns.unwrap_or(TURNS),
                    ttl: provider.ttl_s.map_or(TTL, Duration::from_secs),
                };
                self.remembers = Remembers { name, span, most };
            }
            ContextKind::Instructions => {
                let mut pieces: Vec<Piece> = provider
                    .text
                    .iter()
                    .map(|text| Piece::instruction(Arc::clone(&name), text.as_str()))
                    .collect();
                let files = read_all(index, provider)?;
                pieces.extend(files.into_iter().map(|(name, text)| Piece::instruction(name, text)));
                self.instructions.push(Group { most, pieces });
            }
            ContextKind::Passages => {
                let files = read_all(index, provider)?;
                let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
                let top = provider.top.unwrap_or(TOP) as usize;
                self.libraries.push(Library { name, passages: Box::new(Passages::new(texts)), top, most });
            }
        }
        Ok(())
    }

    /// What there is to be added to a request; `None`: nothing is configured, and nothing was asked for.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` for a wrong `ask`.
    pub(crate) async fn gather(
        &self,
        memory: &Arc<Memory>,
        request: &ChatRequest,
        ask: Option<&ContextAsk>,
        tenant: Option<&str>,
    ) -> Result<Option<Gathered>, RuntimeError> {
        if !self.is_configured && ask.is_none() {
            return Ok(None);
        }
        let none = ContextAsk::default();
        let ask = ask.unwrap_or(&none);
        ask.check()?;
        let most = ask.max_tokens.map_or(self.most, |most| most.min(self.most));
        let messages = match request.messages() {
            Ok(messages) => messages,
            // Whoever gets it as it is may read it; it cannot be added to.
            Err(error) => {
                let missing = vec![Missing { source: "context".into(), why: error.to_string() }];
                return Ok(Some(Gathered { missing, ..Gathered::default() }));
            }
        };
        let is_question = messages.last().is_some_and(|last| last.role == openai::Role::User);
        let question = messages.iter().rfind(|message| message.role == openai::Role::User);
        let question = question.map(openai::Message::text).unwrap_or_default();
        let said = messages.iter().map(openai::Message::text).collect();
        let mut gathered = Gathered { groups: self.instructions.clone(), said, most, ..Gathered::default() };
        if let Some(session) = &ask.session {
            let key = SessionKey::new(tenant, session.trim());
            self.recall(memory, &key, &mut gathered).await;
            let span = self.remembers.span;
            let turn = || Turn { memory: Arc::clone(memory), key, span, user: question.clone() };
            gathered.turn = is_question.then(turn);
        }
        for library in &self.libraries {
            match library.passages.retrieve(&question, library.top).await {
                Ok(found) => {
                    let pieces = found.into_iter().map(Piece::from).collect();
                    gathered.groups.push(Group { most: library.most, pieces });
                }
                Err(why) => gathered.missing.push(Missing { source: Arc::clone(&library.name), why }),
            }
        }
        if !ask.documents.is_empty() {
            let pieces = searched(&ask.documents, question).await?;
            gathered.groups.push(Group { most: None, pieces });
        }
        Ok(Some(gathered))
    }

    async fn recall(&self, memory: &Memory, key: &SessionKey, gathered: &mut Gathered) {
        let Remembers { name, span, most } = &self.remembers;
        match memory.read(key, *span).await {
            Ok(exchanges) => {
                let pieces = exchanges.into_iter().flat_map(|(number, exchange)| {
                    let source: Arc<str> = format!("{name}#{number}").into();
                    let turn = |role, text: String| Piece::turn(Arc::clone(&source), number, role, text);
                    [turn(Role::User, exchange.user), turn(Role::Assistant, exchange.assistant)]
                });
                let pieces = pieces.collect();
                gathered.groups.push(Group { most: *most, pieces });
            }
            Err(why) => gathered.missing.push(Missing { source: Arc::clone(name), why }),
        }
    }
}

/// What the documents that a request brings say of its question.
async fn searched(documents: &[Document], question: String) -> Result<Vec<Piece>, RuntimeError> {
    if documents.iter().map(|document| document.text.len()).sum::<usize>() <= SOON_SEARCHED {
        return Ok(found_in(documents, &question));
    }
    let documents = documents.to_vec();
    crate::blocking(move || found_in(&documents, &question)).await
}

fn found_in(documents: &[Document], question: &str) -> Vec<Piece> {
    let texts = documents.iter().map(|document| (&*document.id, &*document.text));
    Passages::new(texts).search(question, TOP as usize).into_iter().map(Piece::from).collect()
}

/// Each file of a provider with its name in reports.
fn read_all(index: usize, provider: &ContextProviderConfig) -> Result<Vec<(String, String)>, RuntimeError> {
    let name = |file: &Path| match (provider.files.len(), file.file_name()) {
        (2.., Some(file)) => format!("{}/{}", provider.name, file.to_string_lossy()),
        _ => provider.name.to_string(),
    };
    let read = |(place, file): (usize, &std::path::PathBuf)| match std::fs::read_to_string(file) {
        Ok(text) => Ok((name(file), text)),
        Err(error) => {
            let message = format!("expected a file of text (UTF-8), got `{}`: {error}", file.display());
            let hint = Some("a path counts from the folder in which the program was started".to_owned());
            let path = format!("context_providers[{index}].files[{place}]");
            let error = ConfigError { location: Location::Object, path, message, hint };
            Err(RuntimeError::from(ConfigErrors::from(error)))
        }
    };
    provider.files.iter().enumerate().map(read).collect()
}
