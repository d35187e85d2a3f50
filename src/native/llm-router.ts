import { invalidInput, UniversalAiError } from '../errors.js';
import { chatResponse } from '../services/fast-llm-coordinator-answer.js';
import type { BackendStream, CallOptions } from '../services/fast-llm-coordinator-backend.js';
import type { GatewayConfig } from '../services/fast-llm-coordinator-types.js';
import type { LLMRouterBackend, Predicate, PreparedQuestion, RoutedCompletion } from '../services/llm-router-backend.js';
import type { RoutedModel, RoutePlan } from '../services/llm-router-types.js';
import type { CallLimits, Completion, LlmRouter } from './binding.js';
import { attempt, configSource, NativeStream, readPlan, streamed, whole } from './call.js';
import { asking } from './errors.js';
import type { NativeBinding } from './loader.js';

/** Opens the router of the Rust core. @throws {UniversalAiError} `UAT_CONFIG`. */
export async function openNativeLLMRouter(binding: NativeBinding, config: GatewayConfig | string | undefined, engineSearch: string[]): Promise<LLMRouterBackend> {
  const source = configSource(config);
  const native = attempt(() => new binding.LlmRouter({ ...source, engineSearch }));
  await asking(() => native.initialize());
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

  async generate({ request, ask, predicate, call }: PreparedQuestion): Promise<RoutedCompletion> {
    const judge = new Judge(predicate);
    const { body, routing, plan } = await whole(this.#binding, call, cancel => judge.ask(asks => this.#native.generate(Buffer.from(request.json), ask, limitsOf(call), cancel, asks)));
    return { body: JSON.parse(body.toString('utf8')) as Record<string, unknown>, routing, plan: readPlan(plan) };
  }

  stream({ request, ask, predicate, call }: PreparedQuestion): BackendStream {
    const judge = new Judge(predicate);
    return new NativeStream(this.#binding, call, cancel => judge.ask(asks => this.#native.stream(streamed(request), ask, limitsOf(call), cancel, asks)));
  }

  plan({ request, ask, predicate }: PreparedQuestion): RoutePlan {
    return readPlan(attempt(() => this.#native.plan(Buffer.from(request.json), ask, new Judge(predicate).asks)));
  }

  explain(requestId: string): RoutePlan | null {
    const plan = attempt(() => this.#native.explain(requestId));
    return plan === null ? null : readPlan(plan);
  }

  async feedback(requestId: string, score: number): Promise<void> {
    await asking(() => this.#native.feedback(requestId, score));
  }

  models(): RoutedModel[] {
    return attempt(() => this.#native.models());
  }

  async close(): Promise<void> {
    await asking(() => this.#native.close());
  }
}

/** A caller's predicate as the core asks it: 1 accepts the answer, 0 does not, 2 says that the predicate failed. */
class Judge {
  readonly asks: ((completion: Completion) => Promise<number>) | undefined;
  #failed: UniversalAiError | undefined;

  constructor(predicate: Predicate | undefined) {
    this.asks = predicate === undefined ? undefined : completion => this.#judged(predicate, completion);
  }

  /** Asks, and throws what the predicate threw. */
  async ask<T>(ask: (asks: ((completion: Completion) => Promise<number>) | undefined) => Promise<T>): Promise<T> {
    try {
      return await ask(this.asks);
    } catch (error) {
      throw this.#failed ?? error;
    }
  }

  /** Never rejects: the core could not tell what was thrown. */
  async #judged(predicate: Predicate, { body, routing }: Completion): Promise<number> {
    try {
      const said: unknown = await predicate(chatResponse({ body: JSON.parse(body.toString('utf8')) as Record<string, unknown>, routing }));
      if (typeof said === 'boolean') return said ? 1 : 0;
      this.#failed = invalidInput('options.cascade.check', 'a function that returns true or false', said);
    } catch (error) {
      this.#failed = new UniversalAiError('UAT_INVALID_INPUT', `options.cascade.check: the function threw: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    return 2;
  }
}

function limitsOf({ timeoutMs, cache }: CallOptions): CallLimits {
  return { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(cache === undefined ? {} : { cache }) };
}
