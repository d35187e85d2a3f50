/** Opens after this many failures without a success in between. */
const CONSECUTIVE_FAILURES = 5;
/** Opens when half of the recent calls failed, once this many are known: fewer say nothing. */
const FAILURE_RATE = 0.5;
const MINIMUM_CALLS = 20;
/** The time constant with which old calls are forgotten. */
const WINDOW_MS = 10_000;
/** How long it stays open the first time; doubles with each probe that failed. */
const OPEN_BASE_MS = 1_000;
const OPEN_MAX_MS = 30_000;

/** A circuit breaker over passive observations: the same decisions and constants as `crates/resilience`. */
export class Breaker {
  #consecutive = 0;
  /** Decayed counts, so that a window needs no ring of buckets. */
  #calls = 0;
  #failures = 0;
  #updatedMs: number;
  #openUntilMs: number | undefined;
  #probing = false;
  #openings = 0;

  constructor(nowMs: number) {
    this.#updatedMs = nowMs;
  }

  state(nowMs: number): 'closed' | 'open' | 'half-open' | 'probing' {
    if (this.#openUntilMs === undefined) return 'closed';
    if (nowMs < this.#openUntilMs) return 'open';
    return this.#probing ? 'probing' : 'half-open';
  }

  /** When it lets a probe through; `undefined` while it is closed. */
  get openUntilMs(): number | undefined {
    return this.#openUntilMs;
  }

  /** A call begins; when half-open it is the probe. */
  onStart(nowMs: number): void {
    if (this.state(nowMs) === 'half-open') this.#probing = true;
  }

  onSuccess(nowMs: number): void {
    this.#record(0, nowMs);
    this.#consecutive = 0;
    if (this.#openUntilMs !== undefined) {
      // What was seen before the pause says nothing about the endpoint that came back.
      this.#calls = 0;
      this.#failures = 0;
    }
    this.#openUntilMs = undefined;
    this.#probing = false;
    this.#openings = 0;
  }

  /** A call failed for a reason of the endpoint's. @param random Uniform in [0, 1). */
  onFailure(nowMs: number, random: () => number): void {
    this.#record(1, nowMs);
    this.#consecutive += 1;
    const state = this.state(nowMs);
    const failedProbe = state === 'half-open' || state === 'probing';
    const tooMany = this.#consecutive >= CONSECUTIVE_FAILURES || (this.#calls >= MINIMUM_CALLS && this.failureRate() >= FAILURE_RATE);
    this.#probing = false;
    if (failedProbe || (state === 'closed' && tooMany)) {
      const step = Math.min(OPEN_BASE_MS * 2 ** this.#openings, OPEN_MAX_MS);
      this.#openUntilMs = nowMs + step * (0.25 + 0.75 * random());
      this.#openings += 1;
    }
  }

  /** A call ended without saying anything about the endpoint: the caller went away, say. */
  onAbandoned(): void {
    this.#probing = false;
  }

  /** Share of the recent calls that failed, 0 to 1. */
  failureRate(): number {
    // Both counts decay alike, so the ratio does not depend on the moment.
    return this.#calls === 0 ? 0 : this.#failures / this.#calls;
  }

  #record(failure: 0 | 1, nowMs: number): void {
    const keep = Math.exp(-Math.max(0, nowMs - this.#updatedMs) / WINDOW_MS);
    this.#calls = this.#calls * keep + 1;
    this.#failures = this.#failures * keep + failure;
    this.#updatedMs = Math.max(this.#updatedMs, nowMs);
  }
}

/** Repetitions per request, and per second besides: an outage is not multiplied by everybody repeating everything. */
const BUDGET_PER_REQUEST = 0.2;
const BUDGET_PER_SECOND = 10;
/** Ten seconds of the trickle can be saved up. */
const BUDGET_MAX = BUDGET_PER_SECOND * 10;

/** Limits how often requests are repeated elsewhere, after Finagle's `RetryBudget`. */
export class RetryBudget {
  #tokens = BUDGET_MAX;
  #updatedMs: number;

  constructor(nowMs: number) {
    this.#updatedMs = nowMs;
  }

  /** A new request (not a repetition) came in. */
  deposit(nowMs: number): void {
    this.#refill(nowMs);
    this.#tokens = Math.min(BUDGET_MAX, this.#tokens + BUDGET_PER_REQUEST);
  }

  /** Whether a repetition may be made; takes its token if so. */
  tryWithdraw(nowMs: number): boolean {
    this.#refill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #refill(nowMs: number): void {
    this.#tokens = Math.min(BUDGET_MAX, this.#tokens + (Math.max(0, nowMs - this.#updatedMs) / 1000) * BUDGET_PER_SECOND);
    this.#updatedMs = Math.max(this.#updatedMs, nowMs);
  }
}
