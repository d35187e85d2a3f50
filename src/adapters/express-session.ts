import session, { type SessionData } from 'express-session';

import { invalidInput, UniversalAiError } from '../errors.js';
import type { SessionStore } from '../services/redis-service-types.js';
import { answer, type Callback, MiddlewareSessions, type SessionAdapterOptions } from './middleware-sessions.js';

/** Sessions of express-session in `RedisService`; the counterpart of connect-redis. */

export interface ExpressSessionStoreOptions extends SessionAdapterOptions<SessionData> {
  /** A session that was only read keeps its time. Default `false`. */
  disableTouch?: boolean;
  /**
   * Keeps all sessions of this store on a list of this name, which `all`, `length` and `clear` need: ids are stored
   * hashed, and nothing else finds them. Costs another command per write and one Redis set with all of them; takes the
   * place of `userId`.
   */
  listAs?: string;
}

/**
 * ```ts
 * app.use(session({ store: new ExpressSessionStore(redisService), secret, resave: false, saveUninitialized: false }));
 * ```
 *
 * While Redis is away every method fails with `UAT_STORAGE` and status 503, so that the error reaches `next(error)`. It
 * never emits `disconnect`, at which express-session would go on without sessions and so log everybody out.
 * Every method gives a promise, too.
 */
export class ExpressSessionStore extends session.Store {
  readonly #sessions: MiddlewareSessions<SessionData>;
  readonly #disableTouch: boolean;
  readonly #listAs: string | undefined;

  /** @param service An initialized `RedisService`; its `keyPrefix` keeps applications apart. */
  constructor(service: { readonly sessions: SessionStore }, options: ExpressSessionStoreOptions = {}) {
    super();
    const { disableTouch = false, listAs, ...rest } = options;
    if (listAs !== undefined && (typeof listAs !== 'string' || listAs === '')) throw invalidInput('options.listAs', 'a name', listAs);
    if (listAs !== undefined && rest.userId !== undefined) throw invalidInput('options.listAs', 'only one of listAs and userId', listAs);
    this.#sessions = new MiddlewareSessions(service, listAs === undefined ? rest : { ...rest, userId: () => listAs });
    this.#disableTouch = disableTouch;
    this.#listAs = listAs;
  }

  override get(sid: string, callback?: Callback<SessionData | null>): Promise<SessionData | null> {
    return answer(this.#sessions.get(sid), callback);
  }

  /** Writes the session unless it was destroyed; see `lateSave`. */
  override set(sid: string, data: SessionData, callback?: (error?: unknown) => void): Promise<void> {
    return answer(this.#sessions.save(sid, data), callback);
  }

  override touch(sid: string, data: SessionData, callback?: (error?: unknown) => void): Promise<void> {
    return answer(this.#disableTouch ? Promise.resolve() : this.#sessions.touch(sid, data), callback);
  }

  /** For good: no save brings it back. */
  override destroy(sid: string, callback?: (error?: unknown) => void): Promise<void> {
    return answer(this.#sessions.destroy(sid), callback);
  }

  /** The data of all sessions, without their ids, which are stored hashed. `UAT_UNSUPPORTED` without `listAs`. */
  override all(callback?: Callback<SessionData[]>): Promise<SessionData[]> {
    return answer(this.#listed(name => this.#sessions.list(name)), callback);
  }

  /** How many sessions there are; reads all of them. `UAT_UNSUPPORTED` without `listAs`. */
  override length(callback?: Callback<number>): Promise<number> {
    return answer(this.#listed(async name => (await this.#sessions.list(name)).length), callback);
  }

  /** Destroys all sessions. `UAT_UNSUPPORTED` without `listAs`. */
  override clear(callback?: (error?: unknown) => void): Promise<void> {
    return answer(this.#listed(name => this.#sessions.revoke(name)), callback);
  }

  async #listed<Result>(ask: (name: string) => Promise<Result>): Promise<Result> {
    if (this.#listAs === undefined) throw new UniversalAiError('UAT_UNSUPPORTED', 'this store keeps no list of its sessions; name one with options.listAs');
    return await ask(this.#listAs);
  }
}
