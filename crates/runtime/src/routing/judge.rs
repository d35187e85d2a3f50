//! Whether the answers of a cascade's first stage do.

use std::fmt;
use std::sync::Arc;

use answer_check::{Check, Shape, TokenChoice, agreement, lowest_margin};
use bytes::Bytes;
use fast_llm_coordinator::RoutingReport;
use futures_util::future::BoxFuture;
use llm_wire::WireError;
use llm_wire::openai::{self, ChatRequest};
use serde_json::Value;

use crate::errors::RuntimeError;

/// Decides whether an answer is good enough to be given.
pub trait Predicate: Send + Sync {
    /// Whether this answer does, an OpenAI `chat.completion`; `report` says how it travelled. What cannot be decided is an error, which ends the request.
    fn accepts(&self, answer: Bytes, report: RoutingReport) -> BoxFuture<'_, Result<bool, RuntimeError>>;
}

/// By what the first stage of a cascade is judged.
#[derive(Clone)]
pub enum CascadeAsk {
    /// A check of ours.
    Check(Check),
    /// The caller's own.
    Predicate(Arc<dyn Predicate>),
}

impl fmt::Debug for CascadeAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(check) => f.debug_tuple("Check").field(check).finish(),
            Self::Predicate(_) => f.write_str("Predicate"),
        }
    }
}

impl PartialEq for CascadeAsk {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Check(one), Self::Check(other)) => one == other,
            (Self::Predicate(one), Self::Predicate(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// How a request's first stage is asked and judged.
pub(super) struct Judge {
    /// The check with the numbers that count; `None`: a predicate.
    pub(super) check: Option<Check>,
    by: By,
}

enum By {
    Shape(Shape),
    Agreement {
        threshold: f64,
    },
    Margin {
        threshold: f64,
        /// How many of the likeliest tokens the client wants told; `None`: it wants no probabilities.
        keeps: Option<u64>,
    },
    Predicate(Arc<dyn Predicate>),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The answer that is given; `None`: none does.
    pub(super) accepted: Option<usize>,
    /// What the check measured.
    pub(super) measured: Option<f64>,
    /// Why nothing was measured, or an answer does not do; without a word of it.
    pub(super) why: Option<String>,
}

impl Verdict {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::default() }
    }
}

/// The temperature of answers that are to differ, where the request does not say: that of the paper's experiments.
const SAMPLING: &str = "0.7";

impl Judge {
    /// # Errors
    /// `UAT_INVALID_INPUT` where the request cannot be judged so.
    pub(super) fn of(ask: &CascadeAsk, request: &ChatRequest) -> Result<Self, RuntimeError> {
        if request.n() != 1 {
            return Err(invalid("n", "1, because the answer is judged (cascade)", request.n()));
        }
        let check = match ask {
            CascadeAsk::Check(check) => *check,
            CascadeAsk::Predicate(predicate) => {
                return Ok(Self { check: None, by: By::Predicate(Arc::clone(predicate)) });
            }
        };
        let wanted = request.wanted()?;
        let shape = || -> Result<Option<Shape>, RuntimeError> {
            let Some(format) = wanted.response_format else { return Ok(None) };
            let format: Value = serde_json::from_str(format.get()).unwrap_or_default();
            Shape::of(&format).map_err(|_| {
                let expected = "a JSON schema that refers to nothing outside of itself, because the answer is checked (cascade)";
                invalid("response_format.json_schema.schema", expected, "another")
            })
        };
        let (check, by) = match check {
            Check::Fitting => match shape()? {
                Some(shape) => (Check::Schema, By::Shape(shape)),
                None => return Self::of(&CascadeAsk::Check(Check::AGREEMENT), request),
            },
            Check::Schema => {
                let expected =
                    "json_schema or json_object, because the answer is checked for it (cascade=schema)";
                let shape =
                    shape()?.ok_or_else(|| invalid("response_format", expected, "nothing of the kind"))?;
                (check, By::Shape(shape))
            }
            Check::SelfConsistency { threshold, .. } => {
                if request.temperature() == Some(0.0) {
                    let expected = "more than 0, because answers that cannot differ agree in nothing (cascade=self-consistency)";
                    return Err(invalid("temperature", expected, 0));
                }
                (check, By::Agreement { threshold })
            }
            Check::Logprob { threshold } => {
                let keeps = (wanted.logprobs == Some(true)).then(|| wanted.top_logprobs.unwrap_or(0));
                (check, By::Margin { threshold, keeps })
            }
        };
        Ok(Self { check: Some(check), by })
    }

    /// How many answers it takes.
    pub(super) fn answers(&self) -> u32 {
        self.check.map_or(1, |check| check.answers())
    }

    /// Whether answers have to be made anew, whatever a cache has.
    pub(super) fn needs_fresh(&self) -> bool {
        matches!(self.by, By::Agreement { .. })
    }

