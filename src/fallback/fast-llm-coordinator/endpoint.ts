import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

import type { EndpointHealth } from '../../services/fast-llm-coordinator-types.js';
import { PeakEwma } from './balance.js';
import { Breaker } from './breaker.js';
import type { EndpointConfig } from './config.js';
import { keyHeader } from './config-endpoint.js';
import type { Dialect } from './dialect.js';
import type { Failure } from './failure.js';
import { History } from './history.js';
import { Hold } from './hold.js';
import type { HttpClient } from './http-client.js';
import type { Pace } from './pace.js';
import { Places } from './queue.js';

/** Assumed of an endpoint that has not answered yet: about what a near one needs. */
const ASSUMED_FIRST_TOKEN_MS = 30;
/** How fast a slow answer is forgotten; tower's and Finagle's default. */
const EWMA_DECAY_MS = 10_000;
/** The longest pause that is believed: a `Retry-After` of a day would take the endpoint out until a restart. */
const MAX_COOLDOWN_MS = 300_000;
/** How long a refused key is left alone; a file that holds the key may be replaced meanwhile. */
const QUARANTINE_MS = 60_000;
/** A tenth of the recent requests: what one flaky request in twenty does not reach. */
const DEGRADED_RATE = 0.1;
/** How long an endpoint that came back gets less than its share, and how much it gets at first: its caches are cold. Envoy's example of a window, and its default floor. */
const SLOW_START_MS = 30_000;
const SLOW_START_SHARE = 0.1;
/** A pause of this length lets caches go cold, and says that the endpoint was near its limit: it starts slowly after it. */
const LONG_PAUSE_MS = 10_000;

/** Whether an endpoint may be asked at a moment; `suspect` (its breaker is open) only when nobody else can be. */
export type Availability = { kind: 'ready' | 'suspect' | 'quarantined' | 'full' } | { kind: 'cooling-down'; untilMs: number };

/** One endpoint: how it is reached, and what its answers have taught about it. Clocks are passed in, in milliseconds. */
export class Endpoint {
  readonly config: EndpointConfig;
  readonly dialect: Dialect;
  readonly client: HttpClient;
  /** Who may be asked at the same time, and who waits. */
  readonly places: Places;
  /** Closes its connections. */
  readonly hold: Hold;
  /** Sent with every request; holds the API key. */
  headers: Record<string, string>;
  readonly #firstToken: PeakEwma;
  readonly #breaker: Breaker;
  readonly #history = new History();
  /** When each request without content so far began. */
  readonly #waiting = new Map<symbol, number>();
  #answered = false;
  #pauseUntilMs = 0;
  #quarantineUntilMs = 0;
  /** Whether the key has not been used since it was refused. */
  #keyIsStale = false;
  /** When it came back; long ago for one that never was away. */
  #backSinceMs = -Infinity;
  #lastError: string | undefined;
  /** Up to when the passing of time is in the history. */
  #settledMs: number;

  constructor(config: EndpointConfig, dialect: Dialect, client: HttpClient, nowMs: number) {
    this.config = config;
    this.dialect = dialect;
    this.client = client;
    this.hold = new Hold(() => client.close());
    this.headers = config.headers;
    this.places = new Places(config.max_in_flight ?? Infinity, config.max_queued);
    this.#firstToken = new PeakEwma(ASSUMED_FIRST_TOKEN_MS, EWMA_DECAY_MS, nowMs);
    this.#breaker = new Breaker(nowMs);
    this.#settledMs = nowMs;
  }

  get inFlight(): number {
    return this.places.taken;
  }

  availability(nowMs: number): Availability {
    const { kind, ...rest } = this.#withPlace(nowMs);
    return this.places.full && (kind === 'ready' || kind === 'suspect') ? { kind: 'full' } : { kind, ...rest } as Availability;
  }

  /** Whether it may be asked by who has a place already. */
  mayBeAsked(nowMs: number): boolean {
    const { kind } = this.#withPlace(nowMs);
    return kind === 'ready' || kind === 'suspect';
  }

