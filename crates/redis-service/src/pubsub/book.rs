//! Who has subscribed to what, who has been confirmed, and to whom a gap is owed. Pure: the clock is passed in.
//!
//! A subscription hears messages only while it is confirmed on the present connection, with all its names. What arrives for
//! one of its names before that is covered by the gap that it is owed, and so it hears of exactly one gap, after which
//! nothing is missing.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

/// Whether names are channels or patterns of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum By {
    Channel,
    Pattern,
}

/// The number of a subscription.
pub(crate) type Id = u64;

/// All subscriptions of a service; `M` is whom each belongs to.
#[derive(Debug)]
pub(crate) struct Book<M> {
    entries: HashMap<Id, Entry<M>>,
    names: HashMap<(By, Bytes), Vec<Id>>,
    next: Id,
}

#[derive(Debug)]
struct Entry<M> {
    by: By,
    names: Vec<Bytes>,
    member: M,
    standing: Standing,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    /// The server has not confirmed it yet, on any connection.
    New,
    /// It hears what is published.
    Confirmed,
    /// Its connection broke; since then something may have been missed.
    Owed(Instant),
}

/// What a confirmation means for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// It begins.
    First,
    /// It goes on, with a gap since then.
    Again(Instant),
    /// It knew already.
    Known,
}

/// What is left of a subscription that ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Removed<M> {
    pub(crate) member: M,
    pub(crate) by: By,
    /// The names that nobody else has subscribed to.
    pub(crate) names: Vec<Bytes>,
}

impl<M> Default for Book<M> {
    fn default() -> Self {
        Self { entries: HashMap::new(), names: HashMap::new(), next: 0 }
    }
}

impl<M> Book<M> {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A new subscription, which hears nothing before it is confirmed.
    pub(crate) fn add(&mut self, by: By, mut names: Vec<Bytes>, member: M) -> Id {
        names.sort_unstable();
        names.dedup();
        let id = self.next;
        self.next += 1;
        for name in &names {
            self.names.entry((by, name.clone())).or_default().push(id);
        }
        self.entries.insert(id, Entry { by, names, member, standing: Standing::New });
        id
    }

    /// Ends a subscription.
    pub(crate) fn remove(&mut self, id: Id) -> Option<Removed<M>> {
        let Entry { by, mut names, member, .. } = self.entries.remove(&id)?;
        names.retain(|name| {
            let key = (by, name.clone());
            let Some(ids) = self.names.get_mut(&key) else {
                return true;
            };
            ids.retain(|other| *other != id);
            let last = ids.is_empty();
            if last {
                self.names.remove(&key);
            }
            last
        });
        Some(Removed { member, by, names })
    }

