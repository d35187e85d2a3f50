//! How a value lies in Redis: see `docs/redis-format.md`.
