-- Reads a session.
-- KEYS[1]  the session's hash
-- ARGV     1 '1' to give a rolling session its whole time to live again, '0' to leave it
-- Gives { 'ok', v, d, u, c, t, r, a, expires at in ms since 1970 }, or { 'gone' }.
local v, d, u, c, t, r, a, x = unpack(redis.call('HMGET', KEYS[1], 'v', 'd', 'u', 'c', 't', 'r', 'a', 'x'))
if x or not v then return { 'gone' } end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] == '1' and r == '1' then
  local ends = now + t
  if a ~= '0' then ends = math.min(ends, tonumber(a)) end
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends))
end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then return { 'gone' } end
return { 'ok', v, d, u or '', c, t, r, a, string.format('%.0f', now + left) }
