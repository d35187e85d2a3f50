import { performance } from 'node:perf_hooks';

import { invalidInput, UniversalAiError } from '../../errors.js';
import type { CallOptions, Completion, FastLLMCoordinatorBackend, PreparedEmbeddings, PreparedRequest } from '../../services/fast-llm-coordinator-backend.js';
import type { ChatChunk, CoordinatorStats, EmbedResponse, EndpointHealth, GatewayConfig } from '../../services/fast-llm-coordinator-types.js';
import type { RouteAsk } from '../../services/llm-router-backend.js';
import type { RoutedModel, RoutePlan } from '../../services/llm-router-types.js';
import { Judgements } from '../llm-router/judgements.js';
import { isTarget } from '../llm-router/question.js';
import { type Routed, routed, routedModels } from '../llm-router/routing.js';
import { askWhole } from './attempt.js';
import { RetryBudget } from './breaker.js';
import { Call, left } from './call.js';
import { FallbackStream, LiveStream, type Pieces } from './chat-stream.js';
import { Collector, replay } from './completion.js';
import { loadConfig } from './config.js';
import type { Dialect, Operation } from './dialect.js';
import { askInTurn, Execution, type Shared } from './execution.js';
import type { Seat } from './flight.js';
import { Generation } from './generation.js';
import { Journal } from './journal.js';
import { requestId } from './request-id.js';
import { cacheKey, isCacheable, type ResponseCache, type Stored } from './response-cache.js';
import { wantsUsage } from './resume.js';
import { CallScope } from './scope.js';
import { Counters } from './stats.js';
import type { Model } from './wiring.js';

type Fields = Record<string, unknown>;

/** What is wanted of whoever answers where the router chooses, and who is told of its decision before anybody is asked. */
export interface Asking {
  ask: RouteAsk;
  decided(plan: RoutePlan): void;
}

/** A call with what it was begun under. */
interface Begun {
  call: Call;
  generation: Generation;
  wish: boolean | undefined;
  asking: Asking | undefined;
}

/**
 * The coordinator without native code: the same decisions, error codes and shapes as the Rust core, which is faster and
 * is what one should use where it runs.
 */
export class TypeScriptFastLLMCoordinator implements FastLLMCoordinatorBackend {
  readonly #engineSearch: string[];
  readonly #counters = new Counters();
  readonly #shared: Shared = { budget: new RetryBudget(performance.now()), counters: this.#counters };
  readonly #running = new Set<CallScope>();
  readonly #generations = new Set<Generation>();
  readonly #judgements = new Judgements();
  readonly #className: string;
  #generation: Generation;

  /**
   * @param engineSearch Folders in which the engine may lie besides the usual places.
   * @param className The class that users made, for messages.
   * @throws {UniversalAiError} `UAT_CONFIG`.
   */
  constructor(config: GatewayConfig | string | undefined, engineSearch: string[], className = 'FastLLMCoordinator') {
    this.#engineSearch = engineSearch;
    this.#className = className;
    this.#generation = new Generation(loadConfig(config), engineSearch);
    this.#generations.add(this.#generation);
  }

  async route(request: PreparedRequest, options: CallOptions, asking?: Asking): Promise<Completion> {
    const begun = this.#begin(request, options, asking);
    const { call } = begun;
    return await call.guard(async () => {
      const body = JSON.parse(request.json) as Fields;
      const plan = await this.#ready(begun, body);
      const found = await this.#lookUp(begun, plan, body, true);
      if (found === undefined) {
        const answer = await this.#whole(call.journal, plan, body, dialect => dialect.chat);
        const routing = call.journal.report('bypass');
        call.ended();
        return { body: answer, routing };
      }
      if ('stored' in found) return this.#replayed(call, found.stored);
      return await this.#together(begun, plan, body, found);
    });
  }

  async embed(request: PreparedEmbeddings, options: CallOptions): Promise<EmbedResponse> {
    const begun = this.#begin(request, options);
    return await begun.call.guard(async () => {
      if (isTarget(request.model)) throw invalidInput('model', 'the name of a model: vectors of different models cannot be compared', request.model);
      const plan = await this.#ready(begun, {});
      const answer = await this.#whole(begun.call.journal, plan, { ...request }, dialect => dialect.embeddings);
      begun.call.ended();
      return answer;
    });
  }

