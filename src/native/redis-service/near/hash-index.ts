// Where the record of a key lies: open addressing with linear probing, in parts that grow each by itself, so that no
// insertion waits for the whole to be copied. Hand-written because a `Map` takes three times as much for an entry.

import { keyIs } from './record.js';
import type { Segments } from './segments.js';

const FIRST_CAPACITY = 8;
// Eight bytes for a place of the table: hash, position + 1.
const PLACE_BYTES = 8;
// Fuller than this, linear probing looks at more than three places on average for a key that is there.
const FULLEST = 0.8;
// More moves entries less often, and leaves more places empty for longer.
const GROWTH = 1.25;
/** Of a typed array and its memory, beside its contents. */
export const TABLE_OVERHEAD_BYTES = 200;

/** An even share of [0, places) for a hash of which the upper bits have been used up already. */
export function home(hash: number, places: number): number {
  return Math.floor(((Math.imul(hash, 0x9e3779b1) >>> 0) * places) / 0x1_0000_0000);
}

export class HashIndex {
  readonly #segments: Segments;
  readonly #shift: number;
  readonly #tables: (Uint32Array | undefined)[];
  readonly #counts: Uint32Array;
  bytes = 0;
  size = 0;

  /** @param bits The index has 2^bits parts. */
  constructor(segments: Segments, bits: number) {
    this.#segments = segments;
    this.#shift = 32 - bits;
    this.#tables = Array.from({ length: 1 << bits }, () => undefined);
    this.#counts = new Uint32Array(1 << bits);
  }

  /** The part that a hash belongs to. */
  part(hash: number): number {
    // A shift by 32 would be one by 0.
    return this.#shift === 32 ? 0 : hash >>> this.#shift;
  }

  count(part: number): number {
    return this.#counts[part]!;
  }

  /** The position of the key's record, or -1. */
  find(hash: number, key: string): number {
    const table = this.#tables[this.part(hash)];
    if (table === undefined) return -1;
    const places = table.length >>> 1;
    for (let place = home(hash, places); ; place = place + 1 === places ? 0 : place + 1) {
      const entry = table[place * 2 + 1]!;
      if (entry === 0) return -1;
      if (table[place * 2] === hash) {
        const position = entry - 1;
        if (keyIs(this.#segments.at(position), this.#segments.offset(position), key)) return position;
      }
    }
  }

  /** Whether a record at this position is still the one of its key. */
  has(hash: number, position: number): boolean {
    return this.#place(hash, position) >= 0;
  }

  /** Bytes that `insert` would add. */
  growthFor(hash: number): number {
    const part = this.part(hash);
    const table = this.#tables[part];
    if (table === undefined) return FIRST_CAPACITY * PLACE_BYTES + TABLE_OVERHEAD_BYTES;
    const places = table.length >>> 1;
    return this.#counts[part]! + 1 <= places * FULLEST ? 0 : (Math.ceil(places * GROWTH) - places) * PLACE_BYTES;
  }

  /** For a key that has no record. */
  insert(hash: number, position: number): void {
    const part = this.part(hash);
    let table = this.#tables[part];
    const growth = this.growthFor(hash);
    if (table === undefined) {
      table = this.#tables[part] = new Uint32Array(FIRST_CAPACITY * 2);
    } else if (growth > 0) {
      const larger = new Uint32Array(Math.ceil((table.length >>> 1) * GROWTH) * 2);
      for (let at = 0; at < table.length; at += 2) {
        if (table[at + 1] !== 0) place(larger, table[at]!, table[at + 1]!);
      }
      table = this.#tables[part] = larger;
    }
    this.bytes += growth;
    place(table, hash, position + 1);
    this.#counts[part]! += 1;
    this.size += 1;
  }

  /** A record was copied to another place. */
  move(hash: number, from: number, to: number): void {
    this.#tables[this.part(hash)]![this.#place(hash, from) * 2 + 1] = to + 1;
  }

  remove(hash: number, position: number): void {
    const part = this.part(hash);
    const table = this.#tables[part]!;
    const places = table.length >>> 1;
    let hole = this.#place(hash, position);
    // Those that follow move up, so that no marks of removed ones lengthen every search.
    for (let next = hole; ; ) {
      next = next + 1 === places ? 0 : next + 1;
      if (table[next * 2 + 1] === 0) break;
      const wanted = home(table[next * 2]!, places);
      const stays = hole < next ? wanted > hole && wanted <= next : wanted > hole || wanted <= next;
      if (stays) continue;
      table[hole * 2] = table[next * 2]!;
      table[hole * 2 + 1] = table[next * 2 + 1]!;
      hole = next;
    }
    table[hole * 2 + 1] = 0;
    this.#counts[part]! -= 1;
    this.size -= 1;
  }

  #place(hash: number, position: number): number {
    const table = this.#tables[this.part(hash)];
    if (table === undefined) return -1;
    const places = table.length >>> 1;
    for (let at = home(hash, places); ; at = at + 1 === places ? 0 : at + 1) {
      const entry = table[at * 2 + 1]!;
      if (entry === position + 1) return at;
      if (entry === 0) return -1;
    }
  }
}

function place(table: Uint32Array, hash: number, entry: number): void {
  const places = table.length >>> 1;
  let at = home(hash, places);
  while (table[at * 2 + 1] !== 0) at = at + 1 === places ? 0 : at + 1;
  table[at * 2] = hash;
  table[at * 2 + 1] = entry;
}