    /// The requests of the first stage.
    ///
    /// # Errors
    /// Where the client asked in another dialect what cannot be said in OpenAI's.
    pub(super) fn requests(&self, request: &ChatRequest) -> Result<Vec<ChatRequest>, WireError> {
        let wanted = request.wanted()?;
        let members = |number: u32| match &self.by {
            By::Shape(_) | By::Predicate(_) => Vec::new(),
            By::Agreement { .. } => {
                let mut members = Vec::new();
                if request.temperature().is_none() {
                    members.push(("temperature", SAMPLING.to_owned()));
                }
                // One seed would give one answer.
                if let Some(seed) = wanted.seed {
                    members.push(("seed", seed.wrapping_add(i64::from(number)).to_string()));
                }
                members
            }
            By::Margin { .. } => {
                let top = wanted.top_logprobs.unwrap_or(0).max(2);
                vec![("logprobs", "true".to_owned()), ("top_logprobs", top.to_string())]
            }
        };
        (0..self.answers()).map(|number| request.whole_with(members(number))).collect()
    }

    /// Whether one of the answers does; `None` for one that did not come.
    ///
    /// # Errors
    /// Those of a predicate.
    pub(super) async fn verdict(
        &self,
        answers: &[Option<(&Bytes, &RoutingReport)>],
    ) -> Result<Verdict, RuntimeError> {
        let Some(&(first, report)) = answers.iter().flatten().next() else {
            return Ok(Verdict::refused("no answer"));
        };
        let said = |answer: &Bytes| openai::said(answer).unwrap_or_default();
        let reaches = |measured: f64, threshold: f64, index: usize, short: String| Verdict {
            accepted: (measured >= threshold).then_some(index),
            measured: Some(measured),
            why: (measured < threshold).then_some(short),
        };
        Ok(match &self.by {
            By::Predicate(predicate) => match predicate.accepts(first.clone(), report.clone()).await? {
                true => Verdict { accepted: Some(0), ..Verdict::default() },
                false => Verdict::refused("the caller's predicate refused it"),
            },
            By::Shape(shape) => match said(first).text.map(|text| shape.fits(&text)) {
                Some(Ok(())) => Verdict { accepted: Some(0), measured: Some(1.0), why: None },
                Some(Err(unfit)) => Verdict { measured: Some(0.0), ..Verdict::refused(unfit.to_string()) },
                None => Verdict { measured: Some(0.0), ..Verdict::refused("it has no text") },
            },
            By::Agreement { threshold } => {
                let texts: Vec<Option<String>> =
                    answers.iter().map(|answer| said(answer.as_ref()?.0).text).collect();
                let Some(agreed) = agreement(&texts) else {
                    return Ok(Verdict { measured: Some(0.0), ..Verdict::refused("no answer has a text") });
                };
                let share = agreed.answers as f64 / answers.len() as f64;
                let short = format!("{} of {} answers agree", agreed.answers, answers.len());
                reaches(share, *threshold, agreed.index, short)
            }
            By::Margin { threshold, .. } => {
                let tokens: Vec<TokenChoice> = said(first)
                    .tokens
                    .iter()
                    .map(|token| TokenChoice { logprob: token.logprob, runner_up: token.runner_up })
                    .collect();
                match lowest_margin(&tokens) {
                    Some(margin) => {
                        let short = "it was not sure enough of its tokens".to_owned();
                        reaches(margin, *threshold, 0, short)
                    }
                    None => {
                        Verdict::refused("its endpoint told no log probabilities of two tokens at a place")
                    }
                }
            }
        })
    }

    /// The answer as the client asked for it.
    ///
    /// # Errors
    /// Where it is no JSON object.
    pub(super) fn given(&self, answer: &Bytes) -> Result<Bytes, WireError> {
        match self.by {
            By::Margin { keeps, .. } => openai::without_logprobs(answer, keeps),
            By::Shape(_) | By::Agreement { .. } | By::Predicate(_) => Ok(answer.clone()),
        }
    }
}

