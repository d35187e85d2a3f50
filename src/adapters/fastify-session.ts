import type { SessionStore as FastifyStore } from '@fastify/session';
import type { Session } from 'fastify';

import type { SessionStore } from '../services/redis-service-types.js';
import { answer, type Callback, MiddlewareSessions, type SessionAdapterOptions } from './middleware-sessions.js';

/** Sessions of @fastify/session in `RedisService`. */

export type FastifySessionStoreOptions = SessionAdapterOptions<Session>;

/**
 * ```ts
 * await app.register(fastifySession, { store: new FastifySessionStore(redisService), secret });
 * ```
 *
 * While Redis is away every method fails with `UAT_STORAGE` and status 503, which Fastify answers with.
 * Every method gives a promise, too.
 */
export class FastifySessionStore implements FastifyStore {
  readonly #sessions: MiddlewareSessions<Session>;

  /** @param service An initialized `RedisService`; its `keyPrefix` keeps applications apart. */
  constructor(service: { readonly sessions: SessionStore }, options: FastifySessionStoreOptions = {}) {
    this.#sessions = new MiddlewareSessions(service, options);
  }

  get(sessionId: string, callback?: Callback<Session | null>): Promise<Session | null> {
    return answer(this.#sessions.get(sessionId), callback);
  }

  /** Writes the session unless it was destroyed; see `lateSave`. */
  set(sessionId: string, session: Session, callback?: (error?: unknown) => void): Promise<void> {
    return answer(this.#sessions.save(sessionId, session), callback);
  }

  /** For good: no save brings it back. */
  destroy(sessionId: string, callback?: (error?: unknown) => void): Promise<void> {
    return answer(this.#sessions.destroy(sessionId), callback);
  }
}
