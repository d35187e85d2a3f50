import type { BackendStream, CallOptions, Completion, FastLLMCoordinatorBackend, PreparedEmbeddings, PreparedRequest } from '../services/fast-llm-coordinator-backend.js';
import type { CoordinatorStats, EmbedResponse, EndpointHealth, GatewayConfig } from '../services/fast-llm-coordinator-types.js';
import type { FastLlmCoordinator } from './binding.js';
import { attempt, configSource, NativeStream, streamed, whole } from './call.js';
import { asking } from './errors.js';
import type { NativeBinding } from './loader.js';

/** The coordinator of the Rust core: converts, calls, converts back. */
export class NativeFastLLMCoordinator implements FastLLMCoordinatorBackend {
  readonly #binding: NativeBinding;
  readonly #native: FastLlmCoordinator;

  /** @throws {UniversalAiError} `UAT_CONFIG`. */
  constructor(binding: NativeBinding, config: GatewayConfig | string | undefined, engineSearch: string[]) {
    this.#binding = binding;
    const source = configSource(config);
    this.#native = attempt(() => new binding.FastLlmCoordinator({ ...source, engineSearch }));
  }

  async route(request: PreparedRequest, options: CallOptions): Promise<Completion> {
    const { body, routing } = await whole(this.#binding, options, cancel => this.#native.route(Buffer.from(request.json), cancel, options.timeoutMs, options.cache));
    return { body: JSON.parse(body.toString('utf8')) as Record<string, unknown>, routing };
  }

  async embed({ model, input }: PreparedEmbeddings, options: CallOptions): Promise<EmbedResponse> {
    const { embeddings, promptTokens } = await whole(this.#binding, options, cancel => this.#native.embed(model, input, cancel, options.timeoutMs));
    return { embeddings, usage: { prompt_tokens: promptTokens } };
  }

  stream(request: PreparedRequest, options: CallOptions): BackendStream {
    return new NativeStream(this.#binding, options, cancel => this.#native.stream(streamed(request), cancel, options.timeoutMs, options.cache));
  }

  health(): EndpointHealth[] {
    return attempt(() => this.#native.health());
  }

  stats(): CoordinatorStats {
    return attempt(() => this.#native.stats());
  }

  async reload(config: GatewayConfig | string | undefined): Promise<void> {
    const { configPath, configJson } = configSource(config);
    await asking(() => this.#native.reload(configPath, configJson));
  }

  async close(): Promise<void> {
    await asking(() => this.#native.close());
  }
}
