//! An operation on its way to Redis and back: what is answered when it arrives, is late, is sent elsewhere, or is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;

use super::RedisTier;
use super::near::Ticket;
use super::topology::read_redirect;
use crate::connection::{Answer, Exchange, Overdue, Replies};
use crate::error::RedisServiceError;
use crate::op::{Kind, Op, Origin, Reply};
use crate::options::Place;
use crate::resp::Value;

/// What came of an operation.
pub type Outcome = Result<Reply, RedisServiceError>;

/// Who waits for an operation.
pub enum Done {
    /// A closure, called once.
    Call(Box<dyn FnOnce(Outcome) + Send>),
    /// One who collects many, by number. After [`Reply::Overdue`] the number is answered once more.
    Inbox(Arc<dyn Inbox>, u32),
}

/// Collects outcomes, and is told once when a batch of them has come.
pub trait Inbox: Send + Sync {
    /// The outcome of an operation. Must not block.
    fn put(&self, number: u32, op: &Op, outcome: Outcome);
}

impl Done {
    pub(crate) fn answer(self, op: &Op, outcome: Outcome) {
        match self {
            Self::Call(call) => call(outcome),
            Self::Inbox(inbox, number) => inbox.put(number, op, outcome),
        }
    }
}

/// Redirects that one operation follows. A cluster that settles needs one or two.
const MAX_REDIRECTS: u8 = 5;

/// An operation on its way.
pub(crate) struct InFlight {
    pub(crate) tier: Arc<RedisTier>,
    pub(crate) op: Op,
    pub(crate) done: Option<Done>,
    /// Whether what it reads may be kept near.
    pub(crate) ticket: Option<Ticket>,
    /// The node that it was sent to.
    pub(crate) asked: Option<Place>,
    /// The node has the slot only for those who ask.
    pub(crate) asking: bool,
    pub(crate) redirects: u8,
}

impl InFlight {
    pub(crate) fn answer(&mut self, outcome: Outcome) {
        if let Some(done) = self.done.take() {
            done.answer(&self.op, outcome);
        }
    }

    /// Answers without Redis, or refuses.
    pub(crate) fn answer_aside(mut self, reason: &RedisServiceError) {
        let outcome = self.tier.aside_outcome(&self.op, reason);
        self.answer(outcome);
    }

    /// The node that the refusal names, if it is one that sends elsewhere.
    fn redirect(&self, replies: &Replies) -> Option<super::topology::Redirect> {
        let asked = self.asked.as_ref()?;
        let refusal = replies.iter().find_map(|reply| match reply {
            Value::Error(error) if matches!(error.code(), "MOVED" | "ASK") => Some(error),
            _ => None,
        })?;
        read_redirect(&refusal.text, asked)
    }
}

impl Exchange for InFlight {
    fn encode(&self, out: &mut BytesMut) {
        if self.asking {
            out.extend_from_slice(b"*1\r\n$6\r\nASKING\r\n");
        }
        self.op.encode(&self.tier.prefix, out);
    }

    fn replies(&self) -> usize {
        self.op.replies() + usize::from(self.asking)
    }

    fn gives_up_early(&self) -> bool {
        self.op.kind() != Kind::Strict
    }

    fn patience(&self) -> Duration {
        match self.op.kind() {
            Kind::Read => self.tier.options.read_budget(),
            Kind::Write | Kind::Strict => self.tier.options.command_timeout(),
        }
    }

