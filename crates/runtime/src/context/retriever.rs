use context_pack::{Found, Passages};
use futures_util::future::BoxFuture;

/// Finds passages that a question is about.
pub(super) trait Retriever: Send + Sync {
    /// At most so many, the best first; or why there are none.
    fn retrieve<'a>(&'a self, question: &'a str, most: usize) -> BoxFuture<'a, Result<Vec<Found>, String>>;
}

/// BM25 in this process.
impl Retriever for Passages {
    fn retrieve<'a>(&'a self, question: &'a str, most: usize) -> BoxFuture<'a, Result<Vec<Found>, String>> {
        Box::pin(std::future::ready(Ok(self.search(question, most))))
    }
}
