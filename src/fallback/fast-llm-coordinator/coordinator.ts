import { performance } from 'node:perf_hooks';

import { UniversalAiError } from '../../errors.js';
import type { BackendStream, CallOptions, Completion, FastLLMCoordinatorBackend, PreparedEmbeddings, PreparedRequest } from '../../services/fast-llm-coordinator-backend.js';
import type { Attempt, ChatChunk, CoordinatorStats, EmbedResponse, EndpointHealth, GatewayConfig, RoutingReport } from '../../services/fast-llm-coordinator-types.js';
import { askStream, askWhole, type Question, type Upstream } from './attempt.js';
import { RetryBudget } from './breaker.js';
import { type Config, loadConfig } from './config.js';
import type { Dialect, Operation } from './dialect.js';
import { discover, engineAlone } from './discovery.js';
import { Engine } from './engine.js';
import { Failure } from './failure.js';
import { nearestFew } from './nearest.js';
import { requestId } from './request-id.js';
import { CallScope } from './scope.js';
import { choose } from './select.js';
import { Counters } from './stats.js';
import { type Model, type Place, Wiring } from './wiring.js';

/** Before an endpoint that failed a moment ago is asked again by the same request, in milliseconds, times 0.25 to 1. */
const AGAIN_MS = 100;

/**
 * The coordinator without native code: the same decisions, error codes and shapes as the Rust core, which is faster and
 * is what one should use where it runs.
 */
export class TypeScriptFastLLMCoordinator implements FastLLMCoordinatorBackend {
  readonly #config: Config;
  readonly #engine: Engine | undefined;
  readonly #counters = new Counters();
  readonly #budget = new RetryBudget(performance.now());
  readonly #running = new Set<CallScope>();
  #closed = false;
  #wiring: Wiring;
  #ready: Promise<void> | undefined;

  /**
   * @param engineSearch Folders in which the engine may lie besides the usual places.
   * @throws {UniversalAiError} `UAT_CONFIG`.
   */
  constructor(config: GatewayConfig | string | undefined, engineSearch: string[]) {
    this.#config = loadConfig(config);
    this.#engine = this.#config.engine.enabled ? new Engine(this.#config.engine, engineSearch) : undefined;
    this.#wiring = new Wiring(this.#config.configured ? this.#config : engineAlone(this.#config.engine), this.#engine);
  }

  async route(request: PreparedRequest, options: CallOptions): Promise<Completion> {
    const { answer: body, routing } = await this.#whole(request, options, dialect => dialect.chat);
    return { body, routing };
  }

  async embed(request: PreparedEmbeddings, options: CallOptions): Promise<EmbedResponse> {
    const { answer } = await this.#whole({ model: request.model, json: JSON.stringify(request) }, options, dialect => dialect.embeddings);
    return answer;
  }

  stream(request: PreparedRequest, options: CallOptions): BackendStream {
    return new FallbackStream(
      () => this.#begin(request, options),
      call => this.#execute(call, (place, question) => askStream(place.endpoint, place.endpoint.begin(performance.now()), question), true),
    );
  }

