local left = redis.call('PTTL', KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local ttl = tonumber(ARGV[3])
if ttl < 0 then redis.call('PERSIST', KEYS[1])
elseif left ~= -1 and left < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
