import { UniversalAiError } from '../../errors.js';
import { type NewRow, type Refusal, type SessionRow, type SessionTable, TOMBSTONE_MS } from './session-table.js';

/** What a session costs beside its data. */
const ROW_BYTES = 500;

type Kept = { row: SessionRow } | { destroyedUntil: number };

/**
 * Sessions in this process. Within a number of bytes like the cache, but none is ever dropped to make room: what does
 * not fit is refused.
 */
export class MemorySessions implements SessionTable {
  readonly #maxBytes: number;
  readonly #now: () => number;
  readonly #rows = new Map<string, Kept>();
  readonly #users = new Map<string, Set<string>>();
  #bytes = 0;

  /** @param now Milliseconds since 1970. */
  constructor(maxBytes: number, now: () => number) {
    this.#maxBytes = maxBytes;
    this.#now = now;
  }

  async write(hash: string, mode: 'new' | 'upsert', given: NewRow): Promise<SessionRow | Refusal> {
    const now = this.#now();
    const kept = this.#live(hash, now);
    if (kept !== undefined && 'destroyedUntil' in kept) return 'destroyed';
    if (kept !== undefined && mode === 'new') return 'exists';
    const { data, userId, ttlMs, rolling, absoluteTtlMs } = given;
    const endsAt = absoluteTtlMs === undefined ? given.endsAt : now + absoluteTtlMs;
    const createdAt = given.createdAt ?? kept?.row.createdAt ?? now;
    const row = { version: (kept?.row.version ?? 0) + 1, data, userId, createdAt, ttlMs, rolling, endsAt, expiresAt: end(now + ttlMs, endsAt) };
    this.#keep(hash, row, now);
    return row;
  }

  async update(hash: string, data: Uint8Array): Promise<SessionRow | Refusal> {
    const now = this.#now();
    const kept = this.#live(hash, now);
    if (kept === undefined || !('row' in kept)) return 'gone';
    const { row: before } = kept;
    const row = { ...before, version: before.version + 1, data, expiresAt: before.rolling ? end(now + before.ttlMs, before.endsAt) : before.expiresAt };
    this.#keep(hash, row, now);
    return row;
  }

  async read(hash: string, roll: boolean): Promise<SessionRow | undefined> {
    const now = this.#now();
    const kept = this.#live(hash, now);
    if (kept === undefined || !('row' in kept)) return undefined;
    if (roll && kept.row.rolling) kept.row.expiresAt = end(now + kept.row.ttlMs, kept.row.endsAt);
    return { ...kept.row };
  }

  async touch(hash: string, ttlMs: number | undefined): Promise<SessionRow | undefined> {
    const now = this.#now();
    const kept = this.#live(hash, now);
    if (kept === undefined || !('row' in kept)) return undefined;
    kept.row.ttlMs = ttlMs ?? kept.row.ttlMs;
    kept.row.expiresAt = end(now + kept.row.ttlMs, kept.row.endsAt);
    return { ...kept.row };
  }

  async destroy(hash: string): Promise<{ existed: boolean; userId: string | undefined }> {
    const now = this.#now();
    const kept = this.#live(hash, now);
    const row = kept !== undefined && 'row' in kept ? kept.row : undefined;
    this.#remove(hash);
    if (this.#bytes + ROW_BYTES > this.#maxBytes) this.#sweep(now);
    // Without room only the tombstone of an id that never was is left out.
    if (row !== undefined || this.#bytes + ROW_BYTES <= this.#maxBytes) {
      this.#rows.set(hash, { destroyedUntil: now + TOMBSTONE_MS });
      this.#bytes += ROW_BYTES;
    }
    return { existed: row !== undefined, userId: row?.userId };
  }

  async indexAdd(userId: string, hash: string): Promise<void> {
    const listed = this.#users.get(userId);
    if (listed === undefined) this.#users.set(userId, new Set([hash]));
    else listed.add(hash);
  }

  async indexRemove(userId: string, hashes: string[]): Promise<void> {
    const listed = this.#users.get(userId);
    if (listed === undefined) return;
    for (const hash of hashes) listed.delete(hash);
    if (listed.size === 0) this.#users.delete(userId);
  }

  async index(userId: string): Promise<string[]> {
    return [...this.#users.get(userId) ?? []];
  }

  #keep(hash: string, row: SessionRow, now: number): void {
    this.#remove(hash);
    const bytes = ROW_BYTES + row.data.length;
    if (this.#bytes + bytes > this.#maxBytes) this.#sweep(now);
    if (this.#bytes + bytes > this.#maxBytes) {
      throw new UniversalAiError('UAT_STORAGE', `sessions: all ${this.#maxBytes} bytes of options.fallback.maxBytes hold live sessions; raise it or use Redis`, { retryable: true });
    }
    this.#rows.set(hash, { row });
    this.#bytes += bytes;
  }

  #live(hash: string, now: number): Kept | undefined {
    const kept = this.#rows.get(hash);
    if (kept === undefined) return undefined;
    if (('row' in kept ? kept.row.expiresAt : kept.destroyedUntil) > now) return kept;
    this.#forget(hash, kept);
    return undefined;
  }

  #sweep(now: number): void {
    for (const hash of this.#rows.keys()) this.#live(hash, now);
  }

  #forget(hash: string, kept: Kept): void {
    this.#remove(hash);
    if (!('row' in kept) || kept.row.userId === undefined) return;
    const listed = this.#users.get(kept.row.userId);
    listed?.delete(hash);
    if (listed?.size === 0) this.#users.delete(kept.row.userId);
  }

  #remove(hash: string): void {
    const kept = this.#rows.get(hash);
    if (kept === undefined) return;
    this.#rows.delete(hash);
    this.#bytes -= 'row' in kept ? ROW_BYTES + kept.row.data.length : ROW_BYTES;
  }
}

function end(rolled: number, endsAt: number): number {
  return endsAt === 0 ? rolled : Math.min(rolled, endsAt);
}
