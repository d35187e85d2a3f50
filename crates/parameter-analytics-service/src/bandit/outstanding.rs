//! Decisions whose rewards are waited for.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::BanditError;

/// An hour: who has not been judged by then rarely is.
pub const EXPIRY_MS: u64 = 3_600_000;

/// Names a decision: whose bandit made it (drawn from its seed), and how many it had made before. Written `1a2b3c4d-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId {
    pub(super) bandit: u32,
    pub(super) number: u64,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.bandit, self.number)
    }
}

impl FromStr for DecisionId {
    type Err = BanditError;

    fn from_str(text: &str) -> Result<Self, BanditError> {
        let id = text.split_once('-').and_then(|(bandit, number)| {
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let bandit =
                (bandit.len() == 8 && digits(bandit)).then(|| u32::from_str_radix(bandit, 16).ok())??;
            Some(Self { bandit, number: digits(number).then(|| number.parse().ok())?? })
        });
        id.ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let help = "give it back as `select` gave it";
            BanditError::invalid("decision id", "like `1a2b3c4d-17`", format!("`{shown}`"), help)
        })
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiting {
    at_ms: u64,
    arm: usize,
    is_rewarded: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<i32>,
}

/// Decisions in the order in which they were made; the numbers leave no gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outstanding {
    bandit: u32,
    /// The number of the oldest one.
    first: u64,
    most: usize,
    waiting: VecDeque<Waiting>,
    /// Those that were forgotten for newer ones before their rewards came.
    pushed_out: u64,
}

impl Outstanding {
    pub(super) fn new(bandit: u32, most: usize) -> Self {
        Self { bandit, first: 0, most, waiting: VecDeque::new(), pushed_out: 0 }
    }

    /// How many decisions were made: the number of the next one.
    pub(super) fn made(&self) -> u64 {
        self.first.saturating_add(self.waiting.len() as u64)
    }

    /// How many rewards are waited for.
    pub(super) fn len(&self) -> usize {
        self.waiting.iter().filter(|waiting| !waiting.is_rewarded).count()
    }

    pub(super) fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    /// Waits for the reward of one more decision, and forgets those that are older than an hour and, if need be, the oldest.
    pub(super) fn wait(&mut self, arm: usize, context: Vec<i32>, at_ms: u64) -> DecisionId {
        self.expire(at_ms);
        if self.waiting.len() >= self.most {
            let oldest = self.waiting.pop_front();
            self.first = self.first.saturating_add(u64::from(oldest.is_some()));
            let is_waiting = oldest.is_some_and(|oldest| !oldest.is_rewarded);
            self.pushed_out = self.pushed_out.saturating_add(u64::from(is_waiting));
        }
        let id = DecisionId { bandit: self.bandit, number: self.made() };
        self.waiting.push_back(Waiting { at_ms, arm, is_rewarded: false, context });
        id
    }

    /// The arm that was chosen, and the context, which is not needed again. From now on the decision is rewarded.
    pub(super) fn settle(&mut self, id: DecisionId, now_ms: u64) -> Result<(usize, Vec<i32>), BanditError> {
        self.expire(now_ms);
        let unknown = |why| BanditError::UnknownDecision { id, why };
        if id.bandit != self.bandit {
            return Err(unknown("another bandit or process made it; send its reward there"));
        }
        let Some(place) = id.number.checked_sub(self.first) else {
            return Err(unknown(
                "it is older than an hour, or too many newer ones were made; reward sooner, or raise `maxOutstanding`",
            ));
        };
        let waiting = usize::try_from(place).ok().and_then(|place| self.waiting.get_mut(place));
        let waiting =
            waiting.ok_or_else(|| unknown("it has not been made; give the id back as `select` gave it"))?;
        if waiting.is_rewarded {
            return Err(BanditError::Rewarded { id });
        }
        waiting.is_rewarded = true;
        Ok((waiting.arm, std::mem::take(&mut waiting.context)))
    }

    fn expire(&mut self, now_ms: u64) {
        let is_old = |waiting: &Waiting| now_ms.saturating_sub(waiting.at_ms) >= EXPIRY_MS;
        while self.waiting.front().is_some_and(is_old) {
            self.waiting.pop_front();
            self.first = self.first.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(found: Result<(usize, Vec<i32>), BanditError>) -> &'static str {
        found.map_or_else(|error| error.code(), |_| "rewarded")
    }

    #[test]
    fn a_reward_counts_once_within_an_hour() {
        let mut outstanding = Outstanding::new(7, 10);
        let [first, second] = [1, 2].map(|arm| outstanding.wait(arm, vec![arm as i32], 1_000));
        assert_eq!(outstanding.settle(first, 1_000 + EXPIRY_MS - 1), Ok((1, vec![1])));
        assert_eq!(code(outstanding.settle(first, 2_000)), "UAT_CONFLICT");
        assert_eq!(outstanding.len(), 1);
        assert_eq!(code(outstanding.settle(second, 1_000 + EXPIRY_MS)), "UAT_NOT_FOUND");
        assert_eq!(outstanding.len(), 0);
    }

    #[test]
    fn decisions_of_others_and_of_the_future_are_unknown() {
        let mut outstanding = Outstanding::new(7, 10);
        let id = outstanding.wait(0, Vec::new(), 0);
        assert_eq!(code(outstanding.settle(DecisionId { bandit: 8, ..id }, 0)), "UAT_NOT_FOUND");
        assert_eq!(code(outstanding.settle(DecisionId { number: 1, ..id }, 0)), "UAT_NOT_FOUND");
        assert_eq!(code(outstanding.settle(DecisionId { number: u64::MAX, ..id }, 0)), "UAT_NOT_FOUND");
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let mut outstanding = Outstanding::new(7, 2);
        let ids = [0, 1, 2, 3].map(|arm| outstanding.wait(arm, Vec::new(), 0));
        assert_eq!((outstanding.len(), outstanding.pushed_out(), outstanding.made()), (2, 2, 4));
        assert_eq!(code(outstanding.settle(ids[1], 0)), "UAT_NOT_FOUND");
        assert_eq!(outstanding.settle(ids[2], 0), Ok((2, Vec::new())));
    }

    #[test]
    fn a_clock_that_goes_back_expires_nothing() {
        let mut outstanding = Outstanding::new(7, 2);
        let id = outstanding.wait(0, Vec::new(), 2 * EXPIRY_MS);
        assert_eq!(outstanding.settle(id, 0), Ok((0, Vec::new())));
    }

    #[test]
    fn ids_are_read_as_they_were_written() {
        let id = DecisionId { bandit: 0xab, number: u64::MAX };
        assert_eq!(id.to_string(), "000000ab-18446744073709551615");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in
            ["", "-", "ab-1", "000000ab-", "000000ab-+1", "+00000ab-1", "000000ab-18446744073709551616"]
        {
            assert_eq!(wrong.parse::<DecisionId>().unwrap_err().code(), "UAT_INVALID_INPUT", "{wrong}");
        }
    }
}
