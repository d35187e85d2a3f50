import type { BackendInfo } from '../backend.js';
import { UniversalAiError } from '../errors.js';
import { TypeScriptFastLLMCoordinator } from '../fallback/fast-llm-coordinator/coordinator.js';
import { NativeFastLLMCoordinator } from '../native/fast-llm-coordinator.js';
import { selectBackend } from '../native/loader.js';
import { chatResponse } from './fast-llm-coordinator-answer.js';
import type { FastLLMCoordinatorBackend } from './fast-llm-coordinator-backend.js';
import { prepareEmbeddings, prepareOptions, prepareRequest } from './fast-llm-coordinator-request.js';
import { ChatStream } from './fast-llm-coordinator-stream.js';
import type { ChatChunk, ChatRequest, ChatResponse, CoordinatorStats, EmbedCallOptions, EmbedResponse, EndpointHealth, GatewayConfig, RouteCallOptions, StreamCallOptions } from './fast-llm-coordinator-types.js';

export type { BackendInfo } from '../backend.js';
export { UniversalAiError, type ErrorCode, type UniversalAiErrorOptions } from '../errors.js';
export type * from './fast-llm-coordinator-types.js';

/**
 * Asks language models: picks the endpoint that answers soonest, goes on to another one when it fails before the first
 * content, streams, and says in `routing` what happened.
 *
 * ```ts
 * const coordinator = new FastLLMCoordinator();
 * const answer = await coordinator.route({ model: 'smollm2-135m', messages: [{ role: 'user', content: 'Hello!' }] });
 * console.log(answer.content, answer.routing.endpoint);
 * ```
 *
 * Every rejection is a {@link UniversalAiError}. A process ends by itself when no call is under way, also without `close()`.
 */
export class FastLLMCoordinator {
  /** Which implementation answers, and why. */
  readonly backend: BackendInfo;
  readonly #backend: FastLLMCoordinatorBackend;
  #closing: Promise<void> | undefined;

  /**
   * Only validates; processes are started and endpoints probed at the first call.
   *
   * @param config The shapes of uat.toml as an object, a path of such a file, or nothing: `UAT_CONFIG`, then `./uat.toml`,
   *   then the embedded engine and whatever Ollama or LM Studio answers on its default port.
   * @throws {UniversalAiError} `UAT_CONFIG`: the configuration names something unknown, or `UAT_BACKEND` forces a backend that is missing.
   */
  constructor(config?: GatewayConfig | string) {
    const selected = selectBackend('FastLLMCoordinator');
    this.#backend = selected.native === undefined
      ? new TypeScriptFastLLMCoordinator(config, selected.engineSearch)
      : new NativeFastLLMCoordinator(selected.native, config, selected.engineSearch);
    this.backend = selected.info;
  }

  /**
   * Asks for one complete answer. `stream` in the request is ignored here as in {@link stream}: the method decides.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names the field; `UAT_MODEL_NOT_FOUND` the nearest names;
   *   `UAT_CONTEXT_LENGTH_EXCEEDED`; `UAT_ALL_ENDPOINTS_FAILED` with `details.attempts`; `UAT_ENGINE_UNAVAILABLE`;
   *   `UAT_OVERLOADED`; `UAT_TIMEOUT`; `UAT_CANCELLED` with the signal's reason as `cause`; `UAT_CLOSED`.
   */
  async route(request: ChatRequest, options?: RouteCallOptions): Promise<ChatResponse> {
    const prepared = prepareRequest(request);
    const call = prepareOptions(options);
    return chatResponse(await this.#open().route(prepared, call));
  }

  /**
   * Asks for an answer in pieces. Nothing is sent before the first `next()`; at most a few chunks are read ahead of the
   * consumer. Leaving the loop closes the upstream connection. The last chunk carries `routing`.
   *
   * @throws {UniversalAiError} At the call: `UAT_INVALID_INPUT`, `UAT_CLOSED`. From the iterator: the same codes as {@link route},
   *   and an error instead of an end when the stream breaks off after content.
   */
  stream(request: ChatRequest, options?: StreamCallOptions): AsyncIterableIterator<ChatChunk, undefined> {
    const prepared = prepareRequest(request);
    const call = prepareOptions(options);
    return new ChatStream(this.#open().stream(prepared, call));
  }

  /**
   * Asks for one vector for each text, at most 2048 of them. Nothing is cut: a text that is too long for the model is an error.
   *
   * @throws {UniversalAiError} As {@link route}.
   */
  async embed(model: string, input: string | string[], options?: EmbedCallOptions): Promise<EmbedResponse> {
    const prepared = prepareEmbeddings(model, input);
    const call = prepareOptions(options);
    return await this.#open().embed(prepared, call);
  }

  /** What passive observation says of each endpoint. Before the first call only configured endpoints are known. */
  health(): EndpointHealth[] {
    return this.#open().health();
  }

  /** Counters since this coordinator was made. */
  stats(): CoordinatorStats {
    return this.#open().stats();
  }

  /**
   * Takes over another configuration, as a whole or not at all. Calls that are under way end under the old one; endpoints
   * whose configuration is the same keep their connections and what was learnt of them; the counters go on.
   *
   * @param config As in the constructor: an object, a path, or nothing for `UAT_CONFIG`, `./uat.toml` or the defaults.
   * @throws {UniversalAiError} `UAT_CONFIG`: the configuration is wrong, and the old one stays.
   */
  async reload(config?: GatewayConfig | string): Promise<void> {
    await this.#open().reload(config);
  }

  /** Ends the calls under way with `UAT_CLOSED` and frees connections and the hold on the local engine. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#backend.close();
    return this.#closing;
  }

  #open(): FastLLMCoordinatorBackend {
    if (this.#closing !== undefined) throw new UniversalAiError('UAT_CLOSED', 'this FastLLMCoordinator was closed; make a new one');
    return this.#backend;
  }
}
