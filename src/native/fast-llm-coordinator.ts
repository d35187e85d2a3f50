import { onAbort } from '../abort.js';
import { describeValue, UniversalAiError } from '../errors.js';
import type { BackendStream, CallOptions, Completion, FastLLMCoordinatorBackend, PreparedEmbeddings, PreparedRequest } from '../services/fast-llm-coordinator-backend.js';
import type { ChatChunk, CoordinatorStats, EmbedResponse, EndpointHealth, GatewayConfig, RoutingReport } from '../services/fast-llm-coordinator-types.js';
import type { CancelHandle, ChatStream, FastLlmCoordinator } from './binding.js';
import { fromNative } from './errors.js';
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
    const { body, routing } = await this.#whole(options, cancel => this.#native.route(Buffer.from(request.json), cancel, options.timeoutMs, options.cache));
    return { body: JSON.parse(body.toString('utf8')) as Record<string, unknown>, routing };
  }

  async embed({ model, input }: PreparedEmbeddings, options: CallOptions): Promise<EmbedResponse> {
    const { embeddings, promptTokens } = await this.#whole(options, cancel => this.#native.embed(model, input, cancel, options.timeoutMs));
    return { embeddings, usage: { prompt_tokens: promptTokens } };
  }

  stream(request: PreparedRequest, options: CallOptions): BackendStream {
    return new NativeStream(this.#binding, this.#native, request, options);
  }

  /** A call that the signal ends while it waits for its answer. */
  async #whole<T>({ signal }: CallOptions, ask: (cancel: CancelHandle | undefined) => Promise<T>): Promise<T> {
    const cancelling = signal === undefined ? undefined : new Cancelling(this.#binding, signal);
    try {
      return await ask(cancelling?.handle);
    } catch (error) {
      throw fromNative(error, signal);
    } finally {
      cancelling?.release();
    }
  }

  health(): EndpointHealth[] {
    return attempt(() => this.#native.health());
  }

  stats(): CoordinatorStats {
    return attempt(() => this.#native.stats());
  }

  async reload(config: GatewayConfig | string | undefined): Promise<void> {
    const { configPath, configJson } = configSource(config);
    try {
      await this.#native.reload(configPath, configJson);
    } catch (error) {
      throw fromNative(error);
    }
  }

  async close(): Promise<void> {
    await this.#native.close().catch(error => {
      throw fromNative(error);
    });
  }
}

class NativeStream implements BackendStream {
  readonly #native: FastLlmCoordinator;
  readonly #request: PreparedRequest;
  readonly #options: CallOptions;
  readonly #cancelling: Cancelling;
  #stream: ChatStream | undefined;

  constructor(binding: NativeBinding, native: FastLlmCoordinator, request: PreparedRequest, options: CallOptions) {
    this.#native = native;
    this.#request = request;
    this.#options = options;
    this.#cancelling = new Cancelling(binding, options.signal);
  }

  async next(): Promise<ChatChunk[] | null> {
    try {
      this.#stream ??= await this.#native.stream(streamed(this.#request), this.#cancelling.handle, this.#options.timeoutMs, this.#options.cache);
      const batch = await this.#stream.next();
      if (batch !== null) return JSON.parse(batch.toString('utf8')) as ChatChunk[];
      this.#cancelling.release();
      return null;
    } catch (error) {
      this.#cancelling.release();
      throw fromNative(error, this.#options.signal);
    }
  }

  report(): RoutingReport {
    const stream = this.#stream;
    if (stream === undefined) throw new UniversalAiError('UAT_INTERNAL', 'a stream was asked for its report before it began; please report this');
    return attempt(() => stream.report());
  }

  cancel(): void {
    this.#cancelling.handle.cancel();
    this.#cancelling.release();
  }
}

/** A handle of the addon that follows a signal, since napi itself takes none for futures. */
class Cancelling {
  readonly handle: CancelHandle;
  /** Lets go of the signal. */
  readonly release: () => void;

  constructor(binding: NativeBinding, signal: AbortSignal | undefined) {
    this.handle = new binding.CancelHandle();
    this.release = onAbort(signal, () => this.handle.cancel());
  }
}

/** The prepared request never is an empty object, so a comma fits. */
function streamed({ json }: PreparedRequest): Buffer {
  return Buffer.from(`${json.slice(0, -1)},"stream":true}`);
}

function configSource(config: GatewayConfig | string | undefined): { configPath?: string; configJson?: string } {
  if (config === undefined) return {};
  if (typeof config === 'string') return { configPath: config };
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new UniversalAiError('UAT_CONFIG', `configuration: expected an object, the path of a file or nothing, got ${describeValue(config)}`);
  }
  try {
    return { configJson: JSON.stringify(config) };
  } catch (cause) {
    throw new UniversalAiError('UAT_CONFIG', `configuration object: expected values that JSON can hold: ${(cause as Error).message}`, { cause });
  }
}

function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}
