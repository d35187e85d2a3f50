import { performance } from 'node:perf_hooks';

import { UniversalAiError } from '../../errors.js';
import type { Attempt, RoutingReport } from '../../services/fast-llm-coordinator-types.js';
import type { Question } from './attempt.js';
import type { AnswerIds } from './dialect.js';
import { Failure } from './failure.js';
import { requestId } from './request-id.js';
import type { CallScope } from './scope.js';
import type { Counters } from './stats.js';
import type { Place } from './wiring.js';

/** What the endpoints were asked for one request, and what came of it. */
export class Journal {
  readonly id: string;
  readonly scope: CallScope;
  /** The model as the caller named it, or what it said instead. */
  readonly asked: string;
  readonly ids: AnswerIds;
  readonly #counters: Counters;
  readonly #attempts: Attempt[] = [];
  readonly #names = new Set<string>();
  #endpoint = '';
  #model: string;
  #dropped: string[] = [];
  #lastBegunMs = 0;
  /** Spent waiting for endpoints, in queues and between attempts, which is no overhead of ours. */
  #waitedMs = 0;
  #overheadUs = 0;
  #ended = false;

  /** @param id Names the request; absent: a new one. */
  constructor(model: string, scope: CallScope, counters: Counters, id = requestId()) {
    this.id = id;
    this.asked = model;
    this.#model = model;
    this.scope = scope;
    this.#counters = counters;
    this.ids = { id: `chatcmpl-${this.id}`, created: Math.floor(Date.now() / 1000), model };
  }

  /** The model that is asked now, or that has answered. */
  get model(): string {
    return this.#model;
  }

  turnTo(model: string): void {
    this.#model = model;
  }

  /**
   * Makes one attempt and writes it down.
   *
   * @param well What it is if it succeeds.
   */
  async attempt<T>(place: Place, asked: Omit<Question, 'model' | 'ids' | 'requestId' | 'leftMs' | 'said' | 'signal'>, well: 'ok' | 'resumed', ask: (question: Question) => Promise<T>): Promise<T> {
    const { config } = place.endpoint;
    const attempt: Attempt = { endpoint: config.name, model: place.model, outcome: well, totalMs: 0 };
    this.#attempts.push(attempt);
    this.#names.add(config.name);
    const begunMs = performance.now();
    this.#lastBegunMs = begunMs;
    try {
      const leftMs = Math.min(asked.stream ? config.total_timeout_ms : asked.patienceMs, this.scope.leftMs(begunMs));
      // Of an answer in parts, what any of the parts was not told.
      const said = (dropped: string[]): void => void (this.#dropped = well === 'resumed' ? [...new Set([...this.#dropped, ...dropped])] : dropped);
      const answer = await ask({ ...asked, model: place.model, ids: this.ids, requestId: this.id, leftMs, said, signal: this.scope.signal });
      attempt.status = 200;
      attempt.firstTokenMs = performance.now() - begunMs;
      this.#waitedMs += attempt.firstTokenMs;
      this.#endpoint = config.name;
      this.#overheadUs = Math.max(0, Math.round((performance.now() - this.scope.startedMs - this.#waitedMs) * 1000));
      this.#counters.overhead(this.#overheadUs);
      return answer;
    } catch (error) {
      this.#waitedMs += performance.now() - begunMs;
      this.broke(error);
      throw error;
    } finally {
      attempt.totalMs = performance.now() - begunMs;
    }
  }

  /** Whether anybody has been asked. */
  get hasTried(): boolean {
    return this.#attempts.length > 0;
  }

  /** The running attempt ended in an error. */
  broke(error: unknown): void {
    const attempt = this.#attempts.at(-1);
    if (attempt === undefined) return;
    attempt.totalMs = performance.now() - this.#lastBegunMs;
    if (error instanceof Failure) {
      attempt.outcome = error.timedOut ? 'timeout' : 'error';
      if (error.status !== undefined) attempt.status = error.status;
    } else {
      attempt.outcome = error instanceof UniversalAiError && error.code === 'UAT_TIMEOUT' ? 'timeout' : 'cancelled';
    }
    attempt.error = (error as Error).message;
  }

  /** Does what takes time that is none of ours. */
  async waiting<T>(step: () => Promise<T>): Promise<T> {
    const begunMs = performance.now();
    try {
      return await step();
    } finally {
      this.#waitedMs += performance.now() - begunMs;
    }
  }

  /** The answer is whole, or nobody waits for it any more. */
  ended(): void {
    if (this.#ended) return;
    this.#ended = true;
    const attempt = this.#attempts.at(-1);
    if (attempt?.outcome === 'ok' || attempt?.outcome === 'resumed') attempt.totalMs = performance.now() - this.#lastBegunMs;
  }

  report(cache: RoutingReport['cache']): RoutingReport {
    return {
      requestId: this.id, model: this.#model, endpoint: this.#endpoint, cache, attempts: this.attempts(), overheadUs: this.#overheadUs,
      ...(this.#dropped.length > 0 ? { dropped: [...this.#dropped] } : {}),
    };
  }

  attempts(): Attempt[] {
    return this.#attempts.map(attempt => ({ ...attempt }));
  }

  /** What the caller is told of a failure: its own code, or that all of several endpoints failed. */
  failed(failure: Failure): UniversalAiError {
    const attempts = this.attempts();
    const several = !failure.final && this.#names.size > 1;
    const details = { requestId: this.id, attempts, ...(failure.status === undefined ? {} : { status: failure.status }) };
    const tried = attempts.map(({ endpoint, error }) => `${endpoint}: ${error ?? 'failed'}`).join('; ');
    return new UniversalAiError(several ? 'UAT_ALL_ENDPOINTS_FAILED' : failure.code, several ? `no endpoint answered (${tried})` : failure.message, { retryable: failure.retryable, details });
  }

  /** What the caller is told of any error. */
  told(error: unknown): UniversalAiError {
    if (error instanceof Failure) return this.failed(error);
    if (error instanceof UniversalAiError) {
      error.details['requestId'] ??= this.id;
      if (this.#attempts.length > 0) error.details['attempts'] ??= this.attempts();
      return error;
    }
    return new UniversalAiError('UAT_INTERNAL', `an error that should not occur: ${(error as Error).message}; please report it`, { cause: error });
  }
}
