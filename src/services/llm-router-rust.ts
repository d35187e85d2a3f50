import type { BackendInfo } from '../backend.js';
import { UniversalAiError } from '../errors.js';
import { openTypeScriptLLMRouter } from '../fallback/llm-router/router.js';
import { openNativeLLMRouter } from '../native/llm-router.js';
import { type Selected, selectBackend } from '../native/loader.js';
import { chatResponse } from './fast-llm-coordinator-answer.js';
import type { BackendStream } from './fast-llm-coordinator-backend.js';
import { ChatStream } from './fast-llm-coordinator-stream.js';
import type { ChatChunk, ChatMessage, ChatResponse, GatewayConfig, RoutingReport } from './fast-llm-coordinator-types.js';
import type { LLMRouterBackend } from './llm-router-backend.js';
import { checkFeedback, checkRequestId, prepareQuestion } from './llm-router-request.js';
import type { RoutedModel, RouteOptions, RoutePlan } from './llm-router-types.js';

export type { BackendInfo } from '../backend.js';
export { UniversalAiError, type ErrorCode, type UniversalAiErrorOptions } from '../errors.js';
export type * from './fast-llm-coordinator-types.js';
export type * from './llm-router-types.js';

type State =
  | { name: 'new' | 'closed' }
  | { name: 'opening'; opened: Promise<LLMRouterBackend> }
  | { name: 'open'; backend: LLMRouterBackend };

/**
 * Chooses which model answers, says why, and learns from what is said of the answers.
 *
 * ```ts
 * const answer = await llmRouter.generateResponse('expert-reasoning', messages, { maxTokens: 8000, capabilities: ['deep_reasoning'] });
 * console.log(answer.content, answer.plan.chosen);
 * await llmRouter.feedback(answer.plan.requestId, 0.9);
 * ```
 *
 * Every rejection is a {@link UniversalAiError}; `UAT_CLOSED` is one of every method. Asynchronous methods initialise by themselves as
 * `initialize()` does; the others throw `UAT_NOT_INITIALIZED` before that.
 */
export class LLMRouter {
  #selected: Selected | undefined;
  #state: State = { name: 'new' };
  #closing: Promise<void> | undefined;

  /** Which implementation answers, and why. Decided at the first look, so that importing this module decides nothing. */
  get backend(): BackendInfo {
    return this.#select().info;
  }

