import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { UniversalAiError } from '../../errors.js';
import type { CheckedOptions } from '../../services/redis-service-backend.js';
import type { RedisServiceStatus } from '../../services/redis-service-types.js';
import { type Client, type Connections, fatal } from './connections.js';
import { fromReply, isReplyError } from './replies.js';
import type { Script } from './scripts.js';

/** Whether Redis is there: bounds every call in time, sees an outage, and comes back after what was missed is settled. */

/** What a call gives that Redis did not answer. */
export const AWAY = Symbol('Redis is away');
export type Away = typeof AWAY;

/** A connection that is silent for this long during an outage is given up for a new one; a frozen server keeps its own until then. */
const SILENT_MS = 10_000;
/** Between attempts to come back that failed at something else than connecting. */
const PAUSE_MS = 100;
/** A timer that fires this much late shows that this process was busy, not Redis slow. */
const BUSY_MS = 10;

/** What a call is about, and what answers it while Redis is away. */
interface Call<U> {
  /** Named in errors. */
  key?: string;
  /** Absent: the call gives `AWAY`. */
  away?: () => U;
}

type Args = (string | number | Buffer)[];
type Commands = Record<string, (...args: Args) => Promise<unknown>>;

export class Link {
  readonly client: Client;
  readonly #options: CheckedOptions;
  readonly #settle: () => Promise<void>;
  readonly #onMode: () => void;
  readonly #closed = new AbortController();
  /** Ends the calls under way as unanswered. */
  readonly #release = new Set<() => void>();
  #mode: 'new' | 'redis' | 'fallback' = 'new';
  #since = Date.now();
  #lastError: string | undefined;
  #readies = 0;
  #recovering: Promise<void> = Promise.resolve();
  fallbackOps = 0;

