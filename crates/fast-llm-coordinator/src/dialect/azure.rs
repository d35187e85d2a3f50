//! OpenAI's documents at Azure's addresses: <https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle>.

use bytes::Bytes;
use http::Uri;
use llm_wire::{Translated, WireError};

use super::address::Base;
use super::{AnswerNames, Decoder, Speaks, Written, no_count, openai, translated};
use crate::config::EndpointConfig;
use crate::error::CoordinatorError;
use crate::question::{Asked, Question};

/// Where a question goes.
pub(super) enum Azure {
    /// The versionless interface, where the document names the model.
    Versionless(openai::OpenAi),
    /// A dated one, where the path names a deployment.
    Dated { root: String, version: String },
}

impl Azure {
    pub(super) fn new(config: &EndpointConfig, base: &Base) -> Result<Self, CoordinatorError> {
        Ok(match &config.api_version {
            None => Self::Versionless(openai::OpenAi::below(config, base, "/openai/v1")?),
            Some(version) => {
                // Checked once here: what a request adds is escaped.
                let root = base.at(config, "/openai/deployments")?;
                base.at(config, &format!("/openai/deployments/x?api-version={version}"))?;
                Self::Dated { root: root.to_string(), version: version.clone() }
            }
        })
    }
}

impl Speaks for Azure {
    fn uri(&self, question: Question<'_>, model: &str) -> Result<Uri, WireError> {
        let (root, version) = match self {
            Self::Versionless(openai) => return openai.uri(question, model),
            Self::Dated { root, version } => (root, version),
        };
        let what = match question {
            Question::Chat(_) => "chat/completions",
            Question::Embeddings(_) => "embeddings",
            Question::Count(_) => return Err(no_count()),
        };
        let deployment = super::address::escaped(model);
        format!("{root}/{deployment}/{what}?api-version={version}").parse().map_err(|_| WireError::Invalid {
            field: "model".to_owned(),
            expected: "the name of a deployment".to_owned(),
            got: model.to_owned(),
        })
    }

    fn body(&self, asked: Asked<'_>) -> Result<Translated, WireError> {
        Ok(Translated::whole(openai::body(asked.question, asked.model)))
    }

    fn whole_answer(
        &self,
        _question: Question<'_>,
        body: Bytes,
        _names: AnswerNames<'_>,
    ) -> Result<Written, WireError> {
        Ok(translated(body))
    }

    fn decoder(&self, _question: Question<'_>, _names: AnswerNames<'_>) -> Box<dyn Decoder> {
        Box::new(openai::Chunks::new())
    }
}
