-- Writes a session whole, or the data of one that exists.
-- KEYS[1]  the session's hash
-- ARGV     1 mode: 'new' (nothing may be there), 'present' (a session must be there; only its data is replaced),
--            'upsert' (either, unless there is a tombstone)
--          2 the version that must be there, or '' for any
--          3 data
--          4 user id, or '' for none              (4 to 9 are not looked at in mode 'present')
--          5 time to live, ms
--          6 '1' if rolling, else '0'
--          7 ms from now after which it ends in any case, or '' to take 8
--          8 ms since 1970 at which it ends in any case, or '0' for never
--          9 ms since 1970 at which it was created, or '' for now, or as it was
-- Gives { 'ok', v, d, u, c, t, r, a, expires at in ms since 1970 }, or one of { 'exists' }, { 'gone' },
-- { 'destroyed' }, { 'version', v }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local v, u, c, t, r, a, x = unpack(redis.call('HMGET', KEYS[1], 'v', 'u', 'c', 't', 'r', 'a', 'x'))
local mode = ARGV[1]
if x then return { 'destroyed' } end
if v and mode == 'new' then return { 'exists' } end
if not v and (mode == 'present' or ARGV[2] ~= '') then return { 'gone' } end
if v and ARGV[2] ~= '' and v ~= ARGV[2] then return { 'version', v } end

local roll = true
if mode == 'present' then
  roll = r == '1'
else
  u, t, r, a = ARGV[4], ARGV[5], ARGV[6], ARGV[8]
  if ARGV[7] ~= '' then a = string.format('%.0f', now + ARGV[7]) end
  if ARGV[9] ~= '' then c = ARGV[9] elseif not c then c = string.format('%.0f', now) end
end
if a ~= '0' and tonumber(a) <= now then
  redis.call('DEL', KEYS[1])
  return { 'gone' }
end
v = string.format('%.0f', (tonumber(v or '0')) + 1)
redis.call('HSET', KEYS[1], 'v', v, 'd', ARGV[3], 'c', c, 't', t, 'r', r, 'a', a)
if u and u ~= '' then redis.call('HSET', KEYS[1], 'u', u) else redis.call('HDEL', KEYS[1], 'u') end
if roll then
  local ends = now + t
  if a ~= '0' then ends = math.min(ends, tonumber(a)) end
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends))
end
return { 'ok', v, ARGV[3], u or '', c, t, r, a, string.format('%.0f', now + redis.call('PTTL', KEYS[1])) }
