//! What runs inside Redis. The TypeScript fallback sends the same texts; `test/fallback/redis-scripts.test.ts` compares them.

/// Gives a lock back, or deletes an unreadable value, only if it still is what we saw. ARGV: what it must be.
pub(crate) const DELETE_IF_EQUAL: &str = include_str!("delete-if-equal.lua");

/// Keeps a lock that is still ours. ARGV: the token, ms.
pub(crate) const RENEW_IF_EQUAL: &str = include_str!("renew-if-equal.lua");

/// Adds within JavaScript's safe integers, or changes nothing; gives the sum a time to live if it has none. ARGV: how much, ms to
/// live or nothing.
pub(crate) const INCREMENT: &str = include_str!("increment.lua");

/// Enters a key in the hash of a tag, which lives as long as the longest of its values (`EXPIRE ... GT` would need Redis 7, and treats a
/// tag without end as one that has just been made). ARGV: the key, the token, ms to live or -1.
pub(crate) const TAG_ENTER: &str = include_str!("tag-enter.lua");

/// Removes the keys that nobody has entered again. ARGV: key, token, key, token, ...
pub(crate) const TAG_REMOVE: &str = include_str!("tag-remove.lua");
