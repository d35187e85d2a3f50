//! A decision with everything that it was made of, so that it can be made again.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::config::Policy;
use crate::decide::decide_again;
use crate::decision::Decision;
use crate::error::RouterError;
use crate::filter::Rejection;
use crate::question::Question;
use crate::snapshot::Snapshot;

/// The version of the form in which a record is written, and of the rules by which it was decided. It grows when either changes.
pub const VERSION: u32 = 1;

/// A decision and what it was made of, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`VERSION`] of whoever decided.
    pub version: u32,
    /// What was asked.
    pub question: Question,
    /// The models that were considered.
    pub catalogue: Catalogue,
    /// What was known of them, in the same order.
    pub snapshot: Snapshot,
    /// How it was decided.
    pub policy: Policy,
    /// What came out.
    pub decision: Decision,
}

/// Why a record cannot be decided again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is no record.
    #[error("this is no record of a decision: {0}")]
    Json(#[from] serde_json::Error),
    /// It was made by other rules.
    #[error(
        "the record has version {found}, and this program decides by version {VERSION}; use the program that decided"
    )]
    Version {
        /// The record's.
        found: u32,
    },
    /// Nothing comes out where something did: it was not written by a router.
    #[error("the record cannot be decided: {0}")]
    Undecided(#[from] RouterError),
}

impl Record {
    /// The record of a decision that was just made of these. It keeps of the catalogue what was considered.
    pub fn new(
        question: &Question,
        catalogue: &Catalogue,
        snapshot: &Snapshot,
        policy: &Policy,
        decision: Decision,
    ) -> Self {
        let considered: HashSet<Arc<str>> =
            decision.candidates.iter().map(|one| Arc::clone(&one.model)).collect();
        Self::of(question, catalogue, snapshot, policy, &|name| considered.contains(name), decision)
    }

    fn of(
        question: &Question,
        catalogue: &Catalogue,
        snapshot: &Snapshot,
        policy: &Policy,
        keeps: &dyn Fn(&str) -> bool,
        decision: Decision,
    ) -> Self {
        let models = catalogue.models().iter().enumerate();
        let places: Vec<usize> =
            models.filter(|(_, model)| keeps(&model.name)).map(|(place, _)| place).collect();
        Self {
            version: VERSION,
            question: question.clone(),
            catalogue: catalogue.slice(&places, question.target.tier()),
            snapshot: Snapshot { models: places.iter().map(|place| snapshot.of(*place)).collect() },
            policy: *policy,
            decision,
        }
    }

    /// Decides again.
    ///
    /// # Errors
    /// [`RecordError::Version`], [`RecordError::Undecided`].
    pub fn replay(&self) -> Result<Decision, RecordError> {
        if self.version != VERSION {
            return Err(RecordError::Version { found: self.version });
        }
        let Self { question, catalogue, snapshot, policy, decision, .. } = self;
        match decide_again(Arc::clone(&decision.plan.request_id), question, catalogue, snapshot, policy) {
            Ok(decision) => Ok(decision),
            Err(RouterError::NoCandidate { decision, .. }) => Ok(*decision),
            Err(error) => Err(error.into()),
        }
    }

    /// The record as whoever asked may see it: without the models that it may not use, which change nothing for the others.
    #[must_use]
    pub fn without_forbidden(&self) -> Self {
        let Self { question, catalogue, snapshot, policy, decision, .. } = self;
        let candidates = decision.candidates.iter();
        let seen = candidates.filter(|candidate| candidate.rejected != Some(Rejection::NotAllowed)).cloned();
        let decision = Decision { candidates: seen.collect(), ..decision.clone() };
        Self::of(question, catalogue, snapshot, policy, &|name| question.allows(name), decision)
    }

    /// As JSON, always the same bytes.
    ///
    /// # Errors
    /// None that can happen: a record is text and numbers.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads what [`to_json`](Self::to_json) writes.
    ///
    /// # Errors
    /// [`RecordError::Json`].
    pub fn from_json(json: &[u8]) -> Result<Self, RecordError> {
        Ok(serde_json::from_slice(json)?)
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        // Texts are shared with the catalogue that counts, and names are short.
        let models = self.catalogue.models().len();
        let each =
            size_of::<crate::Model>() + size_of::<crate::Standing>() + size_of::<crate::Candidate>() + 96;
        size_of::<Self>() + models * each
    }
}
