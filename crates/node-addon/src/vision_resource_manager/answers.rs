//! Answers that come from the call itself, or later.

use std::mem;
use std::sync::Arc;

use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use parking_lot::Mutex;
use runtime::vision_resource_manager::{ManagerError, RequestId};

use super::news::{GpuNews, Tell};

/// What the manager says to a request.
type Said<T> = Result<T, ManagerError>;

/// Whose turn it is to say what came of a request.
enum Turn<T> {
    /// The call is under way.
    Calling,
    /// It has the answer.
    Answered(Said<T>),
    /// It said that the request waits: the answer goes to the event loop.
    Waiting(RequestId),
}

/// Asks, and gives the answer, or the number of the request that waits for it. Another thread may answer while the call returns; either
/// it comes in time, or as news.
pub(super) fn asked<T: Send + 'static>(
    tell: &Arc<Tell>,
    news: fn(RequestId, Said<T>) -> GpuNews,
    ask: impl FnOnce(Box<dyn FnOnce(Said<T>) + Send>) -> Result<RequestId, ManagerError>,
) -> Result<Result<T, RequestId>, ManagerError> {
    let turn = Arc::new(Mutex::new(Turn::Calling));
    let (theirs, tell) = (Arc::clone(&turn), Arc::clone(tell));
    let answer = move |said| {
        let mut turn = theirs.lock();
        match *turn {
            Turn::Waiting(request) => {
                // Fails only while the environment is being torn down, when nobody waits any more.
                tell.call(news(request, said), ThreadsafeFunctionCallMode::NonBlocking);
            }
            Turn::Calling | Turn::Answered(_) => *turn = Turn::Answered(said),
        }
    };
    let request = ask(Box::new(answer))?;
    match mem::replace(&mut *turn.lock(), Turn::Waiting(request)) {
        Turn::Answered(said) => said.map(Ok),
        Turn::Calling | Turn::Waiting(_) => Ok(Err(request)),
    }
}
