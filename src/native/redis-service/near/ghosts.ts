// Which keys were evicted lately: their hashes, about as many as there are entries. Who comes back from here has been
// asked for twice and skips the line. A wrong answer, once in thousands, does no harm.

import { home, TABLE_OVERHEAD_BYTES, type HashIndex } from './hash-index.js';

// Hashes share a set, which forgets its oldest; in sets of eight that comes close to one long line.
const SET = 8;
// Rebuilding at each new entry would cost more than being a fifth too small or twice too large.
const GROW_AT = 1.2;
const SHRINK_AT = 0.5;

export class Ghosts {
  readonly #index: HashIndex;
  readonly #tables = new Map<number, Uint32Array>();
  bytes = 0;

  constructor(index: HashIndex) {
    this.#index = index;
  }

  /** @param hash That of an evicted key. */
  add(hash: number): void {
    const part = this.#index.part(hash);
    const wanted = Math.max(1, Math.ceil(this.#index.count(part) / SET));
    let table = this.#tables.get(part);
    if (table === undefined || wanted * SET > table.length * GROW_AT || wanted * SET < table.length * SHRINK_AT) {
      const next = new Uint32Array(wanted * SET);
      this.bytes += next.byteLength - (table === undefined ? -TABLE_OVERHEAD_BYTES : table.byteLength);
      // Oldest first, so that the newest are in front again.
      for (let at = SET - 1; table !== undefined && at >= 0; at -= 1) {
        for (let set = at; set < table.length; set += SET) if (table[set] !== 0) push(next, table[set]!);
      }
      this.#tables.set(part, (table = next));
    }
    push(table, hash === 0 ? 1 : hash);
  }

  /** Whether a key was evicted lately; it is then forgotten here. */
  take(hash: number): boolean {
    const table = this.#tables.get(this.#index.part(hash));
    if (table === undefined) return false;
    const sought = hash === 0 ? 1 : hash;
    const start = home(sought, table.length / SET) * SET;
    for (let at = start; at < start + SET; at += 1) {
      if (table[at] !== sought) continue;
      table.copyWithin(at, at + 1, start + SET);
      table[start + SET - 1] = 0;
      return true;
    }
    return false;
  }
}

function push(table: Uint32Array, hash: number): void {
  const start = home(hash, table.length / SET) * SET;
  table.copyWithin(start + 1, start, start + SET - 1);
  table[start] = hash;
}
