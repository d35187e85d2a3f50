//! Every operation: what it is asked, and what it may answer.

/// In whose words errors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
    Ollama,
}

impl Dialect {
    /// The schema of an error.
    pub(super) fn error(self) -> &'static str {
        match self {
            Self::OpenAi => "Error",
            Self::Anthropic => "AnthropicError",
            Self::Gemini => "GeminiError",
            Self::Ollama => "OllamaError",
        }
    }
}

/// What an operation does, which decides how it may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Asks a model.
    Model,
    /// Counts the tokens of a request.
    Count,
    /// Reads a body, and asks no endpoint.
    Reads,
    /// Takes in how good an answer was.
    Judges,
    /// Makes something that is kept, or finds that it is there.
    Creates,
    /// Changes something that is kept.
    Changes,
    /// Says what there is.
    Lists,
    /// Becomes a WebSocket.
    Upgrades,
    /// Takes an offer of WebRTC.
    Hears,
    /// Needs no key.
    Health,
    /// Is the same whatever happens.
    Static,
}

type Errors = &'static [(&'static str, &'static str)];

/// What every path but `/health` answers to those who may not call.
const CALLER: [(&str, &str); 4] = [
    ("401", "A key is needed, and this is none."),
    ("403", "The page's origin, or the key, may not do this."),
    ("421", "The request means another host."),
    ("429", "The key's limit is reached."),
];

const HEALTH: Errors = &[CALLER[1], CALLER[2]];
const READY: Errors =
    &[CALLER[1], CALLER[2], ("503", "No endpoint can be asked, or the server is shutting down.")];
const STATIC: Errors = &CALLER;
const LISTS: Errors = &[
    CALLER[0],
    CALLER[1],
    ("404", "There is no such thing."),
    CALLER[2],
    CALLER[3],
    ("500", "Something is broken here."),
    ("503", "The server is shutting down, or the local engine cannot be asked."),
];
const UPGRADES: Errors = &[
    ("400", "The query asks for something else."),
    CALLER[0],
    CALLER[1],
    ("404", "There is no such model."),
    CALLER[2],
    ("426", "The request is none for a WebSocket."),
    CALLER[3],
    ("500", "Something is broken here."),
    ("503", "The server is shutting down."),
];
const HEARS: Errors = &[
    (
        "400",
        "The offer has no audio that could be heard, no data channel, or is none; or the query asks for what cannot be.",
    ),
    CALLER[0],
    CALLER[1],
    ("404", "There is no such model."),
    ("408", "The body came too slowly."),
    ("413", "The offer is too long."),
    ("415", "The body is not said to be an offer."),
    CALLER[2],
    CALLER[3],
    ("500", "Something is broken here."),
    ("503", "As many are heard as may be, or the server is shutting down."),
];
const READS: Errors = &[
    ("400", "The request is none of its dialect."),
    CALLER[0],
    CALLER[1],
    ("404", "There is no such model."),
    ("408", "The body came too slowly."),
    ("413", "The body is too large."),
    CALLER[2],
    CALLER[3],
    ("500", "Something is broken here."),
    ("503", "The server is shutting down."),
];
const JUDGES: Errors = &[
    ("400", "The score is none."),
    CALLER[0],
    CALLER[1],
    ("404", "There is no such request."),
    ("408", "The body came too slowly."),
    ("409", "It has no answer, or the answer was judged already."),
    ("413", "The body is too large."),
    CALLER[2],
    CALLER[3],
    ("500", "Something is broken here."),
    ("503", "The server is shutting down."),
];
const CHANGES: Errors = &[
    ("400", "The request is none of this operation."),
    CALLER[0],
    CALLER[1],
    ("404", "There is no such thing."),
    ("408", "The body came too slowly."),
    ("409", "It is otherwise already: made of something else, or told before."),
    ("413", "The body is too large."),
    CALLER[2],
    CALLER[3],
    ("500", "It cannot be kept: a disk or Redis fails, or what is there is damaged."),
    ("503", "Too many are in use, or the server is shutting down."),
];
const MODEL: Errors = &[
    ("400", "The request is none of its dialect, or cannot be carried out."),
    CALLER[0],
    CALLER[1],
    ("404", "There is no such model."),
    ("408", "The body came too slowly."),
    ("409", "The request conflicts with another."),
    ("413", "The body is too large."),
    CALLER[2],
    ("429", "The key's limit is reached, or the endpoint's is."),
    ("4XX", "An endpoint refused the request itself; the status is its own."),
    ("500", "Something is broken here."),
    ("502", "No endpoint gave an answer."),
    ("503", "Every place is taken, or the local engine cannot be reached, or the server is shutting down."),
    ("504", "The time for the request has passed."),
];

