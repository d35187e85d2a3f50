//! A fake model provider as a program: for tests in other languages, and to see what a client makes of a bad day.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use testkit::{Answer, Behaviour, Certificate, FakeProvider};

/// A model provider on 127.0.0.1 that misbehaves as told.
///
/// Speaks the dialects of OpenAI (`/v1/chat/completions`), Azure (`/openai/...`), Anthropic (`/v1/messages`), Gemini
/// (`/v1beta/models/...`) and Ollama (`/api/chat`), with their embeddings, counts and lists. The behaviour can be
/// changed while it runs with `POST /__control`; `GET /__requests` and `GET /__disconnects` tell what was seen.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// What every chat request gets.
    #[arg(long, value_enum, default_value = "answer")]
    behaviour: Kind,
    /// What every chat request gets, as JSON in place of all the flags: `{"behaviour": "delayed", "by_ms": 50}`.
    #[arg(long, value_name = "JSON", conflicts_with = "behaviour")]
    script: Option<String>,
    /// Also listens with TLS, under a certificate like this; a second line says where, and where its authority lies.
    #[arg(long, value_enum)]
    tls: Option<Tls>,
    /// Text of the answer; without it, numbered words.
    #[arg(long)]
    text: Option<String>,
    /// Content chunks of a streamed answer.
    #[arg(long, default_value_t = 20)]
    chunks: usize,
    /// Milliseconds before the first content.
    #[arg(long, default_value_t = 0)]
    first_token_delay_ms: u64,
    /// Milliseconds between two chunks.
    #[arg(long, default_value_t = 0)]
    chunk_delay_ms: u64,
    /// Content chunks before the fault, for the behaviours named `...-after`.
    #[arg(long, default_value_t = 10)]
    after_chunks: usize,
    /// Status for `--behaviour status`.
    #[arg(long, default_value_t = 503)]
    status: u16,
    /// Seconds of a `Retry-After` header for `--behaviour status`.
    #[arg(long)]
    retry_after: Option<u64>,
    /// Bytes of each piece for `--behaviour slow-drip`.
    #[arg(long, default_value_t = 1)]
    bytes_per: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Answer,
    Status,
    Hang,
    CloseBeforeResponse,
    CloseBeforeContent,
    SseErrorBeforeContent,
    CutAfter,
    ResetAfter,
    EndAfter,
    StallAfter,
    ErrorEventAfter,
    ErrorInside200,
    Garbage,
    NotHttp,
    SlowDrip,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tls {
    Trusted,
    Expired,
    WrongName,
    SelfSigned,
}

impl From<Tls> for Certificate {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Trusted => Self::Trusted,
            Tls::Expired => Self::Expired,
            Tls::WrongName => Self::WrongName,
            Tls::SelfSigned => Self::SelfSigned,
        }
    }
}

impl Arguments {
    fn first(&self) -> serde_json::Result<Behaviour> {
        self.script.as_deref().map_or_else(|| Ok(self.behaviour()), serde_json::from_str)
    }

    fn behaviour(&self) -> Behaviour {
        let pace = Duration::from_millis(self.chunk_delay_ms);
        let first = Duration::from_millis(self.first_token_delay_ms);
        let answer = Answer { text: self.text.clone(), ..Answer::tokens(self.chunks) };
        let answer = answer.paced(pace).first_token_after(first);
        let chunks = self.after_chunks;
        match self.behaviour {
            Kind::Answer => Behaviour::Answer(answer),
            Kind::Status => Behaviour::Status {
                code: self.status,
                headers: self.retry_after.iter().map(|s| ("retry-after".to_owned(), s.to_string())).collect(),
                body: None,
            },
            Kind::Hang => Behaviour::Hang,
            Kind::CloseBeforeResponse => Behaviour::CloseBeforeResponse,
            Kind::CloseBeforeContent => Behaviour::CloseBeforeContent,
            Kind::SseErrorBeforeContent => Behaviour::SseErrorBeforeContent,
            Kind::CutAfter => Behaviour::CutAfter { chunks, answer },
            Kind::ResetAfter => Behaviour::ResetAfter { chunks, answer },
            Kind::EndAfter => Behaviour::EndAfter { chunks, answer },
            Kind::StallAfter => Behaviour::StallAfter { chunks, answer },
            Kind::ErrorEventAfter => Behaviour::ErrorEventAfter { chunks, answer },
            Kind::ErrorInside200 => Behaviour::ErrorInside200,
            Kind::Garbage => Behaviour::Garbage,
            Kind::NotHttp => Behaviour::NotHttp,
            Kind::SlowDrip => Behaviour::SlowDrip { bytes_per: self.bytes_per, every: pace, answer },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to try when standard error is closed too.
            let _ = writeln!(std::io::stderr(), "uat-fake-provider: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> std::io::Result<()> {
    let first = arguments.first().map_err(std::io::Error::other)?;
    let provider = FakeProvider::start_on(arguments.port).await?;
    provider.set_default(first);
    writeln!(std::io::stdout(), "listening on {}", provider.base_url())?;
    // The folder of the authority's certificate lasts as long as the program.
    let folder = tempfile::tempdir()?;
    if let Some(tls) = arguments.tls {
        let endpoint = provider.also_on_tls(tls.into()).await?;
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, &endpoint.ca_pem)?;
        writeln!(std::io::stdout(), "listening on {} under {}", endpoint.base_url(), ca.display())?;
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    provider.shutdown().await;
    Ok(())
}
