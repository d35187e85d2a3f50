//! What happens between "the connection is back" and "everybody uses it": the keys that were written meanwhile are deleted in
//! Redis. Acts on the driver's thread, one step for each reply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::RedisTier;
use super::in_flight::InFlight;
use crate::connection::{Answer, Exchange, Link, Overdue, PATIENT, Phase, Replies};
use crate::error::RedisServiceError;
use crate::op::Op;
use crate::resp::Value;

/// Keys deleted per step: one write of some 20 KB.
const STEP: usize = 512;

/// Deletes the next keys, or opens the link when none is left.
pub(super) fn settle(tier: &Arc<RedisTier>, link: &Arc<Link>) {
    let keys = {
        // `aside` is held until the link is live: a write either is in here before, or finds the link live.
        let aside = tier.aside.lock();
        let map = tier.map.load();
        let belongs = |key: &[u8]| {
            map.node_of(&tier.prefix, Some(key)).is_some_and(|node| Arc::ptr_eq(&node.link, link))
        };
        let keys = aside.unsettled(STEP, belongs);
        if keys.is_empty() {
            link.go_live();
        }
        keys
    };
    if keys.is_empty() {
        tier.note_mode();
    } else {
        link.send_own(Box::new(Settling { tier: Arc::clone(tier), link: Arc::clone(link), keys }));
    }
}

/// One step.
struct Settling {
    tier: Arc<RedisTier>,
    link: Arc<Link>,
    keys: Vec<(Bytes, u64)>,
}

impl Exchange for Settling {
    fn encode(&self, out: &mut BytesMut) {
        for (key, _) in &self.keys {
            Op::Delete { key: key.clone() }.encode(&self.tier.prefix, out);
        }
    }

    fn replies(&self) -> usize {
        self.keys.len()
    }

    fn gives_up_early(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        PATIENT
    }

    fn expire(&mut self, _why: Overdue) -> Option<Answer> {
        None
    }

    fn reply(self: Box<Self>, replies: Replies) {
        let mut refused = None;
        {
            let mut aside = self.tier.aside.lock();
            for ((key, mark), reply) in self.keys.iter().zip(replies) {
                match reply {
                    Value::Error(error) => refused = Some(error),
                    _ => aside.settled(key, *mark),
                }
            }
        }
        match refused {
            None => settle(&self.tier, &self.link),
            // A replica, a cluster that has moved on, a user without the right: try again with a new connection.
            Some(error) => {
                self.tier.keeper.refresh_soon();
                self.tier.driver.detach(Arc::clone(&self.link), super::away(&error.text), false);
            }
        }
    }

    fn lost(self: Box<Self>, _why: &RedisServiceError) {
        // The keys are still in `aside`; the next connection settles them.
    }
}

/// Settles again on a link that is live, because it may have become the owner of keys that were written aside.
pub(super) fn resettle(tier: &Arc<RedisTier>, link: &Arc<Link>) {
    if tier.aside.lock().len() > 0 && link.close_for_settling() {
        settle(tier, link);
    }
}

impl RedisTier {
    /// Answers what a link has refused, unless it has gone live since: writes that are noted aside after that would never be
    /// settled.
    pub(super) fn answer_refused(self: &Arc<Self>, mut in_flight: InFlight, why: &RedisServiceError) {
        let went_live = {
            let mut aside = self.aside.lock();
            let map = self.map.load();
            let node = self.node_for(&map, &in_flight.op);
            if node.is_some_and(|node| node.link.phase() == Phase::Live) {
                None
            } else {
                Some(aside.apply(&in_flight.op, Instant::now()))
            }
        };
        match went_live {
            Some(taken) => {
                let outcome = self.aside_answer(&in_flight.op, taken, why);
                in_flight.answer(outcome);
            }
            None => {
                if let Some(done) = in_flight.done.take() {
                    self.start([(in_flight.op, done)]);
                }
            }
        }
    }
}
