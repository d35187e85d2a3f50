import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Redis } from 'ioredis';

import type { BackendSubscription } from '../../services/redis-service-backend.js';
import { EventQueue } from './event-queue.js';
import { fromReply, isPassing, isReplyError } from './replies.js';
import { decode } from './values.js';

/** Subscriptions over one connection of their own, which lives as long as there are any. Whoever may have missed something is told. */

/** How often a quiet connection is asked whether it is there. */
const HEARTBEAT_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

interface Subscriber {
  /** With the prefix. */
  names: string[];
  pattern: boolean;
  queue: EventQueue;
  startedAt: number;
  /** Redis has said that it is subscribed. */
  confirmed: boolean;
  /** Since when messages may have been missed; `undefined` if none were. */
  missingSince: number | undefined;
}

export class RedisPubSub {
  readonly #connect: () => Redis;
  readonly #keyPrefix: string;
  readonly #timeoutMs: number;
  readonly #subscribers = new Set<Subscriber>();
  readonly #closed = new AbortController();
  /** Subscribed, and confirmed. */
  #live: Redis | undefined;
  #lastGood = 0;
  /** The last attempt to connect failed. */
  #failing = false;
  #running: Promise<void> | undefined;
  /** Ends the connection that nobody needs any more. */
  #idle: AbortController | undefined;

  /** @param connect Makes a connection, not yet connected. */
  constructor(connect: () => Redis, keyPrefix: string, timeoutMs: number) {
    this.#connect = connect;
    this.#keyPrefix = keyPrefix;
    this.#timeoutMs = timeoutMs;
  }

  subscribe(channels: string[], pattern: boolean): BackendSubscription {
    const now = (): number => performance.now();
    const subscriber: Subscriber = {
      names: channels.map(channel => this.#keyPrefix + channel), pattern, startedAt: 0, confirmed: false, missingSince: undefined,
      queue: new EventQueue(() => this.#start(subscriber), () => this.#stop(subscriber), now),
    };
    return subscriber.queue;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    for (const { queue } of this.#subscribers) queue.cancel();
    await this.#running;
  }

  #start(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
    subscriber.startedAt = performance.now();
    if (this.#failing) subscriber.missingSince = subscriber.startedAt;
    const live = this.#live;
    // On a connection that is lost meanwhile, the next one makes up for it.
    if (live !== undefined) this.#confirm(live, subscriber).catch(() => live.disconnect());
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      this.#failing = false;
    });
  }

  #stop(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
    if (this.#subscribers.size === 0) return this.#idle?.abort();
    const unused = subscriber.names.filter(name => ![...this.#subscribers].some(other => other.pattern === subscriber.pattern && other.names.includes(name)));
    if (unused.length === 0 || this.#live === undefined) return;
    // Failing means that the connection is gone, and the subscription with it.
    this.#live[subscriber.pattern ? 'punsubscribe' : 'unsubscribe'](...unused).catch(() => undefined);
  }

  async #run(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; this.#subscribers.size > 0 && !this.#closed.signal.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const idle = new AbortController();
      this.#idle = idle;
      const end = AbortSignal.any([idle.signal, this.#closed.signal]);
      const connection = this.#connect();
      try {
        await this.#serve(connection, end);
      } catch {
        // However it ended, what follows is the same.
        if (this.#live !== undefined) pauseMs = FIRST_PAUSE_MS;
      }
      for (const subscriber of this.#subscribers) {
        subscriber.missingSince ??= subscriber.confirmed ? this.#lastGood : subscriber.startedAt;
        subscriber.confirmed = false;
      }
      this.#live = undefined;
      this.#failing = true;
      connection.disconnect();
      if (this.#subscribers.size === 0) return;
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: this.#closed.signal }).catch(() => undefined); // Closed: the loop sees it.
    }
  }

  /** Until the connection is lost or not needed. */
  async #serve(connection: Redis, end: AbortSignal): Promise<void> {
    const closed = once(connection, 'close', { signal: end }).then(() => { throw new Error('the connection was closed'); });
    closed.catch(() => undefined); // Also where nobody waits for it yet.
    connection.on('messageBuffer', (channel: Buffer, message: Buffer) => this.#deliver(false, channel.toString(), channel, message));
    connection.on('pmessageBuffer', (pattern: string, channel: Buffer, message: Buffer) => this.#deliver(true, pattern, channel, message));
    await this.#inTime(connection.connect(), closed);
    await this.#inTime(Promise.all(Array.from(this.#subscribers, one => this.#confirm(connection, one))), closed);
    this.#live = connection;
    this.#failing = false;
    // Those that came while the others were confirmed.
    const late = [...this.#subscribers].filter(({ confirmed }) => !confirmed);
    await this.#inTime(Promise.all(late.map(one => this.#confirm(connection, one))), closed);
    for (;;) {
      await Promise.race([sleep(HEARTBEAT_MS, undefined, { signal: end, ref: false }), closed]);
      await this.#inTime(connection.ping(), closed);
      this.#lastGood = performance.now();
    }
  }

  /** Subscribes for it, and tells it if it may have missed something. What Redis refuses for good ends this one subscription. */
  async #confirm(connection: Redis, subscriber: Subscriber): Promise<void> {
    const { names, pattern, queue } = subscriber;
    try {
      await (pattern ? connection.psubscribe(...names) : connection.subscribe(...names));
    } catch (error) {
      const refused = isReplyError(error) ? fromReply(error) : undefined;
      if (refused === undefined || isPassing(refused)) throw error;
      return queue.fail(refused);
    }
    const now = performance.now();
    const { missingSince } = subscriber;
    this.#lastGood = now;
    subscriber.confirmed = true;
    subscriber.missingSince = undefined;
    if (missingSince !== undefined) queue.push({ type: 'gap', sinceMs: Math.max(0, Math.round(now - missingSince)) });
  }

  #deliver(pattern: boolean, name: string, channel: Buffer, message: Buffer): void {
    this.#lastGood = performance.now();
    const plain = channel.toString().slice(this.#keyPrefix.length);
    for (const subscriber of this.#subscribers) {
      if (subscriber.pattern !== pattern || !subscriber.names.includes(name)) continue;
      const decoded = decode(message);
      // What cannot be read is a message that this consumer does not get.
      subscriber.queue.push(decoded.kind === 'value' ? { type: 'message', channel: plain, message: decoded.value } : { type: 'gap', sinceMs: 0 });
    }
  }

  #inTime<T>(promise: Promise<T>, closed: Promise<never>): Promise<T> {
    const over = new AbortController();
    const late = sleep(this.#timeoutMs, undefined, { signal: over.signal }).then(() => { throw new Error(`no answer within ${this.#timeoutMs} ms`); });
    late.catch(() => undefined); // Aborted once there is an answer.
    promise.catch(() => undefined); // Also where it comes after the time was over.
    return Promise.race([promise, closed, late]).finally(() => over.abort());
  }
}