  async #whole<T>(request: PreparedRequest, options: CallOptions, operation: (dialect: Dialect) => Operation<T>): Promise<{ answer: T; routing: RoutingReport }> {
    const call = this.#begin(request, options);
    return await call.guard(async () => {
      const ask = ({ endpoint }: Place, question: Question): Promise<T> => askWhole(endpoint, endpoint.begin(performance.now()), question, operation(endpoint.dialect));
      const { answer, place } = await this.#execute(call, ask, false);
      const routing = call.report(place.endpoint.config.name);
      call.ended();
      return { answer, routing };
    });
  }

  health(): EndpointHealth[] {
    const now = performance.now();
    return this.#wiring.endpoints.map(endpoint => endpoint.health(now));
  }

  stats(): CoordinatorStats {
    return this.#counters.snapshot();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const scope of this.#running) scope.end(new UniversalAiError('UAT_CLOSED', 'this FastLLMCoordinator was closed while the call was under way; make a new one'));
    this.#wiring.close();
    this.#engine?.close();
  }

  #begin(request: PreparedRequest, { signal, timeoutMs }: CallOptions): Call {
    this.#budget.deposit(performance.now());
    return new Call(request, new CallScope(signal, timeoutMs, this.#running), this.#counters);
  }

  /** Asks the endpoints of the model until one answers or none is left. */
  async #execute<T>(call: Call, ask: (place: Place, question: Question) => Promise<T>, stream: boolean): Promise<{ answer: T; place: Place }> {
    call.scope.signal.throwIfAborted();
    await this.#discovered(call.scope);
    const model = this.#model(call.request.model);
    const tried = model.places.map((): 'not-yet' | 'briefly' | 'finished' => 'not-yet');
    let last: Failure | undefined;
    for (;;) {
      const now = performance.now();
      const contenders = model.places.map(({ endpoint, weight }, index) => ({ availability: endpoint.availability(now), cost: endpoint.cost(weight, now), tried: tried[index] ?? 'finished' }));
      const choice = choose(contenders, now, Math.random);
      if (choice.kind === 'nobody') throw call.failed(last ?? nobody(model, choice));
      if (last !== undefined) {
        if (!this.#budget.tryWithdraw(now)) throw call.failed(last);
        this.#counters.failovers += 1;
      }
      if (choice.kind === 'ask-again') await call.wait(AGAIN_MS * (0.25 + 0.75 * Math.random()));
      const place = model.places[choice.index] as Place;
      const others = contenders.some((other, index) => index !== choice.index && other.tried === 'not-yet');
      try {
        return { answer: await call.attempt(place, patience(place, stream || others), stream, ask), place };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        if (error.final) throw call.failed(error);
        tried[choice.index] = tried[choice.index] === 'not-yet' && error.brief ? 'briefly' : 'finished';
        last = error;
      }
    }
  }

  #model(name: string): Model {
    const model = this.#wiring.models.get(name);
    if (model !== undefined) return model;
    const nearest = nearestFew(name, [...this.#wiring.models.keys()], 3);
    const known = nearest.length > 0 ? `did you mean ${nearest.map(one => `\`${one}\``).join(' or ')}?` : 'models are configured in [[models]] of uat.toml';
    throw new UniversalAiError('UAT_MODEL_NOT_FOUND', `unknown model \`${name}\`; ${known}`, { details: { model: name, nearest } });
  }

  /** Without a configuration, looks for other local servers once; every call waits for that, the first one starts it. */
  async #discovered(scope: CallScope): Promise<void> {
    if (this.#config.configured) return;
    this.#ready ??= discover(this.#config.engine).then(found => {
      if (found !== undefined && !this.#closed) this.#wiring = new Wiring(found, this.#engine);
    });
    await this.#ready;
    scope.signal.throwIfAborted();
  }
}

/** One request from its beginning to its end, and what is told of it. */
class Call {
  readonly request: PreparedRequest;
  readonly scope: CallScope;
  readonly #id = requestId();
  readonly #counters: Counters;
  readonly #attempts: Attempt[] = [];
  #lastBegunMs = 0;
  /** Spent waiting for endpoints and between attempts, which is no overhead of ours. */
  #waitedMs = 0;
  #overheadUs: number | undefined;
  #over = false;

  constructor(request: PreparedRequest, scope: CallScope, counters: Counters) {
    this.request = request;
    this.scope = scope;
    this.#counters = counters;
    counters.requests += 1;
    counters.inFlight += 1;
  }

