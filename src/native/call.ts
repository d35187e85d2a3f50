import { onAbort } from '../abort.js';
import { describeValue, UniversalAiError } from '../errors.js';
import type { BackendStream, CallOptions, PreparedRequest } from '../services/fast-llm-coordinator-backend.js';
import type { ChatChunk, GatewayConfig, RoutingReport } from '../services/fast-llm-coordinator-types.js';
import type { RoutePlan } from '../services/llm-router-types.js';
import type { CancelHandle, ChatStream } from './binding.js';
import { fromNative } from './errors.js';
import type { NativeBinding } from './loader.js';

/** What the adapters of the coordinator and of the router have in common: how calls are made, ended and read. */

/** A call that the signal ends while it waits for its answer. */
export async function whole<T>(binding: NativeBinding, { signal }: CallOptions, ask: (cancel: CancelHandle | undefined) => Promise<T>): Promise<T> {
  const cancelling = signal === undefined ? undefined : new Cancelling(binding, signal);
  try {
    return await ask(cancelling?.handle);
  } catch (error) {
    throw fromNative(error, signal);
  } finally {
    cancelling?.release();
  }
}

/** A streamed answer of the core. */
export class NativeStream implements BackendStream {
  readonly #open: (cancel: CancelHandle) => Promise<ChatStream>;
  readonly #signal: AbortSignal | undefined;
  readonly #cancelling: Cancelling;
  #stream: ChatStream | undefined;

  /** @param open Asks; called at the first `next`. */
  constructor(binding: NativeBinding, { signal }: CallOptions, open: (cancel: CancelHandle) => Promise<ChatStream>) {
    this.#open = open;
    this.#signal = signal;
    this.#cancelling = new Cancelling(binding, signal);
  }

  async next(): Promise<ChatChunk[] | null> {
    try {
      this.#stream ??= await this.#open(this.#cancelling.handle);
      const batch = await this.#stream.next();
      if (batch !== null) return JSON.parse(batch.toString('utf8')) as ChatChunk[];
      this.#cancelling.release();
      return null;
    } catch (error) {
      this.#cancelling.release();
      throw fromNative(error, this.#signal);
    }
  }

  report(): RoutingReport {
    const stream = this.#stream;
    if (stream === undefined) throw new UniversalAiError('UAT_INTERNAL', 'a stream was asked for its report before it began; please report this');
    return attempt(() => {
      const [report, plan] = [stream.report(), stream.plan()];
      return plan === null ? report : { ...report, plan: readPlan(plan) };
    });
  }

  cancel(): void {
    this.#cancelling.handle.cancel();
    this.#cancelling.release();
  }
}

/** A handle of the addon that follows a signal, since napi itself takes none for futures. */
export class Cancelling {
  readonly handle: CancelHandle;
  /** Lets go of the signal. */
  readonly release: () => void;

  constructor(binding: NativeBinding, signal: AbortSignal | undefined) {
    this.handle = new binding.CancelHandle();
    this.release = onAbort(signal, () => this.handle.cancel());
  }
}

/** A plan as the core writes it, which has `null` for what is not known. */
export function readPlan(json: string): RoutePlan {
  const plan = JSON.parse(json) as RoutePlan;
  const { estimate } = plan;
  estimate.costUsd ??= NaN;
  estimate.latencyMs ??= NaN;
  return plan;
}

/** The prepared request never is an empty object, so a comma fits. */
export function streamed({ json }: PreparedRequest): Buffer {
  return Buffer.from(`${json.slice(0, -1)},"stream":true}`);
}

export function configSource(config: GatewayConfig | string | undefined): { configPath?: string; configJson?: string } {
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

export function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}