  /** Whether it may be asked, in its turn, and the share of its recent requests that failed. */
  standing(nowMs: number): { isUp: boolean; errorRate: number } {
    return { isUp: this.#withPlace(nowMs).kind === 'ready', errorRate: this.#breaker.failureRate() };
  }

  #withPlace(nowMs: number): Availability {
    if (nowMs < this.#pauseUntilMs) return { kind: 'cooling-down', untilMs: this.#pauseUntilMs };
    if (nowMs < this.#quarantineUntilMs) return { kind: 'quarantined' };
    const breaker = this.#breaker.state(nowMs);
    return { kind: breaker === 'closed' || breaker === 'half-open' ? 'ready' : 'suspect' };
  }

  /**
   * The expected wait times the requests under way, this one included; lower is better. A request that has waited longer
   * than the estimate raises it: an endpoint that hangs never reports a latency.
   */
  cost(weight: number, nowMs: number): number {
    const [oldest] = this.#waiting.values();
    const waited = oldest === undefined ? 0 : nowMs - oldest;
    return (Math.max(this.#firstToken.at(nowMs), waited) * (this.inFlight + 1)) / weight;
  }

  /** The share of its weight that it gets: all of it but for a while after it came back. */
  share(nowMs: number): number {
    if (this.#backSinceMs > nowMs) return SLOW_START_SHARE;
    return Math.min(1, Math.max(SLOW_START_SHARE, (nowMs - this.#backSinceMs) / SLOW_START_MS));
  }

  /**
   * Counts a request in; the ticket counts it out again, whatever becomes of it.
   *
   * @param hasPlace The request waited for a place and got it.
   * @param pace Where it is written down how the answer comes.
   */
  begin(nowMs: number, hasPlace = false, pace?: Pace): Ticket {
    const id = Symbol();
    if (!hasPlace) this.places.take();
    this.#waiting.set(id, nowMs);
    this.#settle(nowMs);
    this.#afterQuarantine(nowMs);
    this.#breaker.onStart(nowMs);
    let [over, written] = [false, 0];
    const end = (reason: string, now: number, judge: () => void): void => {
      if (over) return;
      over = true;
      this.#waiting.delete(id);
      this.places.took(now - nowMs);
      this.#settle(now);
      judge();
      this.#note(reason, now);
      this.places.give();
    };
    return {
      firstContent: now => {
        this.#waiting.delete(id);
        this.#answered = true;
        this.#firstToken.observe(now - nowMs, now);
      },
      streams: now => pace?.observe(1, now - nowMs),
      // Nearly all write a piece for each token.
      wrote: counted => { written = counted ?? written + 1; },
      success: now => {
        if (!over && written > 0) pace?.observe(written, now - nowMs);
        end('it answers', now, () => this.#healthy(now));
      },
      failure: (failure, now) => end(failure.summary, now, () => this.#judge(failure, now)),
      abandon: now => end('nobody waits for its probe', now, () => this.#breaker.onAbandoned()),
    };
  }

  health(nowMs: number): EndpointHealth {
    this.#settle(nowMs);
    return {
      endpoint: this.config.name,
      state: this.#state(nowMs),
      ewmaFirstTokenMs: this.#answered ? this.#firstToken.at(nowMs) : 0,
      inFlight: this.inFlight,
      errorRate: this.#breaker.failureRate(),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
      history: this.#history.changes(),
    };
  }

  #state(nowMs: number): EndpointHealth['state'] {
    if (nowMs < this.#quarantineUntilMs) return 'quarantined';
    const breaker = this.#breaker.state(nowMs);
    if (breaker === 'open') return 'open';
    if (breaker !== 'closed') return 'half-open';
    return nowMs < this.#pauseUntilMs || this.#breaker.failureRate() >= DEGRADED_RATE ? 'degraded' : 'healthy';
  }

  #note(reason: string, nowMs: number): void {
    this.#history.note(this.#state(nowMs), reason, Math.round(performance.timeOrigin + nowMs));
  }

  /** Notes what has changed by the passing of time alone, at the moments at which it did. */
  #settle(nowMs: number): void {
    const ends: [number, string][] = [[this.#breaker.openUntilMs ?? Infinity, 'the next request is a probe'], [this.#pauseUntilMs, 'the pause is over'], [this.#quarantineUntilMs, 'the key is tried again']];
    for (const [end, reason] of ends.sort(([one], [other]) => one - other)) if (this.#settledMs < end && end <= nowMs) this.#note(reason, end);
    this.#settledMs = Math.max(this.#settledMs, nowMs);
  }

  #healthy(nowMs: number): void {
    if (this.#breaker.state(nowMs) !== 'closed') this.#startsSlowlyAt(nowMs);
    this.#breaker.onSuccess(nowMs);
  }

  #judge(failure: Failure, nowMs: number): void {
    const { verdict } = failure;
    if (verdict.kind === 'neutral') return this.#healthy(nowMs);
    this.#lastError = failure.summary;
    if (verdict.kind === 'unhealthy') return this.#breaker.onFailure(nowMs, Math.random);
    this.#breaker.onAbandoned();
    if (verdict.kind === 'quarantine') {
      this.#quarantineUntilMs = nowMs + QUARANTINE_MS;
      this.#keyIsStale = true;
      return this.#startsSlowlyAt(this.#quarantineUntilMs);
    }
    this.#pauseUntilMs = nowMs + Math.min(verdict.pauseMs, MAX_COOLDOWN_MS);
    if (verdict.pauseMs >= LONG_PAUSE_MS) this.#startsSlowlyAt(this.#pauseUntilMs);
  }

  #startsSlowlyAt(ms: number): void {
    this.#backSinceMs = Math.max(this.#backSinceMs, ms);
  }

  /** The file may hold a newer key than the one that was refused. */
  #afterQuarantine(nowMs: number): void {
    if (!this.#keyIsStale || nowMs < this.#quarantineUntilMs) return;
    this.#keyIsStale = false;
    const { api_key_file: file, protocol } = this.config;
    if (file === undefined) return;
    try {
      this.headers = { ...this.headers, ...keyHeader(protocol, readFileSync(file, 'utf8').trim()) };
    } catch (error) {
      this.#lastError = `api_key_file ${file} cannot be read: ${(error as Error).message}`;
    }
  }
}

/** A request that is under way at an endpoint. Ends once: by `success`, `failure` or `abandon`. */
export interface Ticket {
  firstContent(nowMs: number): void;
  /** A stream has begun. */
  streams(nowMs: number): void;
  /** A piece of the answer has come, or the endpoint says how many tokens it has. */
  wrote(counted?: number): void;
  success(nowMs: number): void;
  failure(failure: Failure, nowMs: number): void;
  /** The caller went away: says nothing about the endpoint. */
  abandon(nowMs: number): void;
}
