import { performance } from 'node:perf_hooks';

import { isObject } from '../../check.js';
import { UniversalAiError } from '../../errors.js';
import type { Question } from './attempt.js';
import type { RetryBudget } from './breaker.js';
import type { Ticket } from './endpoint.js';
import { Failure } from './failure.js';
import type { Journal } from './journal.js';
import { waitForPlace } from './queue.js';
import { choose, type Contender } from './select.js';
import type { Counters } from './stats.js';
import type { Model, Place } from './wiring.js';

/** Before an endpoint that failed a moment ago is asked again by the same request, in milliseconds, times 0.25 to 1. */
const AGAIN_MS = 100;

/** What all requests share. */
export interface Shared {
  budget: RetryBudget;
  counters: Counters;
}

/** One request at the endpoints of its model: asks one after the other, and remembers how each fared. */
export class Execution {
  readonly #model: Model;
  readonly #journal: Journal;
  readonly #shared: Shared;
  readonly #tried: Contender['tried'][];
  #last: Failure | undefined;
  /** Why it did not get a place, or no longer waits for one. */
  #turnedAway: Failure | undefined;

  /** @param tried Whom not to ask, or not at first; absent: everybody may be asked. */
  constructor(model: Model, journal: Journal, shared: Shared, tried: Contender['tried'][] = model.places.map(() => 'not-yet')) {
    this.#model = model;
    this.#journal = journal;
    this.#shared = shared;
    this.#tried = tried;
  }

  /**
   * Asks until one answers.
   *
   * @param request What an endpoint is asked.
   * @param well What an attempt is that succeeds: `resumed` where it goes on with an answer that was begun.
   * @throws {Failure} None answered. {@link Journal.told} makes of it what the caller is told.
   */
  async ask<T>(request: (place: Place) => Record<string, unknown>, stream: boolean, ask: (place: Place, ticket: Ticket, question: Question) => Promise<T>, well: 'ok' | 'resumed' = 'ok'): Promise<{ answer: T; place: Place }> {
    const journal = this.#journal;
    for (;;) {
      const now = performance.now();
      const contenders = this.#contenders(now);
      const choice = choose(contenders, now, this.#model.strategy, () => beginning(request(this.#model.places[0] as Place)), Math.random);
      if (choice.kind === 'nobody') throw this.#last ?? this.#turnedAway ?? nobody(this.#model, choice);
      if (journal.hasTried) {
        const isRefused = !this.#shared.budget.tryWithdraw(now);
        if (isRefused && this.#last !== undefined) throw this.#last;
      }
      if (choice.kind === 'ask-again') await journal.waiting(() => journal.scope.sleep(AGAIN_MS * (0.25 + 0.75 * Math.random())));
      const line = this.#line(choice);
      const index = line === undefined ? (choice as { index: number }).index : await this.#queued(line);
      // There was no place, or whoever had one was left alone meanwhile.
      if (index === undefined) continue;
      if (journal.hasTried) this.#shared.counters.failovers += 1;
      const place = this.#model.places[index] as Place;
      const others = contenders.some((other, at) => at !== index && other.tried === 'not-yet');
      const ticket = place.endpoint.begin(performance.now(), line !== undefined, place.pace);
      try {
        const asked = { request: request(place), stream, mostTokens: place.mostTokens, patienceMs: patience(place, stream || others) };
        return { answer: await journal.attempt(place, asked, well, question => ask(place, ticket, question)), place };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.#tried[index] = this.#tried[index] === 'not-yet' && error.brief ? 'briefly' : 'finished';
        this.#last = error;
        if (error.final) throw error;
      }
    }
  }

  #contenders(now: number): Contender[] {
    return this.#model.places.map(({ endpoint, weight }, index) => {
      const share = weight * endpoint.share(now);
      return { name: endpoint.config.name, availability: endpoint.availability(now), weight: share, cost: endpoint.cost(share, now), inFlight: endpoint.inFlight, tried: this.#tried[index] ?? 'finished' };
    });
  }

