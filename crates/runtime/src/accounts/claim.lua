-- KEYS: the account. ARGV: instance, number, limit, window or '', held, total, spent, fresh, period in ms.
-- The account is a hash: `w` the window, and for each instance `number granted spent`.
local instance, number, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local claimed = tonumber(ARGV[4]) or -1
local held, total, spent, fresh, period = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = tonumber(redis.call('HGET', KEYS[1], 'w') or -1)
-- A clock that was set back, or a server that forgot, brings no earlier window again.
local window = math.max(math.floor(now / period), stored, claimed)
if window ~= stored then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'w', window)
end
local ends_in = math.min(math.max((window + 1) * period - now, 1), period)
local others, others_spent, last, granted = 0, 0, -1, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if fields[i] ~= 'w' then
    local n, g, s = string.match(fields[i + 1], '^(%d+) (%d+) (%d+)$')
    if fields[i] == instance then
      last, granted = tonumber(n), tonumber(g)
    else
      others, others_spent = others + g, others_spent + s
    end
  end
end
-- One that arrives after a later one of the same instance changes nothing.
if number > last then
  if claimed ~= window then held, total, spent = 0, fresh, 0 end
  granted = math.max(held, math.min(total, math.max(limit - others, 0)))
  spent = math.min(spent, granted)
  redis.call('HSET', KEYS[1], instance, string.format('%.0f %.0f %.0f', number, granted, spent))
  redis.call('PEXPIRE', KEYS[1], 2 * period)
end
-- Whoever is told waits for a replica, where there is one.
local info = redis.pcall('INFO', 'replication')
local replicas = type(info) == 'string' and tonumber(string.match(info, 'connected_slaves:(%d+)') or 0) or 0
return { window, ends_in, granted, others, others_spent, replicas }