  stream(request: PreparedRequest, options: CallOptions, asking?: Asking): FallbackStream {
    let begun: Begun | undefined;
    return new FallbackStream(() => (begun = this.#begin(request, options, asking)).call, () => this.#pieces(begun as Begun, request));
  }

  /** Decides who would answer, and asks nobody. */
  plan(request: PreparedRequest, ask: RouteAsk): Routed {
    return this.#routed(this.#generation, requestId(), request.model, JSON.parse(request.json) as Fields, ask);
  }

  /** An answer of the model was so good, 0 to 1. */
  feedback(model: string, score: number): void {
    this.#judgements.feedback(model, score, performance.now());
  }

  /** The models that the router chooses among. */
  routedModels(): RoutedModel[] {
    return routedModels(this.#generation.wiring, this.#judgements, performance.now());
  }

  /** Without a configuration looks for other local servers; otherwise there is nothing to wait for. */
  async ready(): Promise<void> {
    await this.#generation.discovered();
  }

  health(): EndpointHealth[] {
    const now = performance.now();
    return this.#generation.endpoints.map(endpoint => endpoint.health(now));
  }

  stats(): CoordinatorStats {
    return this.#counters.snapshot();
  }

  async reload(config: GatewayConfig | string | undefined): Promise<void> {
    const before = this.#generation;
    // Throws before anything has changed.
    this.#generation = new Generation(loadConfig(config), this.#engineSearch, before);
    this.#generations.add(this.#generation);
    before.retire();
    for (const generation of this.#generations) if (generation.isClosed) this.#generations.delete(generation);
  }

  async close(): Promise<void> {
    for (const scope of this.#running) scope.end(new UniversalAiError('UAT_CLOSED', `this ${this.#className} was closed while the call was under way; make a new one`));
    for (const generation of this.#generations) generation.close();
  }

  #begin({ model }: { model: string }, { signal, timeoutMs, cache }: CallOptions, asking?: Asking): Begun {
    this.#shared.budget.deposit(performance.now());
    const generation = this.#generation;
    return { call: new Call(model, new CallScope(signal, timeoutMs, this.#running), this.#counters, generation.enter()), generation, wish: cache, asking };
  }

  /** Who is to be asked, in this order. */
  async #ready({ call, generation, asking }: Begun, request: Fields): Promise<Model[]> {
    call.scope.signal.throwIfAborted();
    await generation.discovered();
    call.scope.signal.throwIfAborted();
    const { asked, id } = call.journal;
    if (!isTarget(asked)) return [generation.model(asked)];
    const { plan, chain, refused } = this.#routed(generation, id, asked, request, asking?.ask);
    asking?.decided(plan);
    if (refused !== undefined) throw refused;
    return chain.map(name => generation.model(name));
  }

  #routed({ wiring, config }: Generation, id: string, target: string, request: Fields, ask?: RouteAsk): Routed {
    return routed(id, target, request, ask, wiring, config.routing, this.#judgements, () => performance.now());
  }

  async #whole<T>(journal: Journal, plan: readonly Model[], request: Fields, operation: (dialect: Dialect) => Operation<T>): Promise<T> {
    return await askInTurn(plan, journal, async model => {
      const execution = new Execution(model, journal, this.#shared);
      const { answer } = await execution.ask(() => request, false, ({ endpoint }, ticket, question) => askWhole(endpoint, ticket, question, operation(endpoint.dialect)));
      return answer;
    });
  }

  /** What the cache says; `undefined`: it is not to be asked. */
  async #lookUp({ call, generation, wish }: Begun, plan: readonly Model[], request: Fields, usage: boolean): Promise<{ stored: Stored } | { cache: ResponseCache; key: string } | undefined> {
    const { cache } = generation;
    if (cache === undefined || !isCacheable(request, wish)) return undefined;
    const key = cacheKey(request, plan);
    const stored = await call.scope.unlessEnded(cache.get(key, usage));
    return stored === undefined ? { cache, key } : { stored };
  }

  #replayed(call: Call, { model, endpoint, dropped, completion }: Stored): Completion {
    this.#counters.cacheHits += 1;
    if (model !== undefined) call.journal.turnTo(model);
    call.ended();
    return { body: completion, routing: { ...call.journal.report('hit'), endpoint, ...(dropped.length > 0 ? { dropped } : {}) } };
  }

  /** One question for any number of callers who ask the same meanwhile. */
  async #together(begun: Begun, plan: readonly Model[], request: Fields, { cache, key }: { cache: ResponseCache; key: string }): Promise<Completion> {
    const { call } = begun;
    let flown: Journal | undefined;
    const seat = cache.flights.join<{ body: Fields; journal: Journal }>(`whole:${key}`, () => {
      const { journal, end } = this.#detached(begun);
      return {
        next: async () => {
          if (flown !== undefined) return null;
          flown = journal;
          try {
            const body = await this.#whole(journal, plan, request, dialect => dialect.chat);
            void cache.put(key, stored(journal, body));
            return { body, journal };
          } catch (error) {
            throw journal.told(error);
          } finally {
            end();
          }
        },
        size: ({ body }) => JSON.stringify(body).length,
        cancel: () => end(left()),
      };
    });
    this.#count(seat);
    try {
      const piece = await this.#from(seat, call);
      call.ended();
      return { body: structuredClone(piece?.body ?? {}), routing: reported(call, seat, piece?.journal) };
    } finally {
      seat.leave();
    }
  }

  async #pieces(begun: Begun, prepared: PreparedRequest): Promise<Pieces> {
    const { call } = begun;
    const request = { ...JSON.parse(prepared.json) as Fields, stream: true };
    const plan = await this.#ready(begun, request);
    const usage = wantsUsage(request);
    const found = await this.#lookUp(begun, plan, request, usage);
    if (found === undefined) {
      const live = this.#live(call.journal, plan, request);
      return { next: () => live.next(), report: () => call.journal.report('bypass'), leave: () => undefined };
    }
    if ('stored' in found) {
      const { body, routing } = this.#replayed(call, found.stored);
      const left = [replay(body, usage)];
      return { next: async () => left.shift() ?? null, report: () => routing, leave: () => left.splice(0) };
    }
    return this.#streamedTogether(begun, plan, request, found);
  }

  #streamedTogether(begun: Begun, plan: readonly Model[], request: Fields, { cache, key }: { cache: ResponseCache; key: string }): Pieces {
    const { call } = begun;
    let flown: Journal | undefined;
    const seat = cache.flights.join<{ chunks: ChatChunk[]; journal: Journal }>(`stream:${key}:${JSON.stringify(request['stream_options'] ?? null)}`, () => {
      const { journal, end } = this.#detached(begun);
      const live = this.#live(journal, plan, request);
      const collector = new Collector();
      return {
        next: async () => {
          try {
            const chunks = await live.next();
            chunks?.forEach(chunk => collector.hear(chunk));
            if (chunks !== null) return { chunks, journal };
          } catch (error) {
            end();
            throw journal.told(error);
          }
          const completion = collector.completion();
          if (completion !== undefined) void cache.put(key, stored(journal, completion));
          end();
          return null;
        },
        size: ({ chunks }) => JSON.stringify(chunks).length,
        cancel: () => end(left()),
      };
    });
    this.#count(seat);
    return {
      next: async () => {
        const piece = await this.#from(seat, call);
        flown = piece?.journal ?? flown;
        if (flown !== undefined) call.journal.turnTo(flown.model);
        return piece === null ? null : structuredClone(piece.chunks);
      },
      report: () => reported(call, seat, flown),
      leave: () => seat.leave(),
    };
  }

  #live(journal: Journal, plan: readonly Model[], request: Fields): LiveStream {
    return new LiveStream(journal, plan, request, this.#shared);
  }

  /** What goes on when the caller who began it leaves, as long as others wait for the same. */
  #detached({ call, generation }: Begun): { journal: Journal; end: (reason?: UniversalAiError) => void } {
    const scope = new CallScope(undefined, undefined, this.#running);
    const leave = generation.enter();
    return {
      journal: new Journal(call.journal.asked, scope, this.#counters, call.journal.id),
      end: reason => {
        if (reason !== undefined) scope.end(reason);
        scope.release();
        leave();
      },
    };
  }

  #count(seat: Seat<unknown>): void {
    if (seat.leads) this.#counters.cacheMisses += 1;
    else this.#counters.cacheHits += 1;
  }

  async #from<T>(seat: Seat<T>, call: Call): Promise<T | null> {
    try {
      return await seat.next(call.scope);
    } catch (error) {
      if (!(error instanceof UniversalAiError) || error === call.scope.signal.reason) throw error;
      // Each caller gets an error of its own, under its own id.
      const { code, message, retryable, details, cause } = error;
      throw new UniversalAiError(code, message, { retryable, details: { ...details, requestId: call.journal.id }, ...(cause === undefined ? {} : { cause }) });
    }
  }
}

/** How an answer came that several callers share: the one who began asked the endpoints, the others did not. */
function reported(call: Call, seat: Seat<unknown>, flown: Journal | undefined): Completion['routing'] {
  const report = (flown ?? call.journal).report(seat.leads ? 'miss' : 'hit');
  return seat.leads ? report : { ...report, requestId: call.journal.id, attempts: [] };
}

function stored(journal: Journal, completion: Fields): Stored {
  const { model, endpoint, dropped = [] } = journal.report('miss');
  return { ...(model === journal.asked ? {} : { model }), endpoint, dropped, completion };
}