  async attempt<T>(place: Place, patienceMs: number, stream: boolean, ask: (place: Place, question: Question) => Promise<T>): Promise<T> {
    const request = JSON.parse(this.request.json) as Record<string, unknown>;
    const ids = { id: `chatcmpl-${this.#id}`, created: Math.floor(Date.now() / 1000), model: this.request.model };
    const attempt: Attempt = { endpoint: place.endpoint.config.name, model: place.model, outcome: 'ok', totalMs: 0 };
    this.#attempts.push(attempt);
    const begunMs = performance.now();
    this.#lastBegunMs = begunMs;
    try {
      const ownMs = stream ? place.endpoint.config.total_timeout_ms : patienceMs;
      const leftMs = Math.min(ownMs, this.scope.leftMs(begunMs));
      const answer = await ask(place, { request, model: place.model, stream, ids, patienceMs, leftMs, signal: this.scope.signal });
      attempt.status = 200;
      attempt.firstTokenMs = performance.now() - begunMs;
      this.#waitedMs += attempt.firstTokenMs;
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

  async wait(ms: number): Promise<void> {
    await this.scope.sleep(ms);
    this.#waitedMs += ms;
  }

  report(endpoint: string): RoutingReport {
    return { requestId: this.#id, model: this.request.model, endpoint, cache: 'bypass', attempts: this.#attempts.map(attempt => ({ ...attempt })), overheadUs: this.#overheadUs ?? 0 };
  }

  /** What the caller is told of a failure: its own code, or that all of several endpoints failed. */
  failed(failure: Failure): UniversalAiError {
    const attempts = this.#attempts.map(attempt => ({ ...attempt }));
    const several = !failure.final && new Set(attempts.map(attempt => attempt.endpoint)).size > 1;
    const details = { requestId: this.#id, attempts, ...(failure.status === undefined ? {} : { status: failure.status }) };
    const tried = attempts.map(({ endpoint, error }) => `${endpoint}: ${error ?? 'failed'}`).join('; ');
    return new UniversalAiError(several ? 'UAT_ALL_ENDPOINTS_FAILED' : failure.code, several ? `no endpoint answered (${tried})` : failure.message, { retryable: failure.retryable, details });
  }

  /** Runs a part of the call; an error ends the call and becomes what the caller sees. */
  async guard<T>(part: () => Promise<T>): Promise<T> {
    try {
      return await part();
    } catch (error) {
      const told = this.#told(error);
      // A caller that went away is no error of ours.
      if (told.code !== 'UAT_CANCELLED' && !this.#over) this.#counters.errors += 1;
      this.ended();
      throw told;
    }
  }

  ended(): void {
    if (this.#over) return;
    this.#over = true;
    this.#counters.inFlight -= 1;
    const attempt = this.#attempts.at(-1);
    if (attempt?.outcome === 'ok') attempt.totalMs = performance.now() - this.#lastBegunMs;
    this.scope.release();
  }

  #told(error: unknown): UniversalAiError {
    if (error instanceof Failure) return this.failed(error);
    if (error instanceof UniversalAiError) {
      error.details['requestId'] ??= this.#id;
      if (this.#attempts.length > 0) error.details['attempts'] ??= this.#attempts.map(attempt => ({ ...attempt }));
      return error;
    }
    return new UniversalAiError('UAT_INTERNAL', `an error that should not occur: ${(error as Error).message}; please report it`, { cause: error });
  }
}

type StreamOpened = { answer: { first: ChatChunk[]; rest: Upstream }; place: Place };

class FallbackStream implements BackendStream {
  readonly #begin: () => Call;
  readonly #open: (call: Call) => Promise<StreamOpened>;
  #call: Call | undefined;
  #opened: StreamOpened | undefined;
  #cancelled = false;
  #routing: RoutingReport | undefined;

  constructor(begin: () => Call, open: (call: Call) => Promise<StreamOpened>) {
    this.#begin = begin;
    this.#open = open;
  }

  async next(): Promise<ChatChunk[] | null> {
    if (this.#cancelled) throw left();
    this.#call ??= this.#begin();
    const call = this.#call;
    return await call.guard(async () => {
      if (this.#opened === undefined) {
        this.#opened = await this.#open(call);
        return this.#opened.answer.first;
      }
      try {
        const chunks = await this.#opened.answer.rest.next();
        if (chunks !== null) return chunks;
      } catch (error) {
        call.broke(error);
        throw error;
      }
      call.ended();
      this.#routing = call.report(this.#opened.place.endpoint.config.name);
      return null;
    });
  }

  report(): RoutingReport {
    if (this.#routing === undefined) throw new UniversalAiError('UAT_INTERNAL', 'a stream was asked for its report before its end; please report this');
    return this.#routing;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#call?.scope.end(left());
    this.#call?.ended();
  }
}

function left(): UniversalAiError {
  return new UniversalAiError('UAT_CANCELLED', 'the consumer of the stream left');
}

/**
 * How long an attempt may take until its first content. A whole answer shows nothing until it is there: with another
 * endpoint to go to, one that stays silent for as long as a stream may is left; the last one gets all the time there is.
 */
function patience({ endpoint: { config } }: Place, streamOrOthers: boolean): number {
  return streamOrOthers ? Math.min(config.first_token_timeout_ms, config.total_timeout_ms) : config.total_timeout_ms;
}

/** The failure of a request that nobody could be asked to answer. */
function nobody(model: Model, choice: { why: string; pauseMs?: number }): Failure {
  const names = model.places.map(place => `\`${place.endpoint.config.name}\``).join(', ');
  const neutral = { kind: 'neutral' } as const;
  switch (choice.why) {
    case 'cooling-down':
      return new Failure({ code: 'UAT_RATE_LIMITED', message: `endpoint ${names}: asked for a pause, ${Math.ceil(choice.pauseMs ?? 0)} ms are left`, retryable: true, verdict: neutral });
    case 'full':
      return new Failure({ code: 'UAT_OVERLOADED', message: `endpoint ${names}: at max_in_flight; come back in a moment`, retryable: true, verdict: neutral });
    case 'quarantined':
      return new Failure({ code: 'UAT_UNAUTHORIZED', message: `endpoint ${names}: refused our API key a moment ago; check api_key_env or api_key_file`, retryable: false, verdict: neutral });
    default:
      return new Failure({ code: 'UAT_UPSTREAM', message: `endpoint ${names}: failed`, retryable: true, verdict: neutral });
  }
}
