use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::StreamExt;
use napi::Env;
use napi::bindgen_prelude::{Buffer, PromiseRaw};
use napi_derive::napi;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;

use crate::error::Crossing;
use crate::fast_llm_coordinator::shapes::RoutingReport;
use crate::opened::Call;

/// Chunks read ahead of a consumer that is slower than the model: enough for one batch per turn of the event loop,
/// little enough that a consumer which stops also stops the socket.
const READ_AHEAD: usize = 64;

/// A streamed answer. A task reads it ahead, at most [`READ_AHEAD`] chunks, and closes the connection as soon as the
/// call is cancelled, whether or not somebody waits in `next` then.
#[napi]
pub struct ChatStream {
    call: Arc<Call>,
    /// Contended only if the wrapper called `next` twice at once, which it does not.
    unread: Arc<Mutex<Unread>>,
    /// Present once the answer is whole.
    report: Arc<OnceLock<runtime::RoutingReport>>,
}

struct Unread {
    chunks: mpsc::Receiver<Result<Bytes, Crossing>>,
    /// An error that came in one batch with chunks before it: they are delivered first.
    failed: Option<Crossing>,
}

#[napi]
impl ChatStream {
    /// The next chunks as one JSON array in UTF-8; null once the answer is whole.
    #[napi(catch_unwind, ts_return_type = "Promise<Buffer | null>")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Option<Buffer>>> {
        let (call, unread, report) =
            (Arc::clone(&self.call), Arc::clone(&self.unread), Arc::clone(&self.report));
        env.spawn_future(async move {
            let mut unread = unread.lock().await;
            tokio::select! {
                biased;
                ended = call.ended() => Err(ended.into()),
                batch = unread.batch() => match batch {
                    Err(error) => Err(call.signed(error).into()),
                    Ok(Some(chunks)) => Ok(Some(Buffer::from(chunks))),
                    Ok(None) if report.get().is_some() => Ok(None),
                    Ok(None) => Err(Crossing::internal("the task that reads the stream ended without saying why").into()),
                }
            }
        })
    }

    /// How the request travelled. Throws before `next` has resolved to null.
    #[napi(catch_unwind)]
    pub fn report(&self) -> napi::Result<RoutingReport> {
        match self.report.get() {
            Some(report) => Ok(report.clone().into()),
            None => Err(Crossing::internal("the stream has not ended").into()),
        }
    }

    /// What the router decided, as `RoutePlan` in JSON; null where the request named its model.
    #[napi(catch_unwind)]
    pub fn plan(&self) -> Option<String> {
        self.call.decision.get().map(|routed| routed.plan().to_string())
    }
}

impl ChatStream {
    pub(crate) fn read_ahead(mut answer: runtime::ChatStream, call: Call, readers: &TaskTracker) -> Self {
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        let call = Arc::new(call);
        let report = Arc::new(OnceLock::new());
        let (reader_call, reader_report) = (Arc::clone(&call), Arc::clone(&report));
        readers.spawn(async move {
            let reading = async {
                while let Some(chunk) = answer.next().await {
                    let failed = chunk.is_err();
                    // Nobody listens: the JavaScript object was collected.
                    if sender.send(chunk.map_err(Crossing::from)).await.is_err() || failed {
                        return;
                    }
                }
                // A stream ends without an error only when the answer is whole; it is set once, here.
                let _ = reader_report.set(answer.report());
            };
            tokio::select! {
                () = reading => {}
                _ = reader_call.ended() => {}
                () = sender.closed() => {}
            }
        });
        Self { call, unread: Arc::new(Mutex::new(Unread { chunks, failed: None })), report }
    }
}

impl Unread {
    /// Everything that has been read, as one JSON array; `None` at the end.
    async fn batch(&mut self) -> Result<Option<Vec<u8>>, Crossing> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut ready = Vec::new();
        if self.chunks.recv_many(&mut ready, READ_AHEAD).await == 0 {
            return Ok(None);
        }
        let mut json =
            Vec::with_capacity(2 + ready.iter().flatten().map(|chunk| chunk.len() + 1).sum::<usize>());
        for chunk in ready {
            match chunk {
                Ok(chunk) => {
                    json.push(if json.is_empty() { b'[' } else { b',' });
                    json.extend_from_slice(&chunk);
                }
                Err(error) if json.is_empty() => return Err(error),
                Err(error) => self.failed = Some(error),
            }
        }
        json.push(b']');
        Ok(Some(json))
    }
}
