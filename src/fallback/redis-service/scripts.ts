import { createHash } from 'node:crypto';

/** A Lua script and the name that Redis gives it. */
export interface Script {
  text: string;
  sha: string;
}

export function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

/** Gives a lock back, or deletes an unreadable value, only if it still is what we saw. ARGV: 1 what it must be. */
export const DELETE_IF_EQUAL: Script = script(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
return 0
`);

/** Keeps a lock that is still ours. ARGV: 1 the token, 2 ms. */
export const RENEW_IF_EQUAL: Script = script(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`);

/** Adds to an integer within JavaScript's safe ones, or changes nothing. ARGV: 1 how much, 2 ms to live if it has no expiry, or ''. */
export const INCREMENT: Script = script(`local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if sum > 9007199254740991 or sum < -9007199254740991 then
  redis.call('DECRBY', KEYS[1], ARGV[1])
  return redis.error_reply('UNSAFE the sum would be no safe integer')
end
if ARGV[2] ~= '' and redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum
`);

/** Enters a key in the hash of a tag, which lives as long as the longest of its values. ARGV: 1 key, 2 token, 3 the value's ms to live or -1. */
export const TAG_ENTER: Script = script(`local left = redis.call('PTTL', KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local ttl = tonumber(ARGV[3])
if ttl < 0 then redis.call('PERSIST', KEYS[1])
elseif left ~= -1 and left < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
`);

/** Removes the keys that nobody has entered again. ARGV: key, token, key, token, ... */
export const TAG_REMOVE: Script = script(`for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
`);
