// The near tier: values of a Redis in this process's memory, so that reading a hot key needs neither the socket nor the
// border to the addon.
//
// Entries lie one after another in segments of memory outside of V8's heap (segments.ts, record.ts), an index says
// where (hash-index.ts), S3-FIFO says which stay (eviction.ts), and what is read most is kept decoded beside it
// (hot-values.ts). Everything together takes at most `maxBytes`. No library serves: lru-cache and its like keep one
// JavaScript object or more for an entry and take twice the memory, and evict by recency alone.

import { performance } from 'node:perf_hooks';

import { UniversalAiError } from '../../../errors.js';
import { type CacheValue, deepFreeze, type Payload, type PayloadKind } from './cache-value.js';
import { Eviction } from './eviction.js';
import { HashIndex } from './hash-index.js';
import { HeldValues } from './held-values.js';
import { decodedBytes, HotValues } from './hot-values.js';
import { hashKey, isLatin1 } from './key-hash.js';
import {
  BYTES, countAt, expiryAt, handleAt, has, HELD, HOT, JSON_TEXT, KIND_SHIFT, kindAt, MAX_COUNT, MAX_INLINE_BYTES, MAX_KEY_BYTES, NUMBER, readInline,
  recordWords, setCount, setHot, STRING, WIDE_VALUE, writeHandle, writeHeader, writeInline,
} from './record.js';
import { type Segment, Segments } from './segments.js';

// Positions have 32 bits and count words: 16 GiB. Half of it, as ids of dropped segments may leave gaps.
const MAX_BYTES_AT_MOST = 2 ** 33;
// Two queues waste half a segment at each end, and two stay in reserve: with 512 that is some 0.8 %.
const SEGMENTS = 512;
const SEGMENT_BYTES_AT_LEAST = 512;
// Larger ones would spare nothing, and getting one takes time.
const SEGMENT_BYTES_AT_MOST = 2 ** 18;
// While records move from an old segment to a new one, both queues may need one more.
const RESERVED_SEGMENTS = 2;
// A part of the index for as much memory has at most some thousand entries: growing it takes less than 0.1 ms.
const BYTES_PER_PART = 2 ** 18;
const PARTS_BITS_AT_MOST = 12;
// From here on, an object of its own costs a string less than a tenth, and spares copying when the entry moves.
const INLINE_TEXT_BYTES = 255;
// An entry of more than an eighth of the tier would drive out too much for one key.
const LARGEST_SHARE = 8;
// Hot copies may always have 1/64 of the tier, which serves about half of the reads on Zipf traces, and up to a half while
// nobody else needs it. But a large tier, whose memory counts, spends a tenth on them, and only a small one more:
// 40 MiB are 100,000 entries of 100 bytes with a hot copy of each.
const HOT_SHARE_AT_LEAST = 64;
const HOT_SHARE_AT_MOST = 2;
const HOT_SHARE_OF_STORE = 10;
const SMALL_TIER_BYTES = 40 * 2 ** 20;
// With no room for more, one of so many candidates replaces another: replacing at each read would cost more than it saves.
const REPLACE_ONE_OF = 4;

const KINDS: Record<PayloadKind, number> = { string: STRING, json: JSON_TEXT, number: NUMBER, bytes: BYTES };

export interface NearTierOptions {
  /** What the tier may take, everything included but a few kilobytes of its own objects; up to 8 GiB. Memory is taken as it is needed. */
  maxBytes: number;
  /** Gives all callers the same value: JSON deeply frozen, bytes as they are. Otherwise each hit gets a fresh one. */
  share?: boolean;
  /** Milliseconds that never go back; default `performance.now`. */
  now?: () => number;
}

export class NearTier {
  readonly #maxBytes: number;
  readonly #share: boolean;
  readonly #now: () => number;
  readonly #segmentBytes: number;
  readonly #indexBits: number;
  #segments!: Segments;
  #index!: HashIndex;
  #held!: HeldValues;
  #hot!: HotValues;
  #eviction!: Eviction;
  #candidates = 0;

  constructor(options: NearTierOptions) {
    const { maxBytes } = options;
    if (!(maxBytes >= 0 && maxBytes <= MAX_BYTES_AT_MOST)) {
      throw new UniversalAiError('UAT_INVALID_INPUT', `maxBytes of the near cache must be a number from 0 to ${MAX_BYTES_AT_MOST}, and is ${String(maxBytes)}`, { details: { field: 'maxBytes' } });
    }
    this.#maxBytes = maxBytes;
    this.#share = options.share ?? false;
    this.#now = options.now ?? (() => performance.now());
    this.#segmentBytes = Math.min(SEGMENT_BYTES_AT_MOST, Math.max(SEGMENT_BYTES_AT_LEAST, powerOfTwo(maxBytes / SEGMENTS)));
    this.#indexBits = Math.min(PARTS_BITS_AT_MOST, Math.log2(powerOfTwo(maxBytes / BYTES_PER_PART)));
    this.clear();
  }

