/**
 * Where sessions lie: what the Lua scripts do in Redis and `MemorySessions` in this process, each step atomic. Decides
 * nothing about ids, users or JSON, which is `SessionRules`' part.
 */

export interface SessionRow {
  version: number;
  /** Encoded like a value. */
  data: Uint8Array;
  userId: string | undefined;
  /** In ms since 1970 by the table's clock, as are `endsAt` (0 for never) and `expiresAt`. */
  createdAt: number;
  ttlMs: number;
  rolling: boolean;
  endsAt: number;
  expiresAt: number;
}

/** A whole session to be written. */
export interface NewRow {
  data: Uint8Array;
  userId: string | undefined;
  ttlMs: number;
  rolling: boolean;
  /** From now on; `undefined`: see `endsAt`. */
  absoluteTtlMs: number | undefined;
  /** In ms since 1970; 0 for never. */
  endsAt: number;
  /** `undefined`: now, or as it was. */
  createdAt: number | undefined;
}

/** `exists`: there is one already; `gone`: there is none; `destroyed`: there is a tombstone. */
export type Refusal = 'exists' | 'gone' | 'destroyed';

export interface SessionTable {
  /** `new`: only where there is neither a session nor a tombstone. `upsert`: unless there is a tombstone. */
  write(hash: string, mode: 'new' | 'upsert', row: NewRow): Promise<SessionRow | Refusal>;
  /** Replaces the data of a session that exists. */
  update(hash: string, data: Uint8Array): Promise<SessionRow | Refusal>;
  /** @param roll Gives a rolling session its whole time again. */
  read(hash: string, roll: boolean): Promise<SessionRow | undefined>;
  /** Gives the whole time again, or another one. */
  touch(hash: string, ttlMs: number | undefined): Promise<SessionRow | undefined>;
  /** Leaves a tombstone in any case, so that a write which is under way comes too late. */
  destroy(hash: string): Promise<{ existed: boolean; userId: string | undefined }>;

  /** Lists the session under its user for at least `lifeMs`. */
  indexAdd(userId: string, hash: string, lifeMs: number): Promise<void>;
  indexRemove(userId: string, hashes: string[]): Promise<void>;
  index(userId: string): Promise<string[]>;
}

/** As docs/redis-format.md has it: long enough for any write that was under way. */
export const TOMBSTONE_MS = 86_400_000;
