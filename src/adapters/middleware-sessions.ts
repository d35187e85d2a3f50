import { callbackify } from 'node:util';

import { invalidInput, UniversalAiError } from '../errors.js';
import type { SessionStore } from '../services/redis-service-types.js';

/** What the stores of express-session and @fastify/session have in common: how long a session lives, and what a late save does. */

/** A day, as `RedisService` and connect-redis have it. */
const DEFAULT_TTL_S = 86_400;

/** `Data`: what the middleware calls a session. */
export interface SessionAdapterOptions<Data> {
  /**
   * Seconds that a session lives whose cookie says neither `expires` nor `maxAge`; default 86,400, a day. A function
   * says it for every session, whatever its cookie says. 0 and less: the session is over, and is destroyed.
   */
  ttl?: number | ((session: Data) => number);
  /** Whose session it is, so that `redisService.sessions.revokeAll(user)` logs the user out everywhere. */
  userId?: (session: Data) => string | undefined;
  /**
   * What a save of a session does that was destroyed meanwhile, by a logout in another request for example. `drop`, the
   * default: nothing, as if it had come just before. `error`: it fails with `UAT_CONFLICT`, for those who make ids that
   * come back. In no case is the session brought back.
   */
  lateSave?: 'drop' | 'error';
}

/** The part of a cookie that says when it ends; what a framework keeps in memory, or the JSON of it. */
interface CookieLifetime {
  expires?: Date | string | number | boolean | null | undefined;
  /** ms. */
  maxAge?: number | null | undefined;
}

/** A store as both frameworks need it, with promises. */
export class MiddlewareSessions<Data extends object> {
  readonly #sessions: SessionStore;
  readonly #ttl: number | ((session: Data) => number);
  readonly #userId: ((session: Data) => string | undefined) | undefined;
  readonly #lateSave: 'drop' | 'error';

  constructor(service: { readonly sessions: SessionStore }, options: SessionAdapterOptions<Data>) {
    const { ttl = DEFAULT_TTL_S, userId, lateSave = 'drop' } = options;
    if (typeof ttl !== 'function' && !(typeof ttl === 'number' && ttl > 0)) throw invalidInput('options.ttl', 'a number of seconds above 0, or a function', ttl);
    if (userId !== undefined && typeof userId !== 'function') throw invalidInput('options.userId', 'a function', userId);
    if (lateSave !== 'drop' && lateSave !== 'error') throw invalidInput('options.lateSave', 'drop or error', lateSave);
    this.#sessions = service.sessions;
    this.#ttl = ttl;
    this.#userId = userId;
    this.#lateSave = lateSave;
  }

  /** `null`: there is none. A Redis that is away is an error and not that, which would log the user out. */
  async get(id: string): Promise<Data | null> {
    const session = await asHttp(this.#sessions.get(id));
    return session === null ? null : session.data as Data;
  }

  async save(id: string, session: Data): Promise<void> {
    const ttl = this.#ttlOf(session);
    if (ttl <= 0) return await this.destroy(id);
    const userId = this.#userId?.(session);
    try {
      await asHttp(this.#sessions.put(id, session as Record<string, unknown>, userId === undefined ? { ttl } : { ttl, userId }));
    } catch (error) {
      if (!(this.#lateSave === 'drop' && error instanceof UniversalAiError && error.code === 'UAT_CONFLICT')) throw error;
    }
  }

  /** Gives a session its time again without writing it. One that is gone stays gone, which is no error. */
  async touch(id: string, session: Data): Promise<void> {
    const ttl = this.#ttlOf(session);
    if (ttl <= 0) return await this.destroy(id);
    await asHttp(this.#sessions.touch(id, ttl));
  }

  async destroy(id: string): Promise<void> {
    await asHttp(this.#sessions.destroy(id));
  }

  /** The data of all sessions of a user. */
  async list(userId: string): Promise<Data[]> {
    return (await asHttp(this.#sessions.listForUser(userId))).map(({ data }) => data as Data);
  }

  async revoke(userId: string): Promise<void> {
    await asHttp(this.#sessions.revokeAll(userId));
  }

  /** Seconds. */
  #ttlOf(session: Data): number {
    if (typeof this.#ttl === 'function') return this.#ttl(session);
    const { cookie } = session as { cookie?: CookieLifetime };
    return lifetimeOf(cookie, Date.now()) ?? this.#ttl;
  }
}

/** Seconds until the cookie ends, negative if it has; undefined if it does not say. @param now In ms since 1970. */
export function lifetimeOf(cookie: CookieLifetime | undefined, now: number): number | undefined {
  const { expires, maxAge } = cookie ?? {};
  // express-session has `false` and `null` for a cookie that ends with the browser.
  if (expires instanceof Date || typeof expires === 'string' || typeof expires === 'number') return (new Date(expires).getTime() - now) / 1000;
  return typeof maxAge === 'number' ? maxAge / 1000 : undefined;
}

export type Callback<Result> = (error: unknown, result?: Result) => void;

/**
 * Calls back as Node does, and gives the promise as well. `req.session.destroy()` without a callback is usual, so that
 * a rejection that nobody looks at must not end the process.
 */
export function answer<Result>(promise: Promise<Result>, callback: Callback<Result> | undefined): Promise<Result> {
  callbackify(() => promise)(callback ?? (() => undefined));
  return promise;
}

/** Express takes the status of an error from `status`, Fastify from `statusCode`: a Redis that is away is a 503 and no 500. */
async function asHttp<Result>(promise: Promise<Result>): Promise<Result> {
  try {
    return await promise;
  } catch (error) {
    throw error instanceof UniversalAiError && error.retryable ? Object.assign(error, { status: 503, statusCode: 503 }) : error;
  }
}
