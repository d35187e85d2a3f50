/** Every code that a {@link UniversalAiError} can carry. Codes are stable; messages are not. */
export type ErrorCode =
  | 'UAT_INVALID_INPUT' | 'UAT_NOT_FOUND' | 'UAT_CONFLICT' | 'UAT_OVERLOADED' | 'UAT_NOT_INITIALIZED' | 'UAT_CLOSED' | 'UAT_CANCELLED' | 'UAT_TIMEOUT' | 'UAT_UNSUPPORTED'
  | 'UAT_MODEL_NOT_FOUND' | 'UAT_NO_CANDIDATE' | 'UAT_ALL_ENDPOINTS_FAILED' | 'UAT_CONTEXT_LENGTH_EXCEEDED' | 'UAT_RATE_LIMITED' | 'UAT_BUDGET_EXCEEDED' | 'UAT_FORBIDDEN'
  | 'UAT_UPSTREAM' | 'UAT_UNAUTHORIZED' | 'UAT_CONFIG'
  | 'UAT_INSUFFICIENT_VRAM' | 'UAT_LEASE_EXPIRED' | 'UAT_PREEMPTED' | 'UAT_NO_GPU'
  | 'UAT_AUDIO_FORMAT' | 'UAT_ENGINE_UNAVAILABLE' | 'UAT_STORAGE' | 'UAT_CORRUPT_VALUE' | 'UAT_INTERNAL';

/** What a {@link UniversalAiError} carries beside its code and message. */
export interface UniversalAiErrorOptions {
  /** Whether the same call may succeed if it is made again. Default `false`. */
  retryable?: boolean;
  /** Facts for programs: `attempts` of a failed request, `field`, `expected` and `got` of invalid input. */
  details?: Record<string, unknown>;
  /** What led to this error, for example the reason of an aborted signal. */
  cause?: unknown;
}

/** Every error the package throws. `message` says what was expected, what arrived, what to try. */
export class UniversalAiError extends Error {
  /** Stable: programs may branch on it. */
  readonly code: ErrorCode;
  /** Whether the same call may succeed if it is made again. */
  readonly retryable: boolean;
  /** Facts for programs; which ones depends on the code. */
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: UniversalAiErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }

  static {
    // On the prototype, as with the built-in errors, so that it is not listed among each error's own properties.
    Object.defineProperty(this.prototype, 'name', { value: 'UniversalAiError', configurable: true, writable: true });
  }
}

/** An argument that is not allowed: names the field, what was expected there and what arrived. */
export function invalidInput(field: string, expected: string, got: unknown): UniversalAiError {
  const arrived = describeValue(got);
  return new UniversalAiError('UAT_INVALID_INPUT', `${field}: expected ${expected}, got ${arrived}`, { details: { field, expected, got: arrived } });
}

/** A value as an error message shows it: short, and never the text of a prompt. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : `an array of ${value.length}`;
  switch (typeof value) {
    case 'string': return value === '' ? 'an empty string' : value.length <= 40 ? JSON.stringify(value) : `a string of ${value.length} characters`;
    case 'number': case 'boolean': case 'undefined': return String(value);
    case 'bigint': return 'a bigint';
    case 'object': return 'an object';
    default: return `a ${typeof value}`;
  }
}
