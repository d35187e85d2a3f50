-- What was appended to a log since its reader was last there.
-- KEYS: the lines, how often they were replaced. ARGV: the reader's number of replacements, its length.
-- Answers the number of replacements, and the lines: all of them where that number is another one than the reader's.
local replaced = redis.call('GET', KEYS[2]) or '0'
local from = '0'
if replaced == ARGV[1] then
  from = ARGV[2]
end
return { replaced, redis.call('GETRANGE', KEYS[1], from, -1) }
