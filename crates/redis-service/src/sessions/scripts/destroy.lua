-- Destroys a session. The tombstone is left in any case, so that a write which is under way comes too late.
-- KEYS[1]  the session's hash
-- ARGV     1 how long the tombstone lives, ms
-- Gives { existed: 1 or 0, user id or '' }.
local v, u = unpack(redis.call('HMGET', KEYS[1], 'v', 'u'))
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'x', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return { v and 1 or 0, u or '' }
