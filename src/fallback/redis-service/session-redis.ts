import { AWAY, type Link } from './link.js';
import { away } from './replies.js';
import type { Script } from './scripts.js';
import { DESTROY_SESSION, LIST_SESSION, READ_SESSION, TOUCH_SESSION, WRITE_SESSION } from './session-scripts.js';
import { type NewRow, type Refusal, type SessionRow, type SessionTable, TOMBSTONE_MS } from './session-table.js';
import { bufferOf } from './values.js';

/** Sessions in Redis: each step is one script of one key. Rejects with `UAT_STORAGE` while Redis is away. */
export class RedisSessions implements SessionTable {
  readonly #link: Link;
  readonly #keyPrefix: string;

  constructor(link: Link, keyPrefix: string) {
    this.#link = link;
    this.#keyPrefix = keyPrefix;
  }

  async write(hash: string, mode: 'new' | 'upsert', row: NewRow): Promise<SessionRow | Refusal> {
    const { data, userId, ttlMs, rolling, absoluteTtlMs, endsAt, createdAt } = row;
    return written(await this.#run(WRITE_SESSION, this.#session(hash), mode, '', bufferOf(data), userId ?? '', ttlMs, rolling ? '1' : '0', absoluteTtlMs ?? '', endsAt, createdAt ?? ''));
  }

  async update(hash: string, data: Uint8Array): Promise<SessionRow | Refusal> {
    const result = written(await this.#run(WRITE_SESSION, this.#session(hash), 'present', '', bufferOf(data)));
    return result === 'destroyed' ? 'gone' : result;
  }

  async read(hash: string, roll: boolean): Promise<SessionRow | undefined> {
    return found(await this.#run(READ_SESSION, this.#session(hash), roll ? '1' : '0'));
  }

  async touch(hash: string, ttlMs: number | undefined): Promise<SessionRow | undefined> {
    return found(await this.#run(TOUCH_SESSION, this.#session(hash), ttlMs ?? ''));
  }

  async destroy(hash: string): Promise<{ existed: boolean; userId: string | undefined }> {
    const [existed, userId] = await this.#run(DESTROY_SESSION, this.#session(hash), TOMBSTONE_MS) as [number, Buffer];
    return { existed: existed === 1, userId: userId.toString() || undefined };
  }

  async indexAdd(userId: string, hash: string, lifeMs: number): Promise<void> {
    await this.#run(LIST_SESSION, this.#user(userId), hash, lifeMs);
  }

  async indexRemove(userId: string, hashes: string[]): Promise<void> {
    await this.#ask(() => this.#link.send('srem', this.#user(userId), ...hashes));
  }

  async index(userId: string): Promise<string[]> {
    const hashes = await this.#ask(() => this.#link.send('smembers', this.#user(userId))) as Iterable<Buffer>;
    return Array.from(hashes, hash => hash.toString());
  }

  #run(script: Script, key: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    return this.#ask(() => this.#link.eval(script, key, ...args));
  }

  async #ask(send: () => Promise<unknown>): Promise<unknown> {
    const reply = await this.#link.ask(send);
    if (reply === AWAY) throw away(this.#link.lastError);
    return reply;
  }

  #session(hash: string): string {
    return `${this.#keyPrefix}~uat:session:${hash}`;
  }

  #user(userId: string): string {
    return `${this.#keyPrefix}~uat:user:${userId}`;
  }
}

function found(reply: unknown): SessionRow | undefined {
  const result = written(reply);
  return typeof result === 'string' ? undefined : result;
}

function written(reply: unknown): SessionRow | Refusal {
  const [status, version, data, userId, createdAt, ttlMs, rolling, endsAt, expiresAt] = reply as Buffer[];
  if (String(status) !== 'ok') return String(status) as Refusal;
  return {
    version: Number(version), data: data as Buffer, userId: String(userId) || undefined, createdAt: Number(createdAt), ttlMs: Number(ttlMs),
    rolling: String(rolling) === '1', endsAt: Number(endsAt), expiresAt: Number(expiresAt),
  };
}
