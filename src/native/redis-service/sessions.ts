import type { CheckedSessionOptions, SessionBackend } from '../../services/redis-service-backend.js';
import type { ListedSession, Session } from '../../services/redis-service-types.js';
import { jsonOf } from '../../services/redis-service-value.js';
import type { RedisService, RedisSession, RedisSessionOptions } from '../binding.js';
import { asking } from '../errors.js';

/** The session store of the Rust core. Data crosses as JSON. */
export class NativeSessions implements SessionBackend {
  readonly #native: RedisService;

  constructor(native: RedisService) {
    this.#native = native;
  }

  async create(data: Record<string, unknown>, options: CheckedSessionOptions): Promise<Session> {
    return sessionOf(await asking(() => this.#native.sessionCreate(jsonOf(data, 'data'), nativeOptions(options))));
  }

  async put(id: string, data: Record<string, unknown>, options: CheckedSessionOptions): Promise<Session> {
    return sessionOf(await asking(() => this.#native.sessionPut(id, jsonOf(data, 'data'), nativeOptions(options))));
  }

  async get(id: string): Promise<Session | null> {
    const found = await asking(() => this.#native.sessionGet(id));
    return found === null || found === undefined ? null : sessionOf(found);
  }

  async update(id: string, data: Record<string, unknown>): Promise<Session> {
    return sessionOf(await asking(() => this.#native.sessionUpdate(id, jsonOf(data, 'data'))));
  }

  async touch(id: string, ttlMs: number | undefined): Promise<boolean> {
    return await asking(() => this.#native.sessionTouch(id, ttlMs));
  }

  async regenerate(id: string): Promise<Session> {
    return sessionOf(await asking(() => this.#native.sessionRegenerate(id)));
  }

  async destroy(idOrHandle: string): Promise<boolean> {
    return await asking(() => this.#native.sessionDestroy(idOrHandle));
  }

  async listForUser(userId: string): Promise<ListedSession[]> {
    const listed = await asking(() => this.#native.sessionList(userId));
    return listed.map(session => {
      const { id: handle, ...rest } = sessionOf(session);
      return { ...rest, handle };
    });
  }

  async revokeAll(userId: string): Promise<number> {
    return await asking(() => this.#native.sessionRevokeAll(userId));
  }
}

function nativeOptions({ userId, ttlMs, rolling, absoluteTtlMs }: CheckedSessionOptions): RedisSessionOptions {
  return { ttlMs, rolling, ...(userId === undefined ? {} : { userId }), ...(absoluteTtlMs === undefined ? {} : { absoluteTtlMs }) };
}

function sessionOf({ id, userId, data, createdAt, expiresAt }: RedisSession): Session {
  const session = { id, data: JSON.parse(data) as Record<string, unknown>, createdAt, expiresAt };
  return userId === undefined ? session : { ...session, userId };
}
