// The hash of a key: 32 bits, of its UTF-16 units, other in each process so that nobody can prepare keys that collide.
// Hand-written because V8 does not give out the hash of a string, and hashing bytes would mean encoding each key first.

import { randomBytes } from 'node:crypto';

const secret = randomBytes(8);
const START = secret.readInt32LE(0);
// Odd, so that multiplying loses no bits. Secret, because a known multiplier lets collisions be computed.
const MULTIPLIER = secret.readInt32LE(4) | 1;

/** 32 bits, unsigned. Two units a step: the multiplication is what takes time. */
export function hashKey(key: string): number {
  const length = key.length;
  let hash = START ^ length;
  let at = 0;
  for (; at + 1 < length; at += 2) {
    hash = Math.imul(hash ^ (key.charCodeAt(at) | (key.charCodeAt(at + 1) << 16)), MULTIPLIER);
    // High bits come down, which a product alone never does: without this, Thue-Morse strings collide for any multiplier.
    hash ^= hash >>> 15;
  }
  if (at < length) {
    hash = Math.imul(hash ^ key.charCodeAt(at), MULTIPLIER);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** Whether each UTF-16 unit fits into a byte. */
export function isLatin1(text: string): boolean {
  // A compiled expression is several times faster than a loop over charCodeAt for long texts.
  return !/[\u0100-\uffff]/.test(text);
}
