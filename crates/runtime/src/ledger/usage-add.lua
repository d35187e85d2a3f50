-- Adds rows of usage to those of a day, once for each batch.
-- KEYS[1]  the day's hash   KEYS[2]  the batch
-- ARGV     1 s for which the day is kept   2 s for which the batch is remembered   then field, how much, field, how much, ...
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[2]) then return 0 end
for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