  /** @param settle Tells Redis what it missed; called again until it leaves nothing to tell. */
  constructor({ client }: Connections, options: CheckedOptions, settle: () => Promise<void>, onMode: () => void) {
    this.client = client;
    this.#options = options;
    this.#settle = settle;
    this.#onMode = onMode;
    client.on('ready', () => { this.#readies += 1; });
    client.on('close', () => this.#lost('the connection was closed'));
    client.on('end', () => this.#lost('the connection was closed'));
    // Without a listener ioredis prints errors; the mode says what there is to say.
    client.on('error', (error: Error) => { this.#lastError = describe(error); });
  }

  get reconnects(): number {
    return Math.max(0, this.#readies - 1);
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  get isThere(): boolean {
    return this.#mode === 'redis';
  }

  status(pendingReplays: number): RedisServiceStatus {
    return { mode: this.#mode === 'redis' ? 'redis' : 'fallback', since: this.#since, pendingReplays, ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }) };
  }

  /** The first connection. @throws {UniversalAiError} What is wrong for good: the host, the login. */
  async open(): Promise<void> {
    const refused = await this.#firstAttempt();
    if (refused !== undefined) {
      await this.close();
      throw refused;
    }
    if (this.client.status === 'ready') this.#change('redis');
    else this.#goAway();
  }

  #firstAttempt(): Promise<UniversalAiError | undefined> {
    return new Promise(resolve => {
      let last: UniversalAiError | undefined;
      const done = (refused: UniversalAiError | undefined): void => {
        clearTimeout(timer);
        for (const event of ['error', 'node error', 'sentinelError']) this.client.off(event, seen);
        for (const [event, listener] of [['ready', ready], ['close', closed], ['end', closed]] as const) this.client.off(event, listener);
        resolve(refused);
      };
      const seen = (error: Error & { lastNodeError?: Error }): void => {
        last = fatal(error.lastNodeError ?? error) ?? last;
        if (last !== undefined) done(last);
      };
      const ready = (): void => done(undefined);
      const closed = (): void => done(last);
      const timer = setTimeout(() => {
        this.#lastError ??= `no connection within ${this.#options.connectTimeoutMs} ms`;
        done(undefined);
      }, this.#options.connectTimeoutMs);
      for (const event of ['error', 'node error', 'sentinelError']) this.client.on(event, seen);
      for (const [event, listener] of [['ready', ready], ['close', closed], ['end', closed]] as const) this.client.on(event, listener);
      this.client.connect().catch((error: Error & { lastNodeError?: Error }) => seen(error));
    });
  }

  /** A cache read: unanswered after the read budget. */
  read<T, U = Away>(send: () => Promise<T>, { key, away }: Call<U> = {}): Promise<T | U | Away> {
    return this.#ask(this.#options.readBudgetMs, send, key, away);
  }

  /** Any other command. */
  ask<T, U = Away>(send: () => Promise<T>, { key, away }: Call<U> = {}): Promise<T | U | Away> {
    return this.#ask(this.#options.commandTimeoutMs, send, key, away);
  }

  /** Something was not settled: Redis is not asked again before it is. */
  suspect(reason: string): void {
    this.#lost(reason);
  }

  /** One command; bulk strings come as buffers. All go the same way, so that they arrive in the order of the calls. */
  send(name: string, ...args: Args): Promise<unknown> {
    // ioredis has each command as a method. Its `callBuffer` loses the command's name where it pipelines by itself.
    return ((this.client as unknown as Commands)[`${name}Buffer`] as Commands[string]).call(this.client, ...args);
  }

  async eval({ sha, text }: Script, key: string, ...args: Args): Promise<unknown> {
    try {
      return await this.send('evalsha', sha, 1, key, ...args);
    } catch (error) {
      if (!(isReplyError(error) && error.message.startsWith('NOSCRIPT'))) throw error;
      return await this.send('eval', text, 1, key, ...args);
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.client.disconnect();
    for (const release of this.#release) release();
    await this.#recovering;
  }

  #ask<T, U>(budgetMs: number, send: () => Promise<T>, key: string | undefined, away: (() => U) | undefined): Promise<T | U | Away> {
    if (this.#closed.signal.aborted) return Promise.reject(new UniversalAiError('UAT_CLOSED', 'this RedisService was closed'));
    if (this.#mode !== 'redis') {
      return new Promise((resolve, reject) => {
        const end = this.#unanswered(resolve, reject, away);
        // Not at once: a caller that asks in a loop would keep this process from ever seeing Redis return.
        setImmediate(end);
      });
    }
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout;
      let deadline: number;
      const settle = (end: () => void): void => {
        if (!this.#release.delete(release)) return;
        clearTimeout(timer);
        end();
      };
      const release = (): void => settle(() => {
        if (this.#closed.signal.aborted) return reject(new UniversalAiError('UAT_CLOSED', 'this RedisService was closed while the call was under way'));
        this.#unanswered(resolve, reject, away)();
      });
      const late = (): void => {
        // After a pause of this process the answer may lie in the socket already, or the question may not have left yet.
        if (performance.now() - deadline > BUSY_MS) arm();
        else setImmediate(() => { if (this.#release.has(release)) this.#lost(`no answer within ${budgetMs} ms`); });
      };
      const arm = (): void => {
        deadline = performance.now() + budgetMs;
        timer = setTimeout(late, budgetMs);
      };
      arm();
      this.#release.add(release);
      send().then(reply => settle(() => resolve(reply)), (error: unknown) => settle(() => {
        if (error instanceof UniversalAiError) return reject(error);
        if (isReplyError(error)) return reject(fromReply(error, key));
        this.#lost(describe(error));
        this.#unanswered(resolve, reject, away)();
      }));
    });
  }

  /** Asks `away` in the same moment in which Redis is found to be away: what it notes down must not come after the return. */
  #unanswered<U>(resolve: (reply: U | Away) => void, reject: (error: unknown) => void, away: (() => U) | undefined): () => void {
    this.fallbackOps += 1;
    try {
      const reply = away === undefined ? AWAY : away();
      return () => resolve(reply);
    } catch (error) {
      return () => reject(error);
    }
  }

  #lost(reason: string): void {
    if (this.#mode !== 'redis' || this.#closed.signal.aborted) return;
    this.#lastError = reason;
    this.#goAway();
  }

  #goAway(): void {
    this.#change('fallback');
    for (const release of this.#release) release();
    this.#recovering = this.#recover();
  }

  #change(mode: 'redis' | 'fallback'): void {
    this.#mode = mode;
    this.#since = Date.now();
    this.#onMode();
  }

  async #recover(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      try {
        await this.#answering();
        await this.#settle();
        // Nothing may happen between the last settling and this.
        if (this.client.status !== 'ready') throw new Error('the connection was closed');
        return this.#change('redis');
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        this.#lastError = describe(error);
        await sleep(PAUSE_MS * (0.5 + Math.random()), undefined, { signal: this.#closed.signal }).catch(() => undefined); // Closed: the loop sees it.
      }
    }
  }

  /** Resolves when PING is answered. The connection is kept as long as it may only be slow: what it still carries is in order with what follows. */
  async #answering(): Promise<void> {
    const { client } = this;
    const over = new AbortController();
    try {
      if (client.status !== 'ready') await this.within(SILENT_MS, once(client, 'ready', { signal: over.signal }));
      await this.within(SILENT_MS, this.send('ping'));
    } catch (error) {
      if (error === AWAY && !this.#closed.signal.aborted) client.disconnect(true);
      throw error;
    } finally {
      // Takes the listener off: an outage may last for many rounds.
      over.abort();
    }
  }

  /** Rejects with `AWAY` when the time is over or the service is closed. */
  within<T>(ms: number, promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal } = this.#closed;
      const end = (then: () => void) => (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', over);
        then();
      };
      const over = end(() => reject(AWAY));
      const timer = setTimeout(over, ms);
      signal.addEventListener('abort', over);
      promise.then(value => end(() => resolve(value))(), (error: unknown) => end(() => reject(error))());
      if (signal.aborted) over();
    });
  }
}

function describe(error: unknown): string {
  if (error === AWAY) return 'no answer in time';
  const { name, message, code, lastNodeError } = error as NodeJS.ErrnoException & { lastNodeError?: Error };
  if (lastNodeError !== undefined) return describe(lastNodeError);
  // What ioredis says of commands that had no connection is about its options.
  if (name === 'MaxRetriesPerRequestError' || name === 'AbortError' || message.includes('enableOfflineQueue')) return 'the connection was closed';
  // An AggregateError of several addresses has no message of its own.
  return message || code || 'the connection failed';
}
