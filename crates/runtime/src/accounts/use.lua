-- KEYS: the hour's counts, the mark of this batch. ARGV: seconds to live, then field and how much, and so on.
-- A batch that comes again, because its answer was lost, counts once.
if not redis.call('SET', KEYS[2], 1, 'NX', 'EX', 86400) then return 0 end
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