  /** Whose places are to be waited for; `undefined`: the one that was chosen has one. */
  #line(choice: { kind: 'wait'; indices: number[] } | { kind: 'ask' | 'ask-again'; index: number }): number[] | undefined {
    if (choice.kind === 'wait') return choice.indices;
    return this.#model.places[choice.index]?.endpoint.places.full === true ? [choice.index] : undefined;
  }

  /** Waits for a place at one of these; `undefined`: the choice is to be made anew. */
  async #queued(indices: number[]): Promise<number | undefined> {
    const { scope } = this.#journal;
    const lines = indices.map(index => (this.#model.places[index] as Place).endpoint);
    const expected = lines.map(({ places }) => places.expectedMs);
    // An unknown time may be none.
    const soonestMs = Math.min(...expected.map(ms => ms ?? 0));
    const leftMs = scope.leftMs(performance.now());
    const waiting = lines.filter(({ places }) => places.hasQueue);
    if (soonestMs > leftMs) return this.#turnAway(indices, `at max_in_flight; this request's turn is expected in ${Math.ceil(soonestMs)} ms, and it has ${Math.floor(leftMs)} ms left`);
    if (waiting.length === 0) {
      const most = lines.reduce((sum, { config }) => sum + config.max_queued, 0);
      return this.#turnAway(indices, `at max_in_flight, and ${most} requests wait already (max_queued); come back in a moment`);
    }
    const patienceMs = Math.max(...waiting.map(({ config }) => config.queue_timeout_ms));
    const got = await this.#journal.waiting(() => waitForPlace(waiting.map(({ places }) => places), patienceMs, scope));
    if (got === undefined) return this.#turnAway(indices, `at max_in_flight; no place within ${patienceMs} ms (queue_timeout_ms)`);
    const index = indices.find(at => this.#model.places[at]?.endpoint.places === got) as number;
    if (this.#model.places[index]?.endpoint.mayBeAsked(performance.now()) === true) return index;
    got.give();
    return undefined;
  }

  #turnAway(indices: number[], why: string): undefined {
    for (const index of indices) this.#tried[index] = 'turned-away';
    this.#turnedAway = new Failure({ code: 'UAT_OVERLOADED', message: `endpoint ${names(this.#model)}: ${why}`, retryable: true, verdict: neutral });
  }
}

/**
 * Carries out a plan: asks its models one after the other until one answers.
 *
 * @param ask Asks the endpoints of one model.
 * @throws {Failure} None answered.
 */
export async function askInTurn<T>(plan: readonly Model[], journal: Journal, ask: (model: Model) => Promise<T>): Promise<T> {
  for (const [index, model] of plan.entries()) {
    journal.turnTo(model.name);
    try {
      return await ask(model);
    } catch (error) {
      // What is too long for one model may not be for the next.
      const isFinal = !(error instanceof Failure) || (error.final && error.code !== 'UAT_CONTEXT_LENGTH_EXCEEDED');
      if (isFinal || index === plan.length - 1) throw error;
    }
  }
  throw new UniversalAiError('UAT_INTERNAL', 'a plan without models was to be carried out; please report this');
}

/** The conversation up to and with its first user message: what a prompt cache has of others that begin alike. */
function beginning({ messages }: Record<string, unknown>): string {
  const all = Array.isArray(messages) ? messages : [];
  const user = all.findIndex(message => isObject(message) && message['role'] === 'user');
  return JSON.stringify(all.slice(0, user === -1 ? all.length : user + 1));
}

/**
 * How long an attempt may take until its first content. A whole answer shows nothing until it is there: with another
 * endpoint to go to, one that stays silent for as long as a stream may is left; the last one gets all the time there is.
 */
function patience({ endpoint: { config } }: Place, streamOrOthers: boolean): number {
  return streamOrOthers ? Math.min(config.first_token_timeout_ms, config.total_timeout_ms) : config.total_timeout_ms;
}

const neutral = { kind: 'neutral' } as const;

function names(model: Model): string {
  return model.places.map(place => `\`${place.endpoint.config.name}\``).join(', ');
}

/** The failure of a request that nobody could be asked to answer. */
function nobody(model: Model, choice: { why: string; pauseMs?: number }): Failure {
  switch (choice.why) {
    case 'cooling-down':
      return new Failure({ code: 'UAT_RATE_LIMITED', message: `endpoint ${names(model)}: asked for a pause, ${Math.ceil(choice.pauseMs ?? 0)} ms are left`, retryable: true, verdict: neutral });
    case 'quarantined':
      return new Failure({ code: 'UAT_UNAUTHORIZED', message: `endpoint ${names(model)}: refused our API key a moment ago; check api_key_env or api_key_file`, retryable: false, verdict: neutral });
    default:
      return new Failure({ code: 'UAT_UPSTREAM', message: `endpoint ${names(model)}: failed`, retryable: true, verdict: neutral });
  }
}

/** Nobody knows the model. */
export function unknownModel(name: string, nearest: string[]): UniversalAiError {
  const known = nearest.length > 0 ? `did you mean ${nearest.map(one => `\`${one}\``).join(' or ')}?` : 'models are configured in [[models]] of uat.toml';
  return new UniversalAiError('UAT_MODEL_NOT_FOUND', `unknown model \`${name}\`; ${known}`, { details: { model: name, nearest } });
}
