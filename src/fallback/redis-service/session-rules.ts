import { createHash, randomBytes } from 'node:crypto';

import { UniversalAiError } from '../../errors.js';
import type { CheckedSessionOptions, SessionBackend } from '../../services/redis-service-backend.js';
import type { ListedSession, Session } from '../../services/redis-service-types.js';
import type { NewRow, Refusal, SessionRow, SessionTable } from './session-table.js';
import type { Values } from './values.js';

/** 256 bits, so that nobody guesses one. */
const ID_BYTES = 32;
/** A user's list outlives the sessions on it by this, so that a session that rolls on is always listed. */
const INDEX_SLACK_MS = 86_400_000;
/** Times that `revokeAll` reads the list again: what it destroys may just have been regenerated. */
const REVOKE_TURNS = 64;
const HANDLE = /^s:([0-9a-f]{64})$/;

/**
 * What sessions are, over any table: ids and their hashes, the list of each user, and which step comes first so that a
 * crash in between never leaves a session that `revokeAll` does not find.
 */
export class SessionRules implements SessionBackend {
  readonly #table: SessionTable;
  readonly #values: Values;

  constructor(table: SessionTable, values: Values) {
    this.#table = table;
    this.#values = values;
  }

  async create(data: Record<string, unknown>, options: CheckedSessionOptions): Promise<Session> {
    const id = newId();
    return this.#session(id, await this.#write(id, 'new', this.#newRow(data, options)));
  }

  async put(id: string, data: Record<string, unknown>, options: CheckedSessionOptions): Promise<Session> {
    return this.#session(id, await this.#write(id, 'upsert', this.#newRow(data, options)));
  }

  async get(id: string): Promise<Session | null> {
    const row = await this.#table.read(hashOf(id), true);
    if (row === undefined) return null;
    await this.#keepListed(id, row);
    return this.#session(id, row);
  }

  async update(id: string, data: Record<string, unknown>): Promise<Session> {
    const row = written(await this.#table.update(hashOf(id), this.#values.encode(data, 'data')));
    await this.#keepListed(id, row);
    return this.#session(id, row);
  }

  async touch(id: string, ttlMs: number | undefined): Promise<boolean> {
    const row = await this.#table.touch(hashOf(id), ttlMs);
    if (row === undefined) return false;
    if (row.userId !== undefined) await this.#table.indexAdd(row.userId, hashOf(id), row.ttlMs + INDEX_SLACK_MS);
    return true;
  }

  async regenerate(id: string): Promise<Session> {
    const old = await this.#table.read(hashOf(id), false);
    if (old === undefined) throw notFound();
    const next = newId();
    const { data, userId, ttlMs, rolling, endsAt, createdAt } = old;
    const row = await this.#write(next, 'new', { data, userId, ttlMs, rolling, absoluteTtlMs: undefined, endsAt, createdAt });
    if (await this.destroy(id)) return this.#session(next, row);
    // Somebody else ended it meanwhile: what was ended does not live on under a new id.
    await this.destroy(next);
    throw notFound();
  }

  async destroy(idOrHandle: string): Promise<boolean> {
    const hash = HANDLE.exec(idOrHandle)?.[1] ?? hashOf(idOrHandle);
    const { existed, userId } = await this.#table.destroy(hash);
    if (userId !== undefined) await this.#table.indexRemove(userId, [hash]);
    return existed;
  }

  async listForUser(userId: string): Promise<ListedSession[]> {
    const hashes = await this.#table.index(userId);
    const rows = await Promise.all(hashes.map(hash => this.#table.read(hash, false)));
    const gone = hashes.filter((_, at) => rows[at] === undefined);
    if (gone.length > 0) await this.#table.indexRemove(userId, gone);
    return hashes.flatMap((hash, at) => {
      const row = rows[at];
      if (row === undefined) return [];
      const { id: _, ...listed } = this.#session('', row);
      return [{ ...listed, handle: `s:${hash}` }];
    });
  }

  async revokeAll(userId: string): Promise<number> {
    let count = 0;
    for (let turn = 0; turn < REVOKE_TURNS; turn += 1) {
      const hashes = await this.#table.index(userId);
      if (hashes.length === 0) break;
      const destroyed = await Promise.all(hashes.map(hash => this.#table.destroy(hash)));
      await this.#table.indexRemove(userId, hashes);
      count += destroyed.filter(({ existed }) => existed).length;
    }
    return count;
  }

  /** Lists it before it exists, for a crash in between; and again afterwards, as `listForUser` strikes off what it does not find. */
  async #write(id: string, mode: 'new' | 'upsert', row: NewRow): Promise<SessionRow> {
    const hash = hashOf(id);
    const list = async (): Promise<void> => {
      if (row.userId !== undefined) await this.#table.indexAdd(row.userId, hash, row.ttlMs + INDEX_SLACK_MS);
    };
    await list();
    const result = written(await this.#table.write(hash, mode, row));
    await list();
    return result;
  }

  async #keepListed(id: string, { rolling, userId, ttlMs }: SessionRow): Promise<void> {
    if (rolling && userId !== undefined) await this.#table.indexAdd(userId, hashOf(id), ttlMs + INDEX_SLACK_MS);
  }

  #newRow(data: Record<string, unknown>, { userId, ttlMs, rolling, absoluteTtlMs }: CheckedSessionOptions): NewRow {
    return { data: this.#values.encode(data, 'data'), userId, ttlMs, rolling, absoluteTtlMs, endsAt: 0, createdAt: undefined };
  }

  #session(id: string, { data, userId, createdAt, expiresAt }: SessionRow): Session {
    return { id, ...(userId === undefined ? {} : { userId }), data: this.#readData(data), createdAt, expiresAt };
  }

  /** The data is JSON, also where another program wrote it as plain text. */
  #readData(stored: Uint8Array): Record<string, unknown> {
    const decoded = this.#values.decode(stored);
    if (decoded.kind === 'value' && typeof decoded.value === 'object' && decoded.value !== null) return decoded.value as Record<string, unknown>;
    throw new UniversalAiError('UAT_CORRUPT_VALUE', 'the session holds no data that this version can read; destroy() it');
  }
}

function newId(): string {
  return randomBytes(ID_BYTES).toString('base64url');
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}

function written(result: SessionRow | Refusal): SessionRow {
  switch (result) {
    case 'gone': throw notFound();
    case 'destroyed': throw new UniversalAiError('UAT_CONFLICT', 'the session was destroyed, and its id is not used again; make a new one');
    case 'exists': throw new UniversalAiError('UAT_CONFLICT', 'a session of this id exists already');
    default: return result;
  }
}

function notFound(): UniversalAiError {
  return new UniversalAiError('UAT_NOT_FOUND', 'there is no such session: it expired or was destroyed; make a new one');
}
