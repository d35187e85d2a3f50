// How one entry lies in a segment.
//
//   word 0   hash of the key
//   word 1   expiry: whole milliseconds after the segment's base, or NEVER
//   word 2   bits 0-10 bytes of the key, 11-22 bytes of the value here, then the flags below
//   then     value, key, padding to a word
//
// A long value lies elsewhere (held-values.ts), and the value here is its handle.

import type { Payload } from './cache-value.js';
import type { Segment } from './segments.js';

/** Words before the value. */
export const HEADER_WORDS = 3;
/** 2047 bytes of key is what eleven bits say; longer keys are not worth a place in memory. */
export const MAX_KEY_BYTES = 0x7ff;
/** What twelve bits say. */
export const MAX_INLINE_BYTES = 0xfff;
/** 2^32 - 1 ms are 49 days: what expires later than that after its segment was begun, expires then. */
const NEVER = 0xffffffff;

const VALUE_SHIFT = 11;
export const KIND_SHIFT = 23;
/** Kinds, two bits. */
export const STRING = 0;
export const JSON_TEXT = 1;
export const NUMBER = 2;
export const BYTES = 3;
/** The key is UTF-16; otherwise Latin-1. */
const WIDE_KEY = 1 << 25;
/** The value is UTF-16; otherwise Latin-1. */
export const WIDE_VALUE = 1 << 26;
/** The value is the handle of a held value. */
export const HELD = 1 << 27;
/** A decoded copy lies among the hot values. */
export const HOT = 1 << 28;
const COUNT_SHIFT = 29;
/** What three bits count to. Of 3, 5, 7 and 15, 5 to 7 had the best hit ratios on Zipf traces; more ages too slowly. */
export const MAX_COUNT = 7;

// A number's two words, in this machine's order.
const numberScratch = new Float64Array(1);
const numberWords = new Uint32Array(numberScratch.buffer);

/** Words that a record with so many bytes of key and value takes. */
export const recordWords = (keyBytes: number, valueBytes: number): number => HEADER_WORDS + ((keyBytes + valueBytes + 3) >>> 2);

const keyBytesOf = (info: number): number => info & MAX_KEY_BYTES;
const valueBytesOf = (info: number): number => (info >>> VALUE_SHIFT) & MAX_INLINE_BYTES;

export const wordsAt = (segment: Segment, at: number): number => {
  const info = segment.words[at + 2]!;
  return recordWords(keyBytesOf(info), valueBytesOf(info));
};

export const kindAt = (segment: Segment, at: number): number => (segment.words[at + 2]! >>> KIND_SHIFT) & 3;
export const has = (segment: Segment, at: number, flag: number): boolean => (segment.words[at + 2]! & flag) !== 0;
export const handleAt = (segment: Segment, at: number): number => segment.words[at + HEADER_WORDS]!;
export const countAt = (segment: Segment, at: number): number => segment.words[at + 2]! >>> COUNT_SHIFT;

/** How often it was read since it was last looked at. */
export function setCount(segment: Segment, at: number, count: number): void {
  segment.words[at + 2] = (segment.words[at + 2]! & ~(MAX_COUNT << COUNT_SHIFT)) | (Math.min(count, MAX_COUNT) << COUNT_SHIFT);
}

export function setHot(segment: Segment, at: number, hot: boolean): void {
  segment.words[at + 2] = hot ? segment.words[at + 2]! | HOT : segment.words[at + 2]! & ~HOT;
}

export function setExpiry(segment: Segment, at: number, expiresAt: number): void {
  // Rounded down: an entry may go a millisecond early, never late.
  segment.words[at + 1] = expiresAt === Infinity ? NEVER : Math.max(0, Math.min(NEVER - 1, Math.floor(expiresAt - segment.base)));
}

export function expiryAt(segment: Segment, at: number): number {
  const after = segment.words[at + 1]!;
  return after === NEVER ? Infinity : segment.base + after;
}

/** Writes header and key; the value follows by one of the functions below. */
export function writeHeader(segment: Segment, at: number, hash: number, key: string, keyBytes: number, valueBytes: number, flags: number, expiresAt: number): void {
  const wide = keyBytes !== key.length;
  segment.words[at] = hash;
  segment.words[at + 2] = keyBytes | (valueBytes << VALUE_SHIFT) | flags | (wide ? WIDE_KEY : 0);
  setExpiry(segment, at, expiresAt);
  segment.bytes.write(key, (at + HEADER_WORDS) * 4 + valueBytes, wide ? 'utf16le' : 'latin1');
}

export function writeHandle(segment: Segment, at: number, handle: number): void {
  segment.words[at + HEADER_WORDS] = handle;
}

export function writeInline(segment: Segment, at: number, payload: Payload, wide: boolean): void {
  const start = (at + HEADER_WORDS) * 4;
  if (typeof payload === 'string') {
    segment.bytes.write(payload, start, wide ? 'utf16le' : 'latin1');
  } else if (typeof payload === 'number') {
    numberScratch[0] = payload;
    segment.words.set(numberWords, at + HEADER_WORDS);
  } else {
    segment.bytes.set(payload, start);
  }
}

/** The value as it was given; bytes as a copy. Not for a held one. */
export function readInline(segment: Segment, at: number): Payload {
  const info = segment.words[at + 2]!;
  const start = (at + HEADER_WORDS) * 4;
  const end = start + valueBytesOf(info);
  switch ((info >>> KIND_SHIFT) & 3) {
    case NUMBER:
      numberWords[0] = segment.words[at + HEADER_WORDS]!;
      numberWords[1] = segment.words[at + HEADER_WORDS + 1]!;
      return numberScratch[0]!;
    case BYTES:
      return new Uint8Array(segment.bytes.subarray(start, end));
    default:
      return segment.bytes.toString((info & WIDE_VALUE) !== 0 ? 'utf16le' : 'latin1', start, end);
  }
}

export function readKey(segment: Segment, at: number): string {
  const info = segment.words[at + 2]!;
  const start = (at + HEADER_WORDS) * 4 + valueBytesOf(info);
  return segment.bytes.toString((info & WIDE_KEY) !== 0 ? 'utf16le' : 'latin1', start, start + keyBytesOf(info));
}

export function keyIs(segment: Segment, at: number, key: string): boolean {
  const info = segment.words[at + 2]!;
  const bytes = segment.bytes;
  let from = (at + HEADER_WORDS) * 4 + valueBytesOf(info);
  if ((info & WIDE_KEY) !== 0) {
    if (keyBytesOf(info) !== key.length * 2) return false;
    for (let unit = 0; unit < key.length; unit += 1, from += 2) {
      if ((bytes[from]! | (bytes[from + 1]! << 8)) !== key.charCodeAt(unit)) return false;
    }
    return true;
  }
  if (keyBytesOf(info) !== key.length) return false;
  for (let unit = 0; unit < key.length; unit += 1, from += 1) {
    if (bytes[from] !== key.charCodeAt(unit)) return false;
  }
  return true;
}

/** Copies a record of so many words to another place; its expiry counts from the new segment's base. */
export function copyRecord(from: Segment, at: number, to: Segment, target: number, words: number): void {
  const expiresAt = expiryAt(from, at);
  if (from === to) to.words.copyWithin(target, at, at + words);
  else to.words.set(from.words.subarray(at, at + words), target);
  setExpiry(to, target, expiresAt);
}
