import { type ErrorCode, UniversalAiError } from '../errors.js';

/** What the addon writes into the message of each error it throws. */
interface Envelope {
  code: ErrorCode;
  message: string;
  retryable: boolean;
  details: Record<string, unknown>;
}

/** The error that callers see. Made here rather than in the addon, so that its stack leads to the caller. */
export function fromNative(error: unknown, signal?: AbortSignal): UniversalAiError {
  // Made on this side already, of what a function of the caller's threw.
  if (error instanceof UniversalAiError) return error;
  const envelope = readEnvelope(error);
  if (envelope === undefined) {
    return new UniversalAiError('UAT_INTERNAL', `the native addon failed in a way that it should not: ${error instanceof Error ? error.message : String(error)}; please report it`, { cause: error });
  }
  const { code, message, retryable, details } = envelope;
  return new UniversalAiError(code, message, { retryable, details, ...(code === 'UAT_CANCELLED' && signal?.aborted === true ? { cause: signal.reason } : {}) });
}

/** What a call answers, its errors those that callers see, whether they are thrown at once or come later. */
export async function asking<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNative(error);
  }
}

function readEnvelope(error: unknown): Envelope | undefined {
  try {
    const envelope = JSON.parse((error as Error).message) as Envelope;
    return typeof envelope.code === 'string' && typeof envelope.message === 'string' ? envelope : undefined;
  } catch {
    return undefined;
  }
}
