use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use route_plan::Price;
use serde::{Deserialize, Serialize};

/// A model that can be asked, as it is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// The public name.
    pub name: Arc<str>,
    /// The tier that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Arc<str>>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Arc<str>>,
    /// Prompt and answer together, in tokens; `None`: unknown, and taken to be enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The longest answer, in tokens; `None`: unknown, and taken to be enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// USD per million tokens; `None`: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// How good its answers are taken to be before anything is learnt, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<f64>,
}

impl Model {
    /// A model of which nothing but its name is known.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            tier: None,
            capabilities: Vec::new(),
            context_tokens: None,
            max_output_tokens: None,
            price: None,
            quality: None,
        }
    }

    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|own| **own == *capability)
    }
}

/// The models that can be chosen, in the order of the configuration, and the tiers that list theirs in an order of their own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Catalogue {
    models: Vec<Model>,
    lists: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Where each name stands among `models`; of two of a name the first.
    places: HashMap<Arc<str>, usize>,
}

/// A catalogue in a record.
#[derive(Serialize, Deserialize)]
struct Written {
    models: Vec<Model>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tiers: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Catalogue {
    /// `lists` are tiers that name their models in order of preference; a name that no model has is passed over.
    pub fn new(models: Vec<Model>, lists: impl IntoIterator<Item = (Arc<str>, Vec<Arc<str>>)>) -> Self {
        let mut places = HashMap::with_capacity(models.len());
        for (place, model) in models.iter().enumerate() {
            places.entry(Arc::clone(&model.name)).or_insert(place);
        }
        Self { models, lists: lists.into_iter().collect(), places }
    }

    /// In the order of the configuration.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The tiers of which at least one model is among those that `may_ask` lets through.
    pub fn tiers(&self, may_ask: impl Fn(&str) -> bool) -> BTreeSet<Arc<str>> {
        let asked = |name: &Arc<str>| may_ask(name) && self.places.contains_key(name);
        let listed = self.lists.iter().filter(|(_, names)| names.iter().any(asked)).map(|(tier, _)| tier);
        let own =
            self.models.iter().filter(|model| may_ask(&model.name)).filter_map(|model| model.tier.as_ref());
        // A list takes the place of what models say of themselves.
        listed.chain(own.filter(|tier| !self.lists.contains_key(*tier))).cloned().collect()
    }

    /// Whether some model says that it can do this.
    pub fn knows_capability(&self, capability: &str) -> bool {
        self.models.iter().any(|model| model.can(capability))
    }

    pub(crate) fn list(&self, tier: &str) -> Option<&[Arc<str>]> {
        self.lists.get(tier).map(Vec::as_slice)
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The models at these places, with as much of the list of `tier` as is of them.
    pub(crate) fn slice(&self, places: &[usize], tier: &str) -> Self {
        let models: Vec<Model> = places.iter().filter_map(|place| self.models.get(*place)).cloned().collect();
        let mut slice = Self::new(models, []);
        if let Some((tier, names)) = self.lists.get_key_value(tier) {
            let names = names.iter().filter(|name| slice.places.contains_key(*name)).cloned().collect();
            slice.lists.insert(Arc::clone(tier), names);
        }
        slice
    }
}

impl From<Written> for Catalogue {
    fn from(Written { models, tiers }: Written) -> Self {
        Self::new(models, tiers)
    }
}

impl From<Catalogue> for Written {
    fn from(Catalogue { models, lists, .. }: Catalogue) -> Self {
        Self { models, tiers: lists }
    }
}
