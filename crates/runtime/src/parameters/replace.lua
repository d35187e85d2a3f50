-- Puts other lines in place of all of a log, or removes it where there are none, if it is as its writer knows it.
-- KEYS and ARGV as those of append.lua. Answers 1, or 0 where somebody else came first.
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] or redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[2]) then
  return 0
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[3])
end
redis.call('INCR', KEYS[2])
return 1
