-- Sets the claim of one instance on one account: "mine shall be so much". The same as `Sheet` in crates/access/src/book.rs.
-- KEYS[1]  the account's hash: w (window), at (ms of the last claim), skew (ms), sum and spent (of all claims), and for each
--          instance i:ID with "number total spent at"
-- ARGV     1 ms of a window   2 instance   3 number of the claim   4 limit   5 the window that 6 to 8 are about, or ''
--          6 what is held in it   7 what the claim shall be   8 what of it is spent   9 what it shall be in a later window
--          10 ms since 1970, or '' for the clock of this server
-- Gives { window, ms until it ends, granted, what others claim, what of that is spent, replicas to wait for }
local now = tonumber(ARGV[10])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local period, id, number, limit = tonumber(ARGV[1]), 'i:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local asked = tonumber(ARGV[5])
local known = redis.call('HMGET', KEYS[1], 'w', 'at', 'skew', 'sum', 'spent', id)
local w, at, skew = tonumber(known[1]) or 0, tonumber(known[2]) or 0, tonumber(known[3]) or 0
local sum, sum_spent, entry = tonumber(known[4]) or 0, tonumber(known[5]) or 0, known[6]

-- A clock that was set back, or that of another server after a failover: time goes on from where it was, until the clock has
-- come there by itself.
if now < at then skew = skew + (at - now) end
local window = math.floor((now + skew) / period)
if window > w and math.floor(now / period) > w then
  skew = 0
  window = math.floor(now / period)
end
local ends_in = period - (now + skew) % period
-- Neither an account nor a process ever goes back to an earlier window; a server that forgot learns of it here.
window = math.max(window, w, asked or 0)
if window > w then
  sum, sum_spent, entry = 0, 0, false
end

local mine, total, spent = -1, 0, 0
if entry then
  local a, b, c = string.match(entry, '^(%d+) (%d+) (%d+) ')
  mine, total, spent = tonumber(a), tonumber(b), tonumber(c)
end
local others, others_spent = sum - total, sum_spent - spent
-- One that comes again or late changes nothing.
if mine >= number then return { window, ends_in, total, others, others_spent, 0 } end

local held, wanted, used = 0, tonumber(ARGV[9]), 0
if asked == window then
  held, wanted, used = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
end
local granted = math.max(held, math.min(wanted, math.max(0, limit - others)))
used = math.min(used, granted)
if window > w then redis.call('DEL', KEYS[1]) end
local function text(n) return string.format('%.0f', n) end
redis.call('HSET', KEYS[1], 'w', text(window), 'at', text(now), 'skew', text(skew), 'sum', text(others + granted),
  'spent', text(others_spent + used), id, text(number) .. ' ' .. text(granted) .. ' ' .. text(used) .. ' ' .. text(now + skew))
redis.call('PEXPIRE', KEYS[1], text(2 * period))

-- Only what grew could be granted twice after a failover.
local replicas = 0
if granted > total then
  local info = redis.pcall('INFO', 'replication')
  if type(info) == 'string' then replicas = tonumber(string.match(info, 'connected_slaves:(%d+)')) or 0 end
end

-- Who is refused wants to know whether something may come back: what the dead took with them, who have been silent for a minute, does not.
local gone = others_spent
if granted < wanted then
  gone = 0
  local fields = redis.call('HGETALL', KEYS[1])
  for i = 1, #fields, 2 do
    local _, b, c, d = string.match(fields[i + 1], '^(%d+) (%d+) (%d+) (%d+)$')
    if b and fields[i] ~= id then
      if now + skew - tonumber(d) >= 60000 then gone = gone + tonumber(b) else gone = gone + tonumber(c) end
    end
  end
end
return { window, ends_in, granted, others, gone, replicas }