  /** Entries, those included that have expired unnoticed. */
  get size(): number {
    return this.#index.size;
  }

  /** What the tier takes now, in bytes; never more than `maxBytes`. */
  get bytes(): number {
    return this.#used() + this.#segments.freeBytes;
  }

  /** Undefined: a miss. */
  get(key: string): CacheValue | undefined {
    return this.#hot.get(key) ?? this.#getCold(key);
  }

  /**
   * Replaces what the key had, at once, also where the new value is not admitted. That is the case for a key of more than 2047
   * bytes (1023 UTF-16 units if some are outside Latin-1), and for an entry that takes more than an eighth of `maxBytes`.
   *
   * @param payload Valid JSON for kind `json`. It is copied.
   * @param expiresAt On the tier's clock; `Infinity` for never. In effect rounded down to whole milliseconds, and at most 49 days.
   */
  put(key: string, kind: PayloadKind, payload: Payload, expiresAt: number): void {
    const hash = hashKey(key);
    const nowMs = this.#now();
    let reads = 0;
    let toMain = false;
    const old = this.#index.find(hash, key);
    if (old >= 0) {
      const segment = this.#segments.at(old);
      const at = this.#segments.offset(old);
      reads = Math.min(MAX_COUNT, countAt(segment, at) + (has(segment, at, HOT) ? this.#hot.takeHits(key) : 0));
      toMain = segment.queue === this.#eviction.main;
      this.#eviction.remove(old);
    }
    if (expiresAt > nowMs) this.#insert(key, hash, KINDS[kind], payload, expiresAt, nowMs, toMain, reads);
    this.#settle();
  }

  /** Whether there was an entry that had not expired. */
  delete(key: string): boolean {
    const position = this.#index.find(hashKey(key), key);
    if (position < 0) return false;
    const live = expiryAt(this.#segments.at(position), this.#segments.offset(position)) > this.#now();
    this.#eviction.remove(position);
    return live;
  }

  clear(): void {
    this.#segments = new Segments(this.#segmentBytes);
    this.#index = new HashIndex(this.#segments, this.#indexBits);
    this.#held = new HeldValues();
    this.#hot = new HotValues(this.#now, (key, hits) => this.#cooled(key, hits));
    this.#eviction = new Eviction(this.#maxBytes, this.#segments, this.#index, this.#held, this.#hot, () => this.#used() + this.#segmentBytes <= this.#maxBytes);
  }

  #getCold(key: string): CacheValue | undefined {
    const position = this.#index.find(hashKey(key), key);
    if (position < 0) return undefined;
    const segment = this.#segments.at(position);
    const at = this.#segments.offset(position);
    const expiresAt = expiryAt(segment, at);
    if (expiresAt !== Infinity && expiresAt <= this.#now()) {
      this.#eviction.remove(position);
      return undefined;
    }
    const count = countAt(segment, at);
    setCount(segment, at, count + 1);
    const kind = kindAt(segment, at);
    const held = has(segment, at, HELD);
    const payload = held ? this.#held.read(handleAt(segment, at), kind !== BYTES, has(segment, at, WIDE_VALUE)) : readInline(segment, at);
    const text = kind === JSON_TEXT ? (payload as string) : undefined;
    const parsed = text === undefined ? payload : (JSON.parse(text) as CacheValue);
    const value = this.#share ? deepFreeze(parsed) : parsed;
    // What is shared has to be kept from the first hit on, so that the second one gets the same.
    const wanted = this.#share || (kind !== BYTES && count > 0);
    if (wanted && !has(segment, at, HOT)) {
      const kept = text === undefined || this.#share ? value : text;
      const free = held && kept === payload && typeof kept === 'string';
      this.#heat(key, segment, at, kept, text !== undefined && !this.#share, expiresAt, free ? 0 : decodedBytes(value, text, this.#share));
    }
    return value;
  }

  /** Keeps a decoded copy if there is room for it or it is its turn to take another's. */
  #heat(key: string, segment: Segment, at: number, value: CacheValue, textOfJson: boolean, expiresAt: number, valueBytes: number): void {
    const cost = HotValues.cost(key, valueBytes);
    const most = this.#hotBytesAtMost();
    if (cost > most) return;
    if (this.#hot.full || this.#hot.bytes + cost > most) {
      this.#candidates += 1;
      if (this.#candidates % REPLACE_ONE_OF !== 0) return;
      do if (!this.#hot.evictOne()) return;
      while (this.#hot.bytes + cost > most);
    }
    this.#hot.add(key, value, textOfJson, expiresAt, cost);
    setHot(segment, at, true);
    this.#settle();
  }

  /** A hot copy had to go: its reads count for the entry. */
  #cooled(key: string, hits: number): void {
    const position = this.#index.find(hashKey(key), key);
    if (position < 0) return;
    const segment = this.#segments.at(position);
    const at = this.#segments.offset(position);
    setHot(segment, at, false);
    setCount(segment, at, countAt(segment, at) + hits);
  }

  #insert(key: string, hash: number, kind: number, payload: Payload, expiresAt: number, nowMs: number, toMain: boolean, reads: number): void {
    const keyBytes = isLatin1(key) ? key.length : key.length * 2;
    const wide = typeof payload === 'string' && !isLatin1(payload);
    const size = typeof payload === 'string' ? payload.length * (wide ? 2 : 1) : typeof payload === 'number' ? 8 : payload.byteLength;
    const inlineAtMost = Math.min(typeof payload === 'string' ? INLINE_TEXT_BYTES : MAX_INLINE_BYTES, this.#segmentBytes / 4);
    const holds = typeof payload !== 'number' && size > inlineAtMost ? payload : undefined;
    const heldBytes = holds === undefined ? 0 : HeldValues.bytesFor(holds, wide);
    const valueBytes = holds === undefined ? size : 4;
    const words = recordWords(keyBytes, valueBytes);
    if (keyBytes > MAX_KEY_BYTES || words * 4 > this.#segmentBytes / 2 || words * 4 + heldBytes > this.#maxBytes / LARGEST_SHARE) return;

    const returns = this.#eviction.ghosts.take(hash);
    const queue = toMain || returns ? this.#eviction.main : this.#eviction.small;
    for (;;) {
      const need = heldBytes + this.#index.growthFor(hash) + (queue.needsSegment(words) ? this.#segmentBytes : 0);
      const forHot = Math.max(this.#hot.bytes, this.#maxBytes / HOT_SHARE_AT_LEAST);
      if (this.#storeUsed() + need + RESERVED_SEGMENTS * this.#segmentBytes + forHot <= this.#maxBytes) break;
      const yielded = this.#hot.bytes > this.#maxBytes / HOT_SHARE_AT_LEAST && this.#hot.evictOne();
      if (!yielded && !this.#eviction.step(nowMs)) return;
    }
    // The store has grown into what hot copies could have before: they yield faster than it grows.
    if (this.#hot.bytes > this.#hotBytesAtMost()) {
      this.#hot.evictOne();
      this.#hot.evictOne();
    }
    const position = queue.append(words, nowMs);
    const segment = this.#segments.at(position);
    const at = this.#segments.offset(position);
    const flags = (kind << KIND_SHIFT) | (wide ? WIDE_VALUE : 0) | (holds === undefined ? 0 : HELD);
    writeHeader(segment, at, hash, key, keyBytes, valueBytes, flags, expiresAt);
    if (holds === undefined) {
      writeInline(segment, at, payload, wide);
    } else {
      const handle = this.#held.hold(holds, wide);
      writeHandle(segment, at, handle);
      queue.bytes += this.#held.size(handle, wide);
    }
    setCount(segment, at, reads);
    this.#index.insert(hash, position);
  }

  /** Emptied segments stay for the next use as long as nothing else needs their bytes. */
  #settle(): void {
    while (this.bytes > this.#maxBytes && this.#segments.dropFree());
  }

  #hotBytesAtMost(): number {
    const store = this.#storeUsed();
    const spare = this.#maxBytes - store - RESERVED_SEGMENTS * this.#segmentBytes;
    const sensible = Math.max(store / HOT_SHARE_OF_STORE, SMALL_TIER_BYTES - store);
    return Math.min(this.#maxBytes / HOT_SHARE_AT_MOST, sensible, Math.max(spare, this.#maxBytes / HOT_SHARE_AT_LEAST));
  }

  #storeUsed(): number {
    return this.#segments.usedBytes + this.#index.bytes + this.#eviction.ghosts.bytes + this.#held.bytes;
  }

  #used(): number {
    return this.#storeUsed() + this.#hot.bytes;
  }
}

/** The largest power of two that is not larger; 1 at least. */
function powerOfTwo(value: number): number {
  return 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, value))));
}
