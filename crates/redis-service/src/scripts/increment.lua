local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum > 9007199254740991 or sum < -9007199254740991 then
  redis.call('DECRBY', KEYS[1], ARGV[1])
  return redis.error_reply('UNSAFE the sum would be no safe integer')
end
if ARGV[2] ~= '' and redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum
