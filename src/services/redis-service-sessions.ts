import { invalidInput } from '../errors.js';
import type { SessionBackend } from './redis-service-backend.js';
import { checkName, checkOptionalTtl, checkSession, checkSessionData } from './redis-service-check.js';
import type { ListedSession, Session, SessionOptions, SessionStore } from './redis-service-types.js';

/** What `destroy` takes besides an id. A session of this id could not be told from the handle of another. */
const HANDLE = /^s:[0-9a-f]{64}$/;

/** The session store that callers see: checks, then asks the backend. */
export class Sessions implements SessionStore {
  readonly #open: () => SessionBackend;

  /** @param open The backend's store; throws before `initialize` and after `close`. */
  constructor(open: () => SessionBackend) {
    this.#open = open;
  }

  async create(data: Record<string, unknown>, options?: SessionOptions): Promise<Session> {
    return await this.#open().create(checkSessionData(data), checkSession(options));
  }

  async put(id: string, data: Record<string, unknown>, options?: SessionOptions): Promise<Session> {
    if (HANDLE.test(checkName(id, 'id'))) throw invalidInput('id', 'an id that does not look like a handle', id);
    return await this.#open().put(id, checkSessionData(data), checkSession(options));
  }

  async get(id: string): Promise<Session | null> {
    return await this.#open().get(checkName(id, 'id'));
  }

  async update(id: string, data: Record<string, unknown>): Promise<Session> {
    return await this.#open().update(checkName(id, 'id'), checkSessionData(data));
  }

  async touch(id: string, ttl?: number): Promise<boolean> {
    return await this.#open().touch(checkName(id, 'id'), checkOptionalTtl(ttl));
  }

  async regenerate(id: string): Promise<Session> {
    return await this.#open().regenerate(checkName(id, 'id'));
  }

  async destroy(idOrHandle: string): Promise<boolean> {
    return await this.#open().destroy(checkName(idOrHandle, 'idOrHandle'));
  }

  async listForUser(userId: string): Promise<ListedSession[]> {
    return await this.#open().listForUser(checkName(userId, 'userId'));
  }

  async revokeAll(userId: string): Promise<number> {
    return await this.#open().revokeAll(checkName(userId, 'userId'));
  }
}
