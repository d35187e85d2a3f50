import type { BackendStream } from '../services/fast-llm-coordinator-backend.js';
import type { GatewayConfig } from '../services/fast-llm-coordinator-types.js';
import type { LLMRouterBackend, PreparedQuestion, RoutedCompletion } from '../services/llm-router-backend.js';
import type { RoutedModel, RoutePlan } from '../services/llm-router-types.js';
import type { LlmRouter } from './binding.js';
import { attempt, configSource, NativeStream, readPlan, streamed, whole } from './call.js';
import { fromNative } from './errors.js';
import type { NativeBinding } from './loader.js';

/** Opens the router of the Rust core. @throws {UniversalAiError} `UAT_CONFIG`. */
export async function openNativeLLMRouter(binding: NativeBinding, config: GatewayConfig | string | undefined, engineSearch: string[]): Promise<LLMRouterBackend> {
  const source = configSource(config);
  const native = attempt(() => new binding.LlmRouter({ ...source, engineSearch }));
  await native.initialize().catch(error => {
    throw fromNative(error);
  });
  return new NativeLLMRouter(binding, native);
}

/** Converts, calls, converts back. */
class NativeLLMRouter implements LLMRouterBackend {
  readonly #binding: NativeBinding;
  readonly #native: LlmRouter;

  constructor(binding: NativeBinding, native: LlmRouter) {
    this.#binding = binding;
    this.#native = native;
  }

  async generate({ request, ask, call }: PreparedQuestion): Promise<RoutedCompletion> {
    const { body, routing, plan } = await whole(this.#binding, call, cancel => this.#native.generate(Buffer.from(request.json), ask, cancel, call.timeoutMs, call.cache));
    return { body: JSON.parse(body.toString('utf8')) as Record<string, unknown>, routing, plan: readPlan(plan) };
  }

  stream({ request, ask, call }: PreparedQuestion): BackendStream {
    return new NativeStream(this.#binding, call, cancel => this.#native.stream(streamed(request), ask, cancel, call.timeoutMs, call.cache));
  }

  plan({ request, ask }: PreparedQuestion): RoutePlan {
    return readPlan(attempt(() => this.#native.plan(Buffer.from(request.json), ask)));
  }

  explain(requestId: string): RoutePlan | null {
    const plan = attempt(() => this.#native.explain(requestId));
    return plan === null ? null : readPlan(plan);
  }

  async feedback(requestId: string, score: number): Promise<void> {
    await attempt(() => this.#native.feedback(requestId, score)).catch(error => {
      throw fromNative(error);
    });
  }

  models(): RoutedModel[] {
    return attempt(() => this.#native.models());
  }

  async close(): Promise<void> {
    await this.#native.close().catch(error => {
      throw fromNative(error);
    });
  }
}
