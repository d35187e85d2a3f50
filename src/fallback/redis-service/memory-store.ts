/**
 * Values in this process, within a number of bytes: the whole store when there is no Redis, and what is written while
 * Redis is away. The least recently used value goes first. Knows no encoding and reads no clock.
 */

/** What a value costs beside its bytes: the map's entry and two objects, measured at 150 to 200 bytes on Node 20. */
const ENTRY_BYTES = 200;
/** How many of the oldest entries each write looks at for expired ones, so that they go without a timer. */
const SWEPT_PER_WRITE = 2;

interface Entry {
  stored: Uint8Array;
  /** On the caller's clock; `Infinity` for never. */
  expiresAt: number;
  tags: string[];
  bytes: number;
}

export interface Found {
  stored: Uint8Array;
  expiresAt: number;
}

export class MemoryStore {
  readonly #maxBytes: number;
  /** Oldest use first. */
  readonly #entries = new Map<string, Entry>();
  readonly #tagged = new Map<string, Set<string>>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `false`: it is larger than everything together may be; then the key has no value. */
  set(key: string, stored: Uint8Array, expiresAt: number, tags: string[], now: number): boolean {
    this.delete(key, now);
    // Text in memory takes up to two bytes a unit; each tag holds the key once more.
    const bytes = ENTRY_BYTES + key.length * 2 + stored.length + tags.length * ENTRY_BYTES;
    if (bytes > this.#maxBytes) return false;
    this.#sweep(now);
    while (this.#bytes + bytes > this.#maxBytes) this.#removeOldest();
    this.#entries.set(key, { stored, expiresAt, tags, bytes });
    this.#bytes += bytes;
    for (const tag of tags) {
      const keys = this.#tagged.get(tag);
      if (keys === undefined) this.#tagged.set(tag, new Set([key]));
      else keys.add(key);
    }
    return true;
  }

  get(key: string, now: number): Found | undefined {
    const entry = this.#live(key, now);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  /** Without counting as a use. */
  has(key: string, now: number): boolean {
    return this.#live(key, now) !== undefined;
  }

  expiresAt(key: string, now: number): number | undefined {
    return this.#live(key, now)?.expiresAt;
  }

  expire(key: string, expiresAt: number, now: number): boolean {
    const entry = this.#live(key, now);
    if (entry === undefined) return false;
    entry.expiresAt = expiresAt;
    return true;
  }

  delete(key: string, now: number): boolean {
    const live = this.#live(key, now) !== undefined;
    if (live) this.#remove(key);
    return live;
  }

  /** How many values there were whose keys begin so. */
  clear(prefix: string, now: number): number {
    let count = 0;
    for (const key of this.#entries.keys()) {
      if (key.startsWith(prefix) && this.delete(key, now)) count += 1;
    }
    return count;
  }

  invalidateTag(tag: string, now: number): number {
    let count = 0;
    for (const key of this.#tagged.get(tag) ?? []) {
      if (this.delete(key, now)) count += 1;
    }
    return count;
  }

  #live(key: string, now: number): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresAt > now) return entry;
    this.#remove(key);
    return undefined;
  }

  #sweep(now: number): void {
    let looked = 0;
    for (const [key, { expiresAt }] of this.#entries) {
      if (looked === SWEPT_PER_WRITE) return;
      looked += 1;
      if (expiresAt <= now) this.#remove(key);
    }
  }

  #removeOldest(): void {
    for (const key of this.#entries.keys()) {
      this.#remove(key);
      return;
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    for (const tag of entry.tags) {
      const keys = this.#tagged.get(tag);
      keys?.delete(key);
      if (keys?.size === 0) this.#tagged.delete(tag);
    }
  }
}