/// A media type, and the schema of its document; `None`: text.
type Media = (&'static str, Option<&'static str>);

pub(super) struct Described {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) dialect: Dialect,
    pub(super) says: Says,
    pub(super) request: Option<&'static str>,
    /// What 200 carries; `None`: it is never answered with 200.
    pub(super) answer: Option<&'static [Media]>,
}

impl Described {
    pub(super) fn errors(&self) -> Errors {
        match (self.says, self.path) {
            (Says::Model | Says::Count, _) => MODEL,
            (Says::Reads, _) => READS,
            (Says::Judges, _) => JUDGES,
            (Says::Creates | Says::Changes, _) => CHANGES,
            (Says::Lists, _) => LISTS,
            (Says::Upgrades, _) => UPGRADES,
            (Says::Hears, _) => HEARS,
            (Says::Health, "/health/ready") => READY,
            (Says::Health, _) => HEALTH,
            (Says::Static, _) => STATIC,
        }
    }

    pub(super) fn tag(&self) -> &'static str {
        match (self.says, self.dialect) {
            _ if ["/v1/studies", "/v1/bandits", "/v1/optimize", "/v1/outcomes"]
                .iter()
                .any(|path| self.path.starts_with(path)) =>
            {
                "parameters"
            }
            (Says::Health | Says::Static, _) => "operations",
            (Says::Lists, _)
                if matches!(self.path, "/metrics" | "/v1/endpoints" | "/v1/routing/{request_id}") =>
            {
                "operations"
            }
            (Says::Judges, _) => "operations",
            (_, Dialect::OpenAi) => "openai",
            (_, Dialect::Anthropic) => "anthropic",
            (_, Dialect::Gemini) => "gemini",
            (_, Dialect::Ollama) => "ollama",
        }
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain";
const SDP: &str = "application/sdp";
const HTML: &str = "text/html";

const fn model(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    dialect: Dialect,
    request: &'static str,
    answer: &'static [Media],
) -> Described {
    let (method, says) = ("post", Says::Model);
    Described { path, method, id, summary, dialect, says, request: Some(request), answer: Some(answer) }
}

const fn get(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    (dialect, says): (Dialect, Says),
    answer: &'static [Media],
) -> Described {
    Described { path, method: "get", id, summary, dialect, says, request: None, answer: Some(answer) }
}

/// An operation on what is kept.
const fn kept(
    (method, path): (&'static str, &'static str),
    id: &'static str,
    summary: &'static str,
    says: Says,
    request: Option<&'static str>,
    answer: &'static [Media],
) -> Described {
    Described { path, method, id, summary, dialect: Dialect::OpenAi, says, request, answer: Some(answer) }
}

const NOTHING: &[Media] = &[(JSON, Some("Nothing"))];

use Dialect::{Anthropic, Gemini, Ollama, OpenAi};

pub(super) const OPERATIONS: &[Described] = &[
    model(
        "/v1/chat/completions",
        "createChatCompletion",
        "OpenAI's chat completion, whole or streamed",
        OpenAi,
        "ChatRequest",
        &[(JSON, Some("ChatCompletion")), (EVENTS, None)],
    ),
    model(
        "/v1/responses",
        "createResponse",
        "OpenAI's Responses, whole or streamed; nothing is stored",
        OpenAi,
        "ResponsesRequest",
        &[(JSON, Some("Response")), (EVENTS, None)],
    ),
    Described {
        path: "/v1/responses/{id}",
        method: "get",
        id: "getResponse",
        summary: "None is stored: always 404",
        dialect: OpenAi,
        says: Says::Lists,
        request: None,
        answer: None,
    },
    Described {
        path: "/v1/responses/{id}",
        method: "delete",
        id: "deleteResponse",
        summary: "None is stored: always 404",
        dialect: OpenAi,
        says: Says::Lists,
        request: None,
        answer: None,
    },
    model(
        "/v1/embeddings",
        "createEmbedding",
        "OpenAI's embeddings",
        OpenAi,
        "EmbeddingsRequest",
        &[(JSON, Some("EmbeddingList"))],
    ),
    kept(
        ("post", "/v1/audio/transcriptions"),
        "createTranscription",
        "OpenAI's transcription of a recording, by the models of this machine",
        Says::Reads,
        Some("TranscriptionRequest"),
        &[(JSON, Some("Transcription")), (TEXT, None), (EVENTS, None)],
    ),
    Described {
        path: "/v1/realtime",
        method: "get",
        id: "realtime",
        summary: "OpenAI's realtime transcription: speech into a WebSocket, words out of it while somebody speaks",
        dialect: OpenAi,
        says: Says::Upgrades,
        request: None,
        answer: None,
    },
    Described {
        path: "/whip",
        method: "post",
        id: "whip",
        summary: "A browser's offer of WebRTC (WHIP, RFC 9725): speech over it, words on its data channel while somebody speaks",
        dialect: OpenAi,
        says: Says::Hears,
        request: Some("WebRtcOffer"),
        answer: Some(&[(SDP, None)]),
    },
    get(
        "/demo",
        "demoPage",
        "A page to speak to, where `uat serve --demo-page` serves one",
        (OpenAi, Says::Lists),
        &[(HTML, None)],
    ),
    kept(("delete", "/whip/{id}"), "endWhip", "Ends what a browser says", Says::Lists, None, NOTHING),
    get(
        "/v1/models",
        "listModels",
        "The models that can be asked for; in Anthropic's shape with the header anthropic-version",
        (OpenAi, Says::Lists),
        &[(JSON, Some("AnyModelList"))],
    ),
    get(
        "/v1/models/{id}",
        "getModel",
        "One of them; its id may hold slashes",
        (OpenAi, Says::Lists),
        &[(JSON, Some("AnyModel"))],
    ),
    model(
        "/v1/messages",
        "createMessage",
        "Anthropic's messages, whole or streamed",
        Anthropic,
        "MessagesRequest",
        &[(JSON, Some("Message")), (EVENTS, None)],
    ),
    Described {
        path: "/v1/messages/count_tokens",
        method: "post",
        id: "countTokens",
        summary: "How many tokens a request has",
        dialect: Anthropic,
        says: Says::Count,
        request: Some("CountTokensRequest"),
        answer: Some(&[(JSON, Some("TokenCount"))]),
    },
    model(
        "/v1beta/models/{model}:generateContent",
        "generateContent",
        "Gemini's answer, whole",
        Gemini,
        "GenerateContentRequest",
        &[(JSON, Some("GenerateContentResponse"))],
    ),
    model(
        "/v1beta/models/{model}:streamGenerateContent",
        "streamGenerateContent",
        "Gemini's answer as an array of documents, or as events",
        Gemini,
        "GenerateContentRequest",
        &[(JSON, Some("GenerateContentStream")), (EVENTS, None)],
    ),
    model(
        "/v1beta/models/{model}:embedContent",
        "embedContent",
        "Gemini's embedding of one text",
        Gemini,
        "EmbedContentRequest",
        &[(JSON, Some("EmbedContentResponse"))],
    ),
    model(
        "/v1beta/models/{model}:batchEmbedContents",
        "batchEmbedContents",
        "Gemini's embeddings of several texts",
        Gemini,
        "BatchEmbedContentsRequest",
        &[(JSON, Some("BatchEmbedContentsResponse"))],
    ),
    model(
        "/api/chat",
        "ollamaChat",
        "Ollama's chat, streamed unless the body says otherwise",
        Ollama,
        "OllamaChatRequest",
        &[(JSON, Some("OllamaChat")), (LINES, None)],
    ),
    model(
        "/api/generate",
        "ollamaGenerate",
        "Ollama's answer to one prompt; an empty one loads the model",
        Ollama,
        "OllamaGenerateRequest",
        &[(JSON, Some("OllamaGenerate")), (LINES, None)],
    ),
    model(
        "/api/embed",
        "ollamaEmbed",
        "Ollama's embeddings",
        Ollama,
        "OllamaEmbedRequest",
        &[(JSON, Some("OllamaEmbed"))],
    ),
    model(
        "/api/embeddings",
        "ollamaEmbeddings",
        "Ollama's older path for one embedding",
        Ollama,
        "OllamaEmbeddingsRequest",
        &[(JSON, Some("OllamaEmbeddings"))],
    ),
    Described {
        path: "/api/show",
        method: "post",
        id: "ollamaShow",
        summary: "What a model is",
        dialect: Ollama,
        says: Says::Reads,
        request: Some("OllamaShowRequest"),
        answer: Some(&[(JSON, Some("OllamaShow"))]),
    },
    get(
        "/api/ps",
        "ollamaRunning",
        "The models that the local engine has in memory",
        (Ollama, Says::Lists),
        &[(JSON, Some("OllamaRunning"))],
    ),
    get(
        "/api/tags",
        "ollamaTags",
        "Ollama's list of models",
        (Ollama, Says::Lists),
        &[(JSON, Some("OllamaTags"))],
    ),
    get(
        "/api/version",
        "ollamaVersion",
        "The version of this program",
        (Ollama, Says::Static),
        &[(JSON, Some("OllamaVersion"))],
    ),
    get(
        "/health/live",
        "live",
        "200 while the process runs",
        (OpenAi, Says::Health),
        &[(JSON, Some("Live"))],
    ),
    get(
        "/health/ready",
        "ready",
        "200 while at least one endpoint may be asked",
        (OpenAi, Says::Health),
        &[(JSON, Some("Ready"))],
    ),
    get(
        "/v1/endpoints",
        "endpoints",
        "What is known of each endpoint",
        (OpenAi, Says::Lists),
        &[(JSON, Some("Endpoints"))],
    ),
    get(
        "/v1/routing/{request_id}",
        "routing",
        "What happened to a request of the last while; final once its stream has ended",
        (OpenAi, Says::Lists),
        &[(JSON, Some("RoutingReport"))],
    ),
    Described {
        path: "/v1/routing/{request_id}/feedback",
        method: "post",
        id: "feedback",
        summary: "How good the answer to a request of the last while was, once; the router learns from it",
        dialect: OpenAi,
        says: Says::Judges,
        request: Some("Feedback"),
        answer: Some(&[(JSON, Some("FeedbackTaken"))]),
    },
    kept(
        ("get", "/v1/studies"),
        "listStudies",
        "The names of the studies",
        Says::Lists,
        None,
        &[(JSON, Some("StudyNames"))],
    ),
    kept(
        ("post", "/v1/studies"),
        "createStudy",
        "Creates a study: 201; or finds the same one: 200; 409 names what is otherwise in one that is there",
        Says::Creates,
        Some("NewStudy"),
        &[(JSON, Some("Study"))],
    ),
    kept(
        ("get", "/v1/studies/{name}"),
        "getStudy",
        "All of a study",
        Says::Lists,
        None,
        &[(JSON, Some("Study"))],
    ),
    kept(
        ("delete", "/v1/studies/{name}"),
        "deleteStudy",
        "Removes a study and its trials",
        Says::Changes,
        None,
        NOTHING,
    ),
    kept(
        ("post", "/v1/studies/{name}/ask"),
        "askStudy",
        "What to try next",
        Says::Changes,
        Some("Ask"),
        &[(JSON, Some("Trials"))],
    ),
    kept(
        ("post", "/v1/studies/{name}/tell"),
        "tellStudy",
        "What came of a trial; values null: it failed, or was ended early",
        Says::Changes,
        Some("Tell"),
        NOTHING,
    ),
    kept(
        ("get", "/v1/studies/{name}/best"),
        "bestTrial",
        "The best of the complete trials that meet all constraints",
        Says::Lists,
        None,
        &[(JSON, Some("Best"))],
    ),
    kept(
        ("get", "/v1/studies/{name}/report"),
        "studyReport",
        "A page for people",
        Says::Lists,
        None,
        &[(HTML, None)],
    ),
    kept(
        ("get", "/v1/bandits/{name}/report"),
        "banditReport",
        "A page for people",
        Says::Lists,
        None,
        &[(HTML, None)],
    ),
    kept(
        ("post", "/v1/studies/{name}/intermediate"),
        "reportIntermediate",
        "A value on a trial's way, and whether the pruner would end it",
        Says::Changes,
        Some("Intermediate"),
        &[(JSON, Some("ShouldPrune"))],
    ),
    kept(
        ("post", "/v1/studies/{name}/heartbeat"),
        "heartbeat",
        "The worker of a trial lives; 409: the trial was given up",
        Says::Changes,
        Some("TrialId"),
        NOTHING,
    ),
    kept(
        ("post", "/v1/studies/{name}/choices"),
        "changeChoices",
        "What a categorical parameter can be from now on",
        Says::Changes,
        Some("Choices"),
        NOTHING,
    ),
    kept(
        ("get", "/v1/bandits"),
        "listBandits",
        "The names of the bandits",
        Says::Lists,
        None,
        &[(JSON, Some("BanditNames"))],
    ),
    kept(
        ("post", "/v1/bandits"),
        "createBandit",
        "Creates a bandit: 201; or finds the same one: 200",
        Says::Creates,
        Some("NewBandit"),
        &[(JSON, Some("Bandit"))],
    ),
    kept(
        ("get", "/v1/bandits/{name}"),
        "getBandit",
        "What is known of a bandit's arms",
        Says::Lists,
        None,
        &[(JSON, Some("Bandit"))],
    ),
    kept(
        ("post", "/v1/bandits/{name}/select"),
        "selectArm",
        "Chooses an arm; its reward is waited for for an hour",
        Says::Changes,
        Some("Select"),
        &[(JSON, Some("Decision"))],
    ),
    kept(
        ("post", "/v1/bandits/{name}/reward"),
        "rewardDecision",
        "What came of a decision; it is kept when the answer comes",
        Says::Changes,
        Some("Reward"),
        NOTHING,
    ),
    kept(
        ("post", "/v1/optimize"),
        "optimize",
        "With which parameters to call a model for a kind of task, within limits",
        Says::Changes,
        Some("Optimize"),
        &[(JSON, Some("Advice"))],
    ),
    kept(
        ("post", "/v1/outcomes"),
        "recordOutcome",
        "What came of such a call; it is kept when the answer comes, and each part counts once",
        Says::Changes,
        Some("Outcome"),
        NOTHING,
    ),
    get("/metrics", "metrics", "Counts in Prometheus' text format", (OpenAi, Says::Lists), &[(TEXT, None)]),
    get("/openapi.json", "openapi", "This document", (OpenAi, Says::Static), &[(JSON, Some("OpenApi"))]),
    get("/", "about", "A few lines about what runs here", (OpenAi, Says::Static), &[(TEXT, None)]),
];
