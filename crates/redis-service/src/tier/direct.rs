//! Commands to one certain server of a cluster, which no redirect takes elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::{Node, RedisTier};
use crate::connection::{Answer, Exchange, Overdue, Phase, Replies};
use crate::error::RedisServiceError;
use crate::resp::{Command, Value};

/// What came of a command that was sent by itself.
pub(crate) type Answered = Result<Value, RedisServiceError>;

/// One command to one connection, and who waits for its answer.
pub(crate) struct Call {
    frame: Bytes,
    patience: Duration,
    answer: Option<oneshot::Sender<Answered>>,
}

impl Call {
    /// The command, how long it may take, and where its answer arrives.
    pub(crate) fn new(command: &Command, patience: Duration) -> (Box<Self>, oneshot::Receiver<Answered>) {
        let (sender, receiver) = oneshot::channel();
        (Box::new(Self { frame: command.to_bytes(), patience, answer: Some(sender) }), receiver)
    }

    fn answer(&mut self, answered: Answered) {
        if let Some(sender) = self.answer.take() {
            // Nobody waits where the caller was dropped.
            let _ = sender.send(answered);
        }
    }
}

impl Exchange for Call {
    fn encode(&self, out: &mut BytesMut) {
        out.extend_from_slice(&self.frame);
    }

    fn gives_up_early(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn expire(&mut self, _why: Overdue) -> Option<Answer> {
        let (sender, after) = (self.answer.take()?, self.patience);
        Some(Box::new(move || {
            let _ = sender.send(Err(RedisServiceError::Timeout { after }));
        }))
    }

    fn reply(mut self: Box<Self>, replies: Replies) {
        let value = replies.into_iter().next().unwrap_or(Value::Null);
        self.answer(value.ok().map_err(RedisServiceError::from));
    }

    fn lost(mut self: Box<Self>, why: &RedisServiceError) {
        self.answer(Err(why.clone()));
    }
}

impl RedisTier {
    /// Every server that holds keys, as far as is known.
    ///
    /// # Errors
    /// [`RedisServiceError::Unavailable`] where one of them is away, because whoever asks wants all.
    pub(crate) fn masters(&self) -> Result<Vec<Arc<Node>>, RedisServiceError> {
        let nodes = self.map.load().nodes.clone();
        match nodes.iter().find(|node| node.link.phase() != Phase::Live) {
            Some(node) => Err(self.why_away(&node.link.name)),
            None if nodes.is_empty() => Err(self.why_away("the cluster")),
            None => Ok(nodes),
        }
    }

    /// Sends a command to this server.
    pub(crate) async fn call_at(&self, node: &Node, command: &Command) -> Answered {
        let (call, answer) = Call::new(command, self.options.command_timeout());
        self.send(node, [call as Box<dyn Exchange>]);
        answer.await.unwrap_or(Err(RedisServiceError::Closed))
    }
}