    /// What is to be subscribed to on a new connection.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (Id, By, &[Bytes])> {
        self.entries.iter().map(|(id, entry)| (*id, entry.by, &entry.names[..]))
    }

    /// Those who hear what is published under this name.
    pub(crate) fn listeners(&self, by: By, name: &Bytes) -> impl Iterator<Item = &M> {
        let ids = self.names.get(&(by, name.clone())).map_or(&[][..], Vec::as_slice);
        ids.iter()
            .filter_map(|id| self.entries.get(id))
            .filter(|entry| matches!(entry.standing, Standing::Confirmed))
            .map(|entry| &entry.member)
    }

    /// All patterns, for who has to match by himself.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Bytes> {
        self.names.keys().filter(|(by, _)| *by == By::Pattern).map(|(_, name)| name)
    }

    /// The server has confirmed all names of a subscription on the present connection.
    pub(crate) fn confirm(&mut self, id: Id) -> Option<(Confirmation, &mut M)> {
        let entry = self.entries.get_mut(&id)?;
        let before = std::mem::replace(&mut entry.standing, Standing::Confirmed);
        let confirmation = match before {
            Standing::New => Confirmation::First,
            Standing::Owed(since) => Confirmation::Again(since),
            Standing::Confirmed => Confirmation::Known,
        };
        Some((confirmation, &mut entry.member))
    }

    /// The connection broke, and nothing was heard after `good`: whoever heard until then is owed a gap, from the first break
    /// on if there were several.
    pub(crate) fn broken(&mut self, good: Instant) {
        for entry in self.entries.values_mut() {
            if matches!(entry.standing, Standing::Confirmed) {
                entry.standing = Standing::Owed(good);
            }
        }
    }

    /// Ends those that were never confirmed.
    pub(crate) fn take_new(&mut self) -> Vec<M> {
        let ids: Vec<Id> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.standing, Standing::New))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().filter_map(|id| self.remove(id)).map(|removed| removed.member).collect()
    }

    /// Ends all.
    pub(crate) fn take_all(&mut self) -> Vec<M> {
        self.names.clear();
        self.entries.drain().map(|(_, entry)| entry.member).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(of: &[&'static str]) -> Vec<Bytes> {
        of.iter().map(|name| Bytes::from_static(name.as_bytes())).collect()
    }

    #[track_caller]
    fn heard(book: &Book<&'static str>, channel: &'static str, expected: &[&str]) {
        let mut got: Vec<_> =
            book.listeners(By::Channel, &Bytes::from_static(channel.as_bytes())).copied().collect();
        got.sort_unstable();
        assert_eq!(got, expected, "{channel}");
    }

    fn confirmed(book: &mut Book<&'static str>, id: Id) -> Option<Confirmation> {
        book.confirm(id).map(|(confirmation, _)| confirmation)
    }

    #[test]
    fn messages_reach_confirmed_subscriptions_of_their_channel() {
        let mut book = Book::default();
        let first = book.add(By::Channel, names(&["a", "b", "a"]), "first");
        let second = book.add(By::Channel, names(&["a"]), "second");
        heard(&book, "a", &[]);
        assert_eq!(confirmed(&mut book, first), Some(Confirmation::First));
        heard(&book, "a", &["first"]);
        assert_eq!(confirmed(&mut book, second), Some(Confirmation::First));
        heard(&book, "a", &["first", "second"]);
        heard(&book, "b", &["first"]);
        heard(&book, "c", &[]);
    }

    #[test]
    fn a_channel_is_left_when_its_last_subscription_goes() {
        let mut book = Book::default();
        let first = book.add(By::Channel, names(&["a", "b"]), "first");
        let second = book.add(By::Channel, names(&["a"]), "second");
        let pattern = book.add(By::Pattern, names(&["a"]), "pattern");
        let mut left = |id| book.remove(id).map(|removed| (removed.by, removed.names));
        assert_eq!(left(first), Some((By::Channel, names(&["b"]))));
        assert_eq!(left(second), Some((By::Channel, names(&["a"]))));
        assert_eq!(left(second), None);
        assert_eq!(left(pattern), Some((By::Pattern, names(&["a"]))));
        assert!(book.is_empty());
    }

    #[test]
    fn each_break_owes_one_gap_since_the_first_loss() {
        let (mut book, start) = (Book::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let id = book.add(By::Channel, names(&["a"]), "one");
        book.broken(at(0));
        assert_eq!(confirmed(&mut book, id), Some(Confirmation::First), "it had heard nothing to miss");
        book.broken(at(1));
        heard(&book, "a", &[]);
        book.broken(at(2));
        assert_eq!(confirmed(&mut book, id), Some(Confirmation::Again(at(1))));
        heard(&book, "a", &["one"]);
        assert_eq!(confirmed(&mut book, id), Some(Confirmation::Known));
    }

    #[test]
    fn a_login_that_is_refused_ends_only_what_never_began() {
        let mut book = Book::default();
        let old = book.add(By::Channel, names(&["a"]), "old");
        confirmed(&mut book, old);
        book.add(By::Channel, names(&["a", "b"]), "new");
        assert_eq!(book.take_new(), ["new"]);
        heard(&book, "a", &["old"]);
        assert_eq!(book.remove(old).map(|removed| removed.names), Some(names(&["a"])));
    }
}
