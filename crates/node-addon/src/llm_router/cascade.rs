//! By what the first answer of a cascade is judged: a check of the core, or a function in JavaScript.

use std::sync::Arc;

use bytes::Bytes;
use napi::Status;
use napi::bindgen_prelude::{Function, Promise};
use napi::threadsafe_function::ThreadsafeFunction;
use napi_derive::napi;
use runtime::answer_check::{BadCheck, Check};
use runtime::{Predicate, RuntimeError};

use crate::error::Crossing;
use crate::fast_llm_coordinator::shapes::Completion;

/// A check and its numbers.
#[napi(object, object_to_js = false)]
pub struct CascadeAsk {
    /// `on`, `schema`, `self-consistency` or `logprob`.
    pub check: String,
    /// How many answers are to agree.
    pub k: Option<f64>,
    /// What is to be reached.
    pub threshold: Option<f64>,
}

/// A function that resolves to 1 where the answer does, to 0 where it does not.
pub(super) type AskPredicate<'a> = Function<'a, Completion, Promise<u32>>;

/// Does not keep the process alive: the call that waits for it does.
struct JsPredicate(ThreadsafeFunction<Completion, Promise<u32>, Completion, Status, false, true>);

impl Predicate for JsPredicate {
    fn accepts(
        &self,
        answer: Bytes,
        report: runtime::RoutingReport,
    ) -> futures_util::future::BoxFuture<'_, Result<bool, RuntimeError>> {
        let completion = Completion { body: Vec::from(answer).into(), routing: report.into() };
        Box::pin(async move {
            let said = match self.0.call_async_catch(completion).await {
                Ok(promise) => promise.await,
                Err(error) => Err(error),
            };
            match said {
                Ok(1) => Ok(true),
                Ok(0) => Ok(false),
                // The wrapper knows what was thrown, and throws that.
                _ => Err(RuntimeError::Internal { message: "the predicate of a cascade failed".to_owned() }),
            }
        })
    }
}

pub(super) fn judged_by(
    cascade: Option<&CascadeAsk>,
    predicate: Option<AskPredicate<'_>>,
) -> napi::Result<Option<runtime::CascadeAsk>> {
    if let Some(predicate) = predicate {
        let function = predicate.build_threadsafe_function::<Completion>().weak::<true>().build()?;
        return Ok(Some(runtime::CascadeAsk::Predicate(Arc::new(JsPredicate(function)))));
    }
    let Some(CascadeAsk { check, k, threshold }) = cascade else { return Ok(None) };
    let refused = |BadCheck { field, expected, got }: BadCheck| {
        let field = if field == "cascade" { "check" } else { field };
        Crossing::from(RuntimeError::Input(llm_wire::WireError::Invalid {
            field: format!("options.cascade.{field}"),
            expected,
            got,
        }))
    };
    Ok(Some(runtime::CascadeAsk::Check(Check::read(check, *k, *threshold).map_err(refused)?)))
}
