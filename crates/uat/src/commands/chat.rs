//! `uat chat`

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use llm_wire::openai::ChatRequest;
use runtime::{Answer, ChatOptions, Runtime, RuntimeError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ConfigArgs, block_on};
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to ask; `-` reads standard input. Without it, standard input is read too, or on a terminal a conversation
    /// begins.
    prompt: Option<String>,
    /// The model; without it the first that is here, in the order of `/v1/models`.
    #[arg(short, long)]
    model: Option<String>,
    /// What the model is told about its task before the conversation.
    #[arg(short, long, value_name = "TEXT")]
    system: Option<String>,
    /// 0 for the likeliest answer, up to 2 for surprising ones.
    #[arg(short, long)]
    temperature: Option<f64>,
    /// The longest answer, in tokens.
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// The same seed gives the same answer where the model's endpoint supports it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print the whole answer as JSON, with how it was routed.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?.config;
    let runtime = Runtime::new(config, Vec::new())?;
    block_on(async {
        let result = converse(args, &runtime).await;
        runtime.close().await;
        result
    })
}

async fn converse(args: &Args, runtime: &Arc<Runtime>) -> Result<(), Failure> {
    runtime.ready().await?;
    let model = match &args.model {
        Some(model) => model.clone(),
        None => first_model(runtime)?,
    };
    let mut conversation = Conversation { args, model, messages: Vec::new() };
    if let Some(system) = &args.system {
        conversation.say("system", system);
    }
    match question(args)? {
        Some(question) => {
            conversation.say("user", &question);
            if args.json {
                conversation.print_document(runtime).await
            } else {
                conversation.stream(runtime).await.map(drop)
            }
        }
        None => interactive(&mut conversation, runtime).await,
    }
}

fn first_model(runtime: &Runtime) -> Result<String, Failure> {
    let models = runtime.models();
    // A local server that answers is better than a model of our own that must be fetched first.
    let answering = models.iter().find(|model| runtime.missing_file(&model.name).is_none());
    match answering.or(models.first()) {
        Some(model) => Ok(model.name.to_string()),
        None => Err(Failure::new(
            "UAT_MODEL_NOT_FOUND",
            "there is no model to ask: the engine is switched off and no [[models]] are configured",
        )
        .hint("uat config show")),
    }
}

/// The question, or `None` for a conversation in the terminal.
fn question(args: &Args) -> Result<Option<String>, Failure> {
    let stdin = io::stdin();
    match args.prompt.as_deref() {
        Some(prompt) if prompt != "-" => return Ok(Some(prompt.to_owned())),
        None if stdin.is_terminal() => {
            return if args.json { Err(Failure::usage("--json needs a prompt")) } else { Ok(None) };
        }
        _ => {}
    }
    let mut text = String::new();
    stdin.lock().read_to_string(&mut text)?;
    match text.trim() {
        "" => Err(Failure::usage("there is nothing on standard input; expected a prompt")),
        prompt => Ok(Some(prompt.to_owned())),
    }
}

/// Reads lines until the end of input. Ctrl-C ends the answer that is being written, or at the prompt the conversation.
async fn interactive(conversation: &mut Conversation<'_>, runtime: &Arc<Runtime>) -> Result<(), Failure> {
    writeln!(
        io::stderr(),
        "{} is listening; Ctrl-C ends an answer, Ctrl-D the conversation.",
        conversation.model
    )?;
    loop {
        write!(io::stderr(), "> ")?;
        // On a thread of its own: once Ctrl-C is listened for, it no longer ends a blocked read.
        let reading = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map(|count| (count > 0).then_some(line))
        });
        let line = tokio::select! {
            line = reading => line.map_err(io::Error::other)??,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                None
            }
        };
        let Some(line) = line else {
            writeln!(io::stderr())?;
            return Ok(());
        };
        if line.trim().is_empty() {
            continue;
        }
        conversation.say("user", line.trim());
        match conversation.stream(runtime).await {
            Ok(answer) => conversation.say("assistant", &answer),
            // What was not answered is not part of the history.
            Err(Failure::Interrupted) => {
                conversation.messages.pop();
                writeln!(io::stdout())?;
            }
            Err(failure @ Failure::Failed { .. }) => {
                conversation.messages.pop();
                failure.report();
            }
            Err(failure) => return Err(failure),
        }
    }
}

