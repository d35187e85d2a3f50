// Decoded copies of what is read most, so that a hot hit costs one look into a `Map` and no decoding. V8 keeps the hash
// of a string that it has once looked up, which is faster than any hash that we could compute.

import type { CacheValue } from './cache-value.js';
import { STRING_HEADER_BYTES, stringBytes } from './held-values.js';
import { isLatin1 } from './key-hash.js';
import { MAX_COUNT } from './record.js';

// Of a `Map` entry (28, up to 56 while the map is half full) and the arrays below, grown ahead of use.
const SLOT_BYTES = 96;
// A V8 map copies itself when it grows or has been changed often; with more entries that takes over 10 ms.
const SLOTS_AT_MOST = 1 << 17;
// How many slots one eviction looks at before it takes whichever comes: bounds the time of a call.
const LOOK_AT = 64;

// A slot's mark: hits not yet reported in the low bits, then:
const HITS = MAX_COUNT;
const REFERENCED = 8;
const DONE = HITS | REFERENCED;
const TEXT_OF_JSON = 16;

const NO_PROPERTIES: Record<string, unknown> = Object.create(null) as Record<string, unknown>;

/**
 * A key may be a small part of a large text, which would live as long. V8 makes a string that names a property a flat one
 * of its own, whichever part of what it was. A copy would do as well, but then each hit compares two texts, where the
 * caller's own string is found by its address.
 */
function detach(key: string): void {
  if (NO_PROPERTIES[key] !== undefined) throw new TypeError('an object without properties has one');
}

export class HotValues {
  readonly #now: () => number;
  readonly #evicted: (key: string, hits: number) => void;
  readonly #slots = new Map<string, number>();
  readonly #keys: (string | undefined)[] = [];
  readonly #values: (CacheValue | undefined)[] = [];
  readonly #vacant: number[] = [];
  #expires = new Float64Array(64);
  #costs = new Uint32Array(64);
  #marks = new Uint8Array(64);
  #hand = 0;
  bytes = 0;

  /** @param evicted Told which key made room for another, and of its hits since they were last asked for. */
  constructor(now: () => number, evicted: (key: string, hits: number) => void) {
    this.#now = now;
    this.#evicted = evicted;
  }

  /** Undefined: not here, or expired. */
  get(key: string): CacheValue | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined) return undefined;
    const expiresAt = this.#expires[slot]!;
    if (expiresAt !== Infinity && expiresAt <= this.#now()) return undefined;
    const mark = this.#marks[slot]!;
    if ((mark & DONE) !== DONE) this.#marks[slot] = (mark | REFERENCED) + ((mark & HITS) === HITS ? 0 : 1);
    const value = this.#values[slot]!;
    return (mark & TEXT_OF_JSON) === 0 ? value : (JSON.parse(value as string) as CacheValue);
  }

  /** What adding takes, in bytes, where the value itself takes `valueBytes`. */
  static cost(key: string, valueBytes: number): number {
    return SLOT_BYTES + stringBytes(key.length, !isLatin1(key)) + valueBytes;
  }

  /** For a key that is not here. */
  add(key: string, value: CacheValue, textOfJson: boolean, expiresAt: number, cost: number): void {
    const slot = this.#vacant.pop() ?? this.#keys.length;
    if (slot === this.#expires.length) this.#grow();
    detach(key);
    this.#slots.set(key, slot);
    this.#keys[slot] = key;
    this.#values[slot] = value;
    this.#expires[slot] = expiresAt;
    this.#costs[slot] = cost;
    this.#marks[slot] = textOfJson ? TEXT_OF_JSON : 0;
    this.bytes += cost;
  }

  get full(): boolean {
    return this.#slots.size >= SLOTS_AT_MOST;
  }

  /** How often the key was read since this was last asked, up to `MAX_COUNT`. */
  takeHits(key: string): number {
    const slot = this.#slots.get(key);
    if (slot === undefined) return 0;
    const mark = this.#marks[slot]!;
    this.#marks[slot] = mark & ~HITS;
    return mark & HITS;
  }

  drop(key: string): void {
    const slot = this.#slots.get(key);
    if (slot !== undefined) this.#vacate(key, slot);
  }

  /** Takes out one that was not read for a while (CLOCK). False: there is none. */
  evictOne(): boolean {
    if (this.#slots.size === 0) return false;
    for (let looked = 0; ; ) {
      this.#hand = this.#hand + 1 >= this.#keys.length ? 0 : this.#hand + 1;
      const key = this.#keys[this.#hand];
      if (key === undefined) continue;
      const mark = this.#marks[this.#hand]!;
      looked += 1;
      if ((mark & REFERENCED) !== 0 && looked < LOOK_AT) {
        this.#marks[this.#hand] = mark & ~REFERENCED;
        continue;
      }
      this.#vacate(key, this.#hand);
      this.#evicted(key, mark & HITS);
      return true;
    }
  }

  #vacate(key: string, slot: number): void {
    this.#slots.delete(key);
    this.#keys[slot] = undefined;
    this.#values[slot] = undefined;
    this.#vacant.push(slot);
    this.bytes -= this.#costs[slot]!;
  }

  #grow(): void {
    const length = this.#expires.length * 2;
    const grown = <T extends Float64Array | Uint32Array | Uint8Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#expires = grown(new Float64Array(length), this.#expires);
    this.#costs = grown(new Uint32Array(length), this.#costs);
    this.#marks = grown(new Uint8Array(length), this.#marks);
  }
}

/** What a decoded value takes, in bytes. `shared`: an object that was parsed and is kept, some four times its text. */
export function decodedBytes(value: CacheValue, text: string | undefined, shared: boolean): number {
  if (text !== undefined && shared) return 64 + text.length * 4;
  const string = text ?? value;
  if (typeof string === 'string') return stringBytes(string.length, !isLatin1(string));
  return string instanceof Uint8Array ? string.byteLength + 320 : STRING_HEADER_BYTES;
}
