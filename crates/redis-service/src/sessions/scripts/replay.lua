-- Brings a write to Redis that was taken while Redis was away; giving it twice does no more than giving it once.
-- KEYS[1]  the session's hash
-- ARGV     1 name of the journal
--          2 number of the journal's first write of this session
--          3 number of its last one, which this is
--          4 mode: 'destroy'; 'whole' (replaces the base, or what has expired); 'data' (replaces the data of the base)
--          5 base: the version that must be there, or '' for none
--          6 data                                  (6 to 13 are not looked at in mode 'destroy')
--          7 user id, or '' for none              (7 to 12 are not looked at in mode 'data')
--          8 time to live, ms
--          9 '1' if rolling, else '0'
--         10 ms from now after which it ends in any case, or '' to take 11
--         11 ms since 1970 at which it ends in any case, or '0' for never
--         12 ms since it was created, or '' for what 14 says
--         13 ms that it lives from now on, if it does not end before
--         14 ms since 1970 at which it was created
--         15 how long a tombstone lives, ms
-- The field j remembers journal, last write and the version that it made.
-- Gives { 'ok', user id or '' }, { 'foreign', user id or '' } (destroyed, but not by this journal), { 'conflict' },
-- { 'expired' }.
local v, u, c, t, r, a, x, j = unpack(redis.call('HMGET', KEYS[1], 'v', 'u', 'c', 't', 'r', 'a', 'x', 'j'))
local mode, base = ARGV[4], ARGV[5]
local done, made = 0, nil
if j then
  local name, number, version = string.match(j, '^(%x+):(%d+):(%d+)$')
  if name == ARGV[1] and tonumber(number) >= tonumber(ARGV[2]) then done, made = tonumber(number), version end
end

if mode == 'destroy' then
  if x and done == 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[15])
    return { 'foreign', '' }
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'x', '1', 'j', ARGV[1] .. ':' .. ARGV[3] .. ':0')
  redis.call('PEXPIRE', KEYS[1], ARGV[15])
  return { 'ok', u or '' }
end

if x then return { 'foreign', '' } end
if done >= tonumber(ARGV[3]) then return { 'ok', u or '' } end
if made then base = made end
if v and v ~= base then return { 'conflict' } end
if not v and mode == 'data' then return { 'conflict' } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if mode == 'whole' then
  u, t, r, a = ARGV[7], ARGV[8], ARGV[9], ARGV[11]
  if ARGV[10] ~= '' then a = string.format('%.0f', now + ARGV[10]) end
  if ARGV[12] ~= '' then c = string.format('%.0f', now - ARGV[12]) else c = ARGV[14] end
end
local ends = now + ARGV[13]
if a ~= '0' then ends = math.min(ends, tonumber(a)) end
if mode == 'whole' and ends <= now then
  redis.call('DEL', KEYS[1])
  return { 'expired' }
end
local version = string.format('%.0f', tonumber(v or '0') + 1)
redis.call('HSET', KEYS[1], 'v', version, 'd', ARGV[6], 'c', c, 't', t, 'r', r, 'a', a,
  'j', ARGV[1] .. ':' .. ARGV[3] .. ':' .. version)
if u and u ~= '' then redis.call('HSET', KEYS[1], 'u', u) else redis.call('HDEL', KEYS[1], 'u') end
if mode == 'whole' then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends))
elseif r == '1' and ends > now + redis.call('PTTL', KEYS[1]) then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends))
end
return { 'ok', u or '' }