    fn expire(&mut self, why: Overdue) -> Option<Answer> {
        let tier = Arc::clone(&self.tier);
        let after = self.patience();
        match (self.op.kind(), why) {
            (Kind::Read, _) => match self.done.take()? {
                // The late reply goes to the same number.
                Done::Inbox(inbox, number) => {
                    self.done = Some(Done::Inbox(Arc::clone(&inbox), number));
                    let op = self.op.clone();
                    Some(Box::new(move || {
                        tier.count_unavailable();
                        inbox.put(number, &op, Ok(Reply::Overdue));
                    }))
                }
                Done::Call(call) => Some(Box::new(move || {
                    tier.count_unavailable();
                    call(Ok(Reply::Unavailable));
                })),
            },
            (Kind::Write, Overdue::Silent) => {
                let (done, op) = (self.done.take()?, self.op.clone());
                Some(Box::new(move || {
                    let reason = RedisServiceError::Timeout { after };
                    done.answer(&op, tier.aside_outcome(&op, &reason));
                }))
            }
            (Kind::Strict, Overdue::Silent) => {
                let (done, op) = (self.done.take()?, self.op.clone());
                let operation = op.name().to_owned();
                let reason = format!(
                    "no answer within {} ms; whether the command was carried out is not known",
                    after.as_millis()
                );
                Some(Box::new(move || {
                    done.answer(&op, Err(RedisServiceError::Unavailable { operation, reason }))
                }))
            }
            (Kind::Write | Kind::Strict, Overdue::Slow) => {
                let (done, op) = (self.done.take()?, self.op.clone());
                Some(Box::new(move || done.answer(&op, Err(RedisServiceError::Timeout { after }))))
            }
        }
    }

    fn reply(mut self: Box<Self>, mut replies: Replies) {
        if self.tier.is_cluster()
            && let Some(redirect) = self.redirect(&replies)
        {
            if self.done.is_some() && self.redirects < MAX_REDIRECTS {
                self.redirects += 1;
                let tier = Arc::clone(&self.tier);
                return tier.redirect(*self, redirect);
            }
            let reason = format!("{} sent the command elsewhere {MAX_REDIRECTS} times", self.op.name());
            return self.answer(Err(RedisServiceError::Storage { message: reason }));
        }
        if self.asking && !replies.is_empty() {
            replies.remove(0);
        }
        self.tier.look_for_trouble(&replies, self.asked.as_ref());
        let mut outcome = self.op.read(replies);
        if let Ok(Reply::Stored { origin, .. }) = &mut outcome
            && !(matches!(self.op, Op::Get { timed: true, .. }) && self.tier.tracks.load(Ordering::Relaxed))
        {
            *origin = Origin::Untracked;
        }
        if self.op.kind() == Kind::Read && outcome.as_ref().is_err_and(RedisServiceError::retryable) {
            // What Redis cannot answer for now is like Redis being away.
            self.tier.count_unavailable();
            outcome = Ok(Reply::Unavailable);
        }
        if self.op.writes() {
            // Between sending and now a read that was sent before may have been kept.
            self.tier.forget_near(&self.op);
        } else if let (Some(ticket), Ok(reply)) = (self.ticket.take(), &outcome) {
            self.tier.keep_near(&self.op, reply, ticket);
        }
        self.answer(outcome);
    }

    fn refused(self: Box<Self>, why: &RedisServiceError) {
        let tier = Arc::clone(&self.tier);
        tier.answer_refused(*self, why);
    }

    fn lost(mut self: Box<Self>, why: &RedisServiceError) {
        match self.op.kind() {
            Kind::Read if matches!(why, RedisServiceError::Closed) => {
                self.answer(Err(RedisServiceError::Closed))
            }
            Kind::Read => {
                if self.done.is_some() {
                    self.tier.count_unavailable();
                }
                self.answer(Ok(Reply::Unavailable));
            }
            // After an expiry the write is noted already.
            Kind::Write if self.done.is_some() && !matches!(why, RedisServiceError::Closed) => {
                self.answer_aside(why)
            }
            Kind::Write | Kind::Strict => {
                let error = match why {
                    RedisServiceError::Unavailable { reason, .. } => RedisServiceError::Unavailable {
                        operation: self.op.name().to_owned(),
                        reason: format!("{reason}; whether the command was carried out is not known"),
                    },
                    other => other.clone(),
                };
                self.answer(Err(error));
            }
        }
    }
}