fn invalid(field: &str, expected: &str, got: impl ToString) -> RuntimeError {
    RuntimeError::Input(WireError::Invalid {
        field: field.to_owned(),
        expected: expected.to_owned(),
        got: got.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use fast_llm_coordinator::CacheOutcome;
    use serde_json::json;

    use super::*;

    fn request(members: Value) -> ChatRequest {
        let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        ChatRequest::parse(body.to_string().into()).unwrap()
    }

    fn judge(check: Check, members: Value) -> Result<Judge, RuntimeError> {
        Judge::of(&CascadeAsk::Check(check), &request(members))
    }

    fn answer(text: &str) -> Bytes {
        json!({ "choices": [{ "message": { "role": "assistant", "content": text } }] }).to_string().into()
    }

    fn report() -> RoutingReport {
        RoutingReport {
            request_id: "r".into(),
            model: "m".into(),
            endpoint: "e".into(),
            cache: CacheOutcome::Bypass,
            attempts: Vec::new(),
            overhead_us: 1,
            dropped: Vec::new(),
            usage: None,
        }
    }

    async fn judged(judge: &Judge, answers: &[Option<&str>]) -> Verdict {
        let answers: Vec<Option<(Bytes, RoutingReport)>> =
            answers.iter().map(|text| text.map(|text| (answer(text), report()))).collect();
        let answers: Vec<_> =
            answers.iter().map(|one| one.as_ref().map(|(body, report)| (body, report))).collect();
        judge.verdict(&answers).await.unwrap()
    }

    async fn verdict(check: Check, members: Value, answers: &[Option<&str>]) -> Verdict {
        judged(&judge(check, members).unwrap(), answers).await
    }

    struct Says(&'static str);

    impl Predicate for Says {
        fn accepts(&self, answer: Bytes, report: RoutingReport) -> BoxFuture<'_, Result<bool, RuntimeError>> {
            Box::pin(
                async move { Ok(&*report.model == "m" && String::from_utf8_lossy(&answer).contains(self.0)) },
            )
        }
    }

    #[tokio::test]
    async fn a_predicate_is_asked_once_the_answer_is_whole() {
        let ask = CascadeAsk::Predicate(Arc::new(Says("yes")));
        let judge = Judge::of(&ask, &request(json!({ "temperature": 0 }))).unwrap();
        assert_eq!((judge.answers(), judge.needs_fresh()), (1, false));
        assert_eq!(judged(&judge, &[Some("yes, sir")]).await.accepted, Some(0));
        assert_eq!(
            judged(&judge, &[Some("no")]).await.why.as_deref(),
            Some("the caller's predicate refused it")
        );
    }

    #[test]
    fn what_cannot_be_judged_is_refused_by_its_field() {
        let agreement = Check::AGREEMENT;
        let outside =
            json!({ "type": "json_schema", "json_schema": { "schema": { "$ref": "http://127.0.0.1:9/" } } });
        for (check, members, field) in [
            (Check::Schema, json!({}), "response_format"),
            (Check::Schema, json!({ "response_format": { "type": "text" } }), "response_format"),
            (Check::Schema, json!({ "response_format": outside }), "response_format.json_schema.schema"),
            (agreement, json!({ "temperature": 0 }), "temperature"),
            (agreement, json!({ "n": 2 }), "n"),
        ] {
            let error = judge(check, members).err().unwrap();
            assert_eq!((error.code(), error.param()), ("UAT_INVALID_INPUT", Some(field)), "{error}");
        }
    }

    #[test]
    fn the_fitting_check_is_the_schema_where_there_is_one() {
        let object = json!({ "response_format": { "type": "json_object" } });
        assert_eq!(judge(Check::Fitting, object).unwrap().check, Some(Check::Schema));
        assert_eq!(judge(Check::Fitting, json!({})).unwrap().check, Some(Check::AGREEMENT));
    }

    #[test]
    fn the_first_stage_is_asked_for_what_is_judged() {
        let bodies = |check, members: Value| -> Vec<Value> {
            let asked = judge(check, members.clone()).unwrap().requests(&request(members)).unwrap();
            asked.iter().map(|request| serde_json::from_slice(request.body()).unwrap()).collect()
        };
        let samples = bodies(Check::AGREEMENT, json!({ "seed": 5, "stream": true }));
        let seeds: Vec<&Value> = samples.iter().map(|body| &body["seed"]).collect();
        assert_eq!(seeds, [5, 6, 7]);
        assert!(samples.iter().all(|body| body["temperature"] == 0.7 && body["stream"] == false));
        assert_eq!(bodies(Check::AGREEMENT, json!({ "temperature": 1 }))[0]["temperature"], 1);
        let margin = Check::Logprob { threshold: 1.0 };
        let asked = bodies(margin, json!({ "top_logprobs": 5, "logprobs": true }));
        assert_eq!((&asked[0]["logprobs"], &asked[0]["top_logprobs"]), (&json!(true), &json!(5)));
        assert_eq!(bodies(margin, json!({}))[0]["top_logprobs"], 2);
    }

    #[tokio::test]
    async fn the_majority_is_given_and_what_did_not_come_counts_against_it() {
        let agreed = verdict(Check::AGREEMENT, json!({}), &[Some("41"), Some("It is 42."), Some("42")]).await;
        assert_eq!((agreed.accepted, agreed.measured), (Some(1), Some(2.0 / 3.0)));
        let lost = verdict(Check::AGREEMENT, json!({}), &[None, None, Some("42")]).await;
        assert_eq!((lost.accepted, lost.why.as_deref()), (None, Some("1 of 3 answers agree")));
    }

    #[tokio::test]
    async fn an_answer_of_the_right_shape_does() {
        let object = || json!({ "response_format": { "type": "json_object" } });
        assert_eq!(verdict(Check::Schema, object(), &[Some("{}")]).await.accepted, Some(0));
        let wrong = verdict(Check::Schema, object(), &[Some("Sure! {}")]).await;
        assert_eq!((wrong.accepted, wrong.why.as_deref()), (None, Some("it is no JSON")));
    }

    #[tokio::test]
    async fn without_probabilities_nothing_is_measured() {
        let verdict = verdict(Check::Logprob { threshold: 0.0 }, json!({}), &[Some("hello")]).await;
        assert!(verdict.accepted.is_none() && verdict.measured.is_none(), "{verdict:?}");
        assert!(verdict.why.unwrap().contains("log probabilities"));
    }
}
