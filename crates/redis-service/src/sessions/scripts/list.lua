-- Puts a session on the list of its user, and lets the list live as long as the longest of its sessions.
-- KEYS[1]  the user's set
-- ARGV     1 hex SHA-256 of the session's id
--          2 how long the list has to live at least, ms
redis.call('SADD', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