  /**
   * Reads the configuration and, where it names nobody who answers, looks for other local servers. Asks no endpoint.
   *
   * @param config The shapes of uat.toml as an object, a path of such a file, or nothing: `UAT_CONFIG`, then `./uat.toml`,
   *   then the embedded engine and whatever Ollama or LM Studio answers on its default port.
   * @throws {UniversalAiError} `UAT_CONFIG`: the configuration is wrong; `UAT_CONFLICT`: it is initialized already.
   */
  async initialize(config?: GatewayConfig | string): Promise<void> {
    if (this.#closing !== undefined) await this.#closing;
    if (this.#state.name === 'open' || this.#state.name === 'opening') {
      throw new UniversalAiError('UAT_CONFLICT', 'initialize: this LLMRouter is initialized already, perhaps by its first call; close() it first, or make another one');
    }
    await this.#begin(config);
  }

  /**
   * Asks the model that is chosen for a complete answer, and the next ones of the plan where it fails.
   *
   * @param tier The name of a tier, or `auto` for all models.
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names the field, or the capabilities that there are; `UAT_MODEL_NOT_FOUND`: no such
   *   tier; `UAT_NO_CANDIDATE`: nobody meets what is asked for, `details.nearest` misses by least; and those of
   *   `FastLLMCoordinator.route`.
   */
  async generateResponse(tier: string, messages: ChatMessage[], options?: RouteOptions): Promise<ChatResponse & { plan: RoutePlan }> {
    const question = prepareQuestion(tier, messages, options);
    const backend = await this.#opened();
    const { plan, ...completion } = await backend.generate(question);
    const response = chatResponse(completion);
    response.routing.plan = plan;
    return Object.assign(response, { plan });
  }

  /**
   * The same in pieces, the last of which carries `routing` with the plan. Nothing is sent before the first `next()`. Leaving the loop
   * closes the upstream connection.
   *
   * @throws {UniversalAiError} At the call: `UAT_INVALID_INPUT`, `UAT_UNSUPPORTED`, `UAT_CLOSED`. From the iterator: as {@link generateResponse}.
   */
  streamResponse(tier: string, messages: ChatMessage[], options?: RouteOptions): AsyncIterableIterator<ChatChunk, undefined> {
    const question = prepareQuestion(tier, messages, options);
    if (this.#state.name === 'closed') throw closed();
    return new ChatStream(new OpeningStream(async () => (await this.#opened()).stream(question)));
  }

  /**
   * Who would answer, and why. No I/O: nobody is asked.
   *
   * @throws {UniversalAiError} `UAT_NOT_INITIALIZED`, and those of {@link generateResponse} that come before anybody is asked.
   */
  plan(tier: string, messages: ChatMessage[], options?: RouteOptions): RoutePlan {
    const question = prepareQuestion(tier, messages, options);
    return this.#open().plan(question);
  }

  /** The plan of this id again, or `null`: unknown, or forgotten. The last 1,024 are kept, refusals of `generateResponse` among them. */
  explain(requestId: string): RoutePlan | null {
    checkRequestId(requestId);
    return this.#open().explain(requestId);
  }

  /**
   * Says how good an answer was; it counts for the model that answered.
   *
   * @param score 0 to 1.
   * @throws {UniversalAiError} `UAT_NOT_FOUND`: no such request; `UAT_CONFLICT`: it has no answer, or was judged already;
   *   `UAT_INVALID_INPUT`: not from 0 to 1.
   */
  async feedback(requestId: string, score: number): Promise<void> {
    checkFeedback(requestId, score);
    await (await this.#opened()).feedback(requestId, score);
  }

  /** The models that are chosen among, and what is known of them. */
  models(): RoutedModel[] {
    return this.#open().models();
  }

  /** Ends the calls under way with `UAT_CLOSED` and frees connections and the hold on the local engine. Idempotent; `initialize` may follow. */
  close(): Promise<void> {
    this.#closing ??= this.#close().finally(() => { this.#closing = undefined; });
    return this.#closing;
  }

  async #close(): Promise<void> {
    const state = this.#state;
    this.#state = { name: 'closed' };
    // Closed while it opens: what was opened is closed then.
    const backend = state.name === 'opening' ? await state.opened.catch(() => undefined) : state.name === 'open' ? state.backend : undefined;
    await backend?.close();
  }

  async #begin(config: GatewayConfig | string | undefined): Promise<LLMRouterBackend> {
    const before = this.#state;
    const { native, engineSearch } = this.#select();
    const opened = native === undefined ? openTypeScriptLLMRouter(config, engineSearch) : openNativeLLMRouter(native, config, engineSearch);
    const opening: State = { name: 'opening', opened };
    this.#state = opening;
    try {
      const backend = await opened;
      if (this.#state !== opening) throw closed();
      this.#state = { name: 'open', backend };
      return backend;
    } catch (error) {
      if (this.#state === opening) this.#state = before;
      throw error;
    }
  }

  /** Opened, if need be by the defaults. */
  async #opened(): Promise<LLMRouterBackend> {
    switch (this.#state.name) {
      case 'new': return await this.#begin(undefined);
      case 'opening':
        await this.#state.opened;
        return this.#open();
      default: return this.#open();
    }
  }

  #open(): LLMRouterBackend {
    if (this.#state.name === 'open') return this.#state.backend;
    if (this.#state.name === 'closed') throw closed();
    throw new UniversalAiError('UAT_NOT_INITIALIZED', 'this LLMRouter is not initialized; await initialize() first');
  }

  #select(): Selected {
    this.#selected ??= selectBackend('LLMRouter');
    return this.#selected;
  }
}

function closed(): UniversalAiError {
  return new UniversalAiError('UAT_CLOSED', 'this LLMRouter was closed; call initialize() to use it again');
}

/** A stream of a router that may have to be initialized first. */
class OpeningStream implements BackendStream {
  readonly #open: () => Promise<BackendStream>;
  #stream: BackendStream | undefined;
  #isLeft = false;

  constructor(open: () => Promise<BackendStream>) {
    this.#open = open;
  }

  async next(): Promise<ChatChunk[] | null> {
    this.#stream ??= await this.#open();
    if (this.#isLeft) this.#stream.cancel();
    return await this.#stream.next();
  }

  report(): RoutingReport {
    if (this.#stream === undefined) throw new UniversalAiError('UAT_INTERNAL', 'a stream was asked for its report before it began; please report this');
    return this.#stream.report();
  }

  cancel(): void {
    this.#isLeft = true;
    this.#stream?.cancel();
  }
}

/** One for the whole process. */
export const llmRouter: LLMRouter = new LLMRouter();
