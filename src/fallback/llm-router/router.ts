import { UniversalAiError } from '../../errors.js';
import type { BackendStream } from '../../services/fast-llm-coordinator-backend.js';
import type { ChatChunk, GatewayConfig, RoutingReport } from '../../services/fast-llm-coordinator-types.js';
import type { LLMRouterBackend, PreparedQuestion, RoutedCompletion } from '../../services/llm-router-backend.js';
import type { RoutedModel, RoutePlan } from '../../services/llm-router-types.js';
import { TypeScriptFastLLMCoordinator } from '../fast-llm-coordinator/coordinator.js';
import type { FallbackStream } from '../fast-llm-coordinator/chat-stream.js';
import { Decisions } from './decisions.js';

/** Opens the router without native code. @throws {UniversalAiError} `UAT_CONFIG`. */
export async function openTypeScriptLLMRouter(config: GatewayConfig | string | undefined, engineSearch: string[]): Promise<LLMRouterBackend> {
  const coordinator = new TypeScriptFastLLMCoordinator(config, engineSearch, 'LLMRouter');
  await coordinator.ready();
  return new TypeScriptLLMRouter(coordinator);
}

/** The same decisions as the Rust core's; how they are carried out is the coordinator's. */
class TypeScriptLLMRouter implements LLMRouterBackend {
  readonly #coordinator: TypeScriptFastLLMCoordinator;
  readonly #decisions = new Decisions();

  constructor(coordinator: TypeScriptFastLLMCoordinator) {
    this.#coordinator = coordinator;
  }

  async generate(question: PreparedQuestion): Promise<RoutedCompletion> {
    const { request, ask, call } = supported(question);
    const deciding = new Deciding(this.#decisions);
    try {
      const completion = await this.#coordinator.route(request, call, { ask, decided: plan => deciding.decided(plan) });
      return { ...completion, plan: deciding.answered(completion.routing.model) };
    } catch (error) {
      deciding.failed();
      throw error;
    }
  }

  stream(question: PreparedQuestion): BackendStream {
    const { request, ask, call } = supported(question);
    const deciding = new Deciding(this.#decisions);
    return new RoutedStream(this.#coordinator.stream(request, call, { ask, decided: plan => deciding.decided(plan) }), deciding);
  }

  plan(question: PreparedQuestion): RoutePlan {
    const { request, ask } = supported(question);
    const { plan, refused } = this.#coordinator.plan(request, ask);
    if (refused !== undefined) throw refused;
    this.#decisions.keep(plan, undefined);
    return plan;
  }

  explain(requestId: string): RoutePlan | null {
    return this.#decisions.find(requestId);
  }

  async feedback(requestId: string, score: number): Promise<void> {
    this.#coordinator.feedback(this.#decisions.judged(requestId), score);
  }

  models(): RoutedModel[] {
    return this.#coordinator.routedModels();
  }

  async close(): Promise<void> {
    await this.#coordinator.close();
  }
}

/** @throws {UniversalAiError} `UAT_UNSUPPORTED` for what the core alone can do. */
function supported(question: PreparedQuestion): PreparedQuestion {
  if (question.ask.context !== undefined) throw unsupported('context');
  if (question.ask.cascade !== undefined || question.predicate !== undefined) throw unsupported('cascade');
  return question;
}

/** The decision on one request, from when it is made until it is kept. */
class Deciding {
  readonly #decisions: Decisions;
  #plan: RoutePlan | undefined;
  #isKept = false;

  constructor(decisions: Decisions) {
    this.#decisions = decisions;
  }

  decided(plan: RoutePlan): void {
    this.#plan = plan;
  }

  get plan(): RoutePlan {
    if (this.#plan === undefined) throw new UniversalAiError('UAT_INTERNAL', 'an answer came without a decision; please report this');
    return this.#plan;
  }

  answered(model: string): RoutePlan {
    this.#isKept = true;
    this.#decisions.keep(this.plan, model);
    return this.plan;
  }

  failed(): void {
    if (this.#plan !== undefined && !this.#isKept) this.#decisions.keep(this.#plan, undefined);
    this.#isKept = true;
  }

  get isKept(): boolean {
    return this.#isKept;
  }
}

/** A streamed answer, which can be judged from its first content on. */
class RoutedStream implements BackendStream {
  readonly #stream: FallbackStream;
  readonly #deciding: Deciding;

  constructor(stream: FallbackStream, deciding: Deciding) {
    this.#stream = stream;
    this.#deciding = deciding;
  }

  async next(): Promise<ChatChunk[] | null> {
    try {
      const chunks = await this.#stream.next();
      if (!this.#deciding.isKept) this.#deciding.answered(this.#stream.model);
      return chunks;
    } catch (error) {
      this.#deciding.failed();
      throw error;
    }
  }

  report(): RoutingReport {
    return { ...this.#stream.report(), plan: this.#deciding.plan };
  }

  cancel(): void {
    this.#deciding.failed();
    this.#stream.cancel();
  }
}

/** What a backend lacks that the other one has. */
function unsupported(option: string): UniversalAiError {
  return new UniversalAiError('UAT_UNSUPPORTED', `options.${option}: expected nothing, because the TypeScript backend cannot do it; use the native one, or leave it out`, { details: { option } });
}
