-- Appends lines to a log if it is as its writer knows it.
-- KEYS: the lines, how often they were replaced. ARGV: the writer's number of replacements, its length, the lines.
-- Answers 1, or 0 where somebody else came first.
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] or redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('APPEND', KEYS[1], ARGV[3])
return 1