struct Conversation<'a> {
    args: &'a Args,
    model: String,
    messages: Vec<Value>,
}

impl Conversation<'_> {
    fn say(&mut self, role: &str, content: &str) {
        self.messages.push(json!({ "role": role, "content": content }));
    }

    fn request(&self, stream: bool) -> Result<ChatRequest, Failure> {
        let mut body = Map::new();
        body.insert("model".into(), self.model.as_str().into());
        body.insert("messages".into(), self.messages.as_slice().into());
        body.insert("stream".into(), stream.into());
        if let Some(temperature) = self.args.temperature {
            // JSON has no NaN: written as text it is refused with the field's name.
            let value = serde_json::Number::from_f64(temperature)
                .map_or_else(|| json!(temperature.to_string()), Value::Number);
            body.insert("temperature".into(), value);
        }
        let numbers = [("max_tokens", self.args.max_tokens), ("seed", self.args.seed)];
        body.extend(numbers.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
        Ok(ChatRequest::parse(Value::Object(body).to_string().into()).map_err(RuntimeError::from)?)
    }

    /// Prints the answer as it comes and returns it whole.
    async fn stream(&self, runtime: &Arc<Runtime>) -> Result<String, Failure> {
        let answering = self.stream_uninterrupted(runtime);
        tokio::select! {
            result = answering => result,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                Err(Failure::Interrupted)
            }
        }
    }

    async fn stream_uninterrupted(&self, runtime: &Arc<Runtime>) -> Result<String, Failure> {
        let options = ChatOptions { received: Instant::now(), ..ChatOptions::default() };
        let Answer::Stream(mut chunks) = runtime.chat(self.request(true)?, options).await? else {
            return Err(Failure::new("UAT_INTERNAL", "expected a stream, got a whole answer"));
        };
        let mut out = io::stdout();
        let mut answer = String::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(RuntimeError::from)?;
            let text = text_of(&chunk);
            out.write_all(text.as_bytes())?;
            out.flush()?;
            answer.push_str(&text);
        }
        if !answer.ends_with('\n') {
            writeln!(out)?;
        }
        Ok(answer)
    }

    async fn print_document(&self, runtime: &Arc<Runtime>) -> Result<(), Failure> {
        let answering = runtime.chat(self.request(false)?, ChatOptions::default());
        let answer = tokio::select! {
            answer = answering => answer?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Err(Failure::Interrupted);
            }
        };
        let Answer::Complete { body, report, .. } = answer else {
            return Err(Failure::new("UAT_INTERNAL", "expected a whole answer, got a stream"));
        };
        let mut document: Value = serde_json::from_slice(&body).map_err(io::Error::from)?;
        document["routing"] = serde_json::to_value(report).map_err(io::Error::from)?;
        Ok(writeln!(io::stdout(), "{document}")?)
    }
}

/// The text that a chunk adds to the first choice.
fn text_of(chunk: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        #[serde(default)]
        index: u32,
        delta: Delta,
    }
    #[derive(Deserialize)]
    struct Delta {
        content: Option<String>,
        refusal: Option<String>,
    }
    // A chunk without choices (usage) has no text.
    let Ok(chunk) = serde_json::from_slice::<Chunk>(chunk) else { return String::new() };
    let choice = chunk.choices.into_iter().find(|choice| choice.index == 0);
    choice.and_then(|choice| choice.delta.content.or(choice.delta.refusal)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_of_the_first_choice_is_printed() {
        assert_eq!(
            text_of(br#"{"choices":[{"index":1,"delta":{"content":"b"}},{"delta":{"content":"a"}}]}"#),
            "a"
        );
        assert_eq!(text_of(br#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#), "");
        assert_eq!(text_of(br#"{"choices":[],"usage":{"total_tokens":3}}"#), "");
    }
}
