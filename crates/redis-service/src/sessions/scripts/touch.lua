-- Gives a session its whole time to live again, or another one; the data stays.
-- KEYS[1]  the session's hash
-- ARGV     1 the new time to live in ms, or '' for the one it has
-- Gives { 'ok', v, d, u, c, t, r, a, expires at in ms since 1970 }, or { 'gone' }.
local v, d, u, c, t, r, a, x = unpack(redis.call('HMGET', KEYS[1], 'v', 'd', 'u', 'c', 't', 'r', 'a', 'x'))
if x or not v then return { 'gone' } end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' and ARGV[1] ~= t then
  t = ARGV[1]
  redis.call('HSET', KEYS[1], 't', t)
end
local ends = now + t
if a ~= '0' then ends = math.min(ends, tonumber(a)) end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends))
local left = redis.call('PTTL', KEYS[1])
if left < 0 then return { 'gone' } end
return { 'ok', v, d, u or '', c, t, r, a, string.format('%.0f', now + left) }
