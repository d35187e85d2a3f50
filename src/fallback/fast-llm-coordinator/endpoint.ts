import type { EndpointHealth } from '../../services/fast-llm-coordinator-types.js';
import { PeakEwma } from './balance.js';
import { Breaker } from './breaker.js';
import type { EndpointConfig } from './config.js';
import type { Dialect } from './dialect.js';
import type { Failure } from './failure.js';
import type { HttpClient } from './http-client.js';

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

/** Whether an endpoint may be asked at a moment; `suspect` (its breaker is open) only when nobody else can be. */
export type Availability = { kind: 'ready' | 'suspect' | 'quarantined' | 'full' } | { kind: 'cooling-down'; untilMs: number };

/** One endpoint: how it is reached, and what its answers have taught about it. Clocks are passed in, in milliseconds. */
export class Endpoint {
  readonly config: EndpointConfig;
  readonly dialect: Dialect;
  readonly client: HttpClient;
  readonly #firstToken: PeakEwma;
  readonly #breaker: Breaker;
  /** When each request without content so far began. */
  readonly #waiting = new Map<symbol, number>();
  #inFlight = 0;
  #answered = false;
  #pauseUntilMs = 0;
  #quarantineUntilMs = 0;
  #lastError: string | undefined;

  constructor(config: EndpointConfig, dialect: Dialect, client: HttpClient, nowMs: number) {
    this.config = config;
    this.dialect = dialect;
    this.client = client;
    this.#firstToken = new PeakEwma(ASSUMED_FIRST_TOKEN_MS, EWMA_DECAY_MS, nowMs);
    this.#breaker = new Breaker(nowMs);
  }

  availability(nowMs: number): Availability {
    if (nowMs < this.#pauseUntilMs) return { kind: 'cooling-down', untilMs: this.#pauseUntilMs };
    if (nowMs < this.#quarantineUntilMs) return { kind: 'quarantined' };
    if (this.#inFlight >= (this.config.max_in_flight ?? Infinity)) return { kind: 'full' };
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
    return (Math.max(this.#firstToken.at(nowMs), waited) * (this.#inFlight + 1)) / weight;
  }

  /** Counts a request in; the ticket counts it out again, whatever becomes of it. */
  begin(nowMs: number): Ticket {
    const id = Symbol();
    this.#inFlight += 1;
    this.#waiting.set(id, nowMs);
    this.#breaker.onStart(nowMs);
    let over = false;
    const end = (judge: () => void): void => {
      if (over) return;
      over = true;
      this.#inFlight -= 1;
      this.#waiting.delete(id);
      judge();
    };
    return {
      firstContent: now => {
        this.#waiting.delete(id);
        this.#answered = true;
        this.#firstToken.observe(now - nowMs, now);
      },
      success: now => end(() => this.#breaker.onSuccess(now)),
      failure: (failure, now) => end(() => this.#judge(failure, now)),
      abandon: () => end(() => this.#breaker.onAbandoned()),
    };
  }

  health(nowMs: number): EndpointHealth {
    const errorRate = this.#breaker.failureRate();
    return {
      endpoint: this.config.name,
      state: this.#state(nowMs, errorRate),
      ewmaFirstTokenMs: this.#answered ? this.#firstToken.at(nowMs) : 0,
      inFlight: this.#inFlight,
      errorRate,
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  #state(nowMs: number, errorRate: number): EndpointHealth['state'] {
    if (nowMs < this.#quarantineUntilMs) return 'quarantined';
    const breaker = this.#breaker.state(nowMs);
    if (breaker === 'open') return 'open';
    if (breaker !== 'closed') return 'half-open';
    return nowMs < this.#pauseUntilMs || errorRate >= DEGRADED_RATE ? 'degraded' : 'healthy';
  }

  #judge(failure: Failure, nowMs: number): void {
    const { verdict } = failure;
    if (verdict.kind === 'neutral') return this.#breaker.onSuccess(nowMs);
    this.#lastError = failure.summary;
    if (verdict.kind === 'unhealthy') return this.#breaker.onFailure(nowMs, Math.random);
    this.#breaker.onAbandoned();
    if (verdict.kind === 'quarantine') this.#quarantineUntilMs = nowMs + QUARANTINE_MS;
    else this.#pauseUntilMs = nowMs + Math.min(verdict.pauseMs, MAX_COOLDOWN_MS);
  }
}

/** A request that is under way at an endpoint. Ends once: by `success`, `failure` or `abandon`. */
export interface Ticket {
  firstContent(nowMs: number): void;
  success(nowMs: number): void;
  failure(failure: Failure, nowMs: number): void;
  /** The caller went away: says nothing about the endpoint. */
  abandon(): void;
}
