import type { IncomingHttpHeaders } from 'node:http';

import type { ErrorCode } from '../../errors.js';

/** What a failed attempt says about the endpoint. */
export type Verdict =
  /** It is at fault. */
  | { kind: 'unhealthy' }
  /** It is well but asked for a pause, in milliseconds. */
  | { kind: 'cool-down'; pauseMs: number }
  /** It refused our key. */
  | { kind: 'quarantine' }
  /** It answered; the request, or what it holds, is at fault. */
  | { kind: 'neutral' };

interface FailureFacts {
  code: ErrorCode;
  message: string;
  verdict: Verdict;
  /** The same request may succeed later. */
  retryable: boolean;
  /** The request itself is the reason, so that no other endpoint is asked. */
  final?: boolean;
  /** Nothing came in time, as opposed to something wrong. */
  timedOut?: boolean;
  /** The attempt used up all the time that it may take: what is left of the answer is not asked for elsewhere. */
  usedUp?: boolean;
  status?: number | undefined;
  /** What may be shown to others than the caller, where the message repeats what the endpoint wrote: it may hold a key. */
  summary?: string;
}

/** How one attempt at one endpoint failed. Internal: callers see the `UniversalAiError` that is made of it. */
export class Failure extends Error {
  readonly code: ErrorCode;
  readonly verdict: Verdict;
  readonly retryable: boolean;
  readonly final: boolean;
  readonly timedOut: boolean;
  readonly usedUp: boolean;
  readonly status: number | undefined;
  /** The kind of failure, without a word that the endpoint wrote. */
  readonly summary: string;

  constructor(facts: FailureFacts) {
    super(facts.message);
    this.code = facts.code;
    this.verdict = facts.verdict;
    this.retryable = facts.retryable;
    this.final = facts.final ?? false;
    this.timedOut = facts.timedOut ?? false;
    this.usedUp = facts.usedUp ?? false;
    this.status = facts.status;
    this.summary = facts.summary === undefined ? facts.message : `${facts.summary} (${facts.code})`;
  }

  /** Whether the same endpoint may do better in a moment. */
  get brief(): boolean {
    return this.verdict.kind === 'unhealthy' && this.retryable && !this.timedOut;
  }
}

/** An endpoint that says "too many requests" without saying for how long gets this pause. */
const DEFAULT_COOLDOWN_MS = 1_000;
/** Longest part of a provider's own words that is repeated. */
const LONGEST_QUOTE = 500;

/** The endpoint is at fault: no connection, a broken one, or an answer that is not of its dialect. */
export function unhealthy(endpoint: string, what: string, status?: number): Failure {
  return new Failure({ code: 'UAT_UPSTREAM', message: `endpoint \`${endpoint}\`: ${what}`, verdict: { kind: 'unhealthy' }, retryable: true, status });
}

/** The endpoint was too slow. */
export function tooSlow(endpoint: string, what: string, usedUp = false): Failure {
  return new Failure({ code: 'UAT_TIMEOUT', message: `endpoint \`${endpoint}\`: ${what}`, verdict: { kind: 'unhealthy' }, retryable: true, timedOut: true, usedUp });
}

/** The request cannot be said in the endpoint's dialect; another may speak one in which it can. */
export function unsayable(endpoint: string, why: string): Failure {
  return new Failure({ code: 'UAT_INVALID_INPUT', message: `endpoint \`${endpoint}\`: ${why}`, verdict: { kind: 'neutral' }, retryable: false });
}

/** An error that arrived under status 200, in a whole answer or in a stream. */
export function failedInside(endpoint: string, error: unknown): Failure {
  const told = errorObject(error);
  return classify(endpoint, STATUS_OF_OWN_CODE[told.uatCode ?? ''] ?? 502, told, undefined, 200);
}

/** A status other than 200, with whatever body came along. @param now Milliseconds since 1970. */
export function refused(endpoint: string, status: number, body: string, headers: IncomingHttpHeaders, now = Date.now()): Failure {
  return classify(endpoint, status, readError(body), pause(headers, now) ?? retryDelay(body), status);
}

/** The status that would have come with one of our own codes, had it not arrived inside an answer. */
const STATUS_OF_OWN_CODE: Record<string, number> = {
  UAT_INVALID_INPUT: 400, UAT_CONTEXT_LENGTH_EXCEEDED: 400, UAT_UNSUPPORTED: 400, UAT_MODEL_NOT_FOUND: 404, UAT_OVERLOADED: 503,
  UAT_CORRUPT_VALUE: 500, UAT_STORAGE: 500, UAT_ENGINE_UNAVAILABLE: 500, UAT_INTERNAL: 500,
};
/** The codes that our own engine sends. */
const OWN_CODES: ErrorCode[] = [
  'UAT_INVALID_INPUT', 'UAT_MODEL_NOT_FOUND', 'UAT_CONTEXT_LENGTH_EXCEEDED', 'UAT_OVERLOADED', 'UAT_CORRUPT_VALUE', 'UAT_UNSUPPORTED',
  'UAT_STORAGE', 'UAT_ENGINE_UNAVAILABLE', 'UAT_INTERNAL',
];

/** What a status and the error object with it mean; the same table as in the native core. */
function classify(endpoint: string, status: number, told: ToldError, retryAfterMs: number | undefined, reported: number): Failure {
  const message = `endpoint \`${endpoint}\`: status ${status}${told.message === '' ? '' : `: ${told.message}`}`;
  const base = { message, status: reported, summary: reported === 200 ? 'an error inside an answer' : `status ${status}` };
  // An error that is the request's own is passed on in the endpoint's own words.
  const ownWords = (code: ErrorCode, final: boolean): Failure =>
    new Failure({ ...base, code, final, retryable: false, verdict: { kind: 'neutral' }, message: told.message === '' ? message : told.message });

  if (told.uatCode === 'UAT_CONTEXT_LENGTH_EXCEEDED' || told.code === 'context_length_exceeded') return ownWords('UAT_CONTEXT_LENGTH_EXCEEDED', true);
  // Its queue is full at this moment and may have room at the next: no reason to leave it alone for a second.
  if (told.uatCode === 'UAT_OVERLOADED') return new Failure({ ...base, code: 'UAT_OVERLOADED', retryable: true, verdict: { kind: 'neutral' } });
  if (status === 401 || status === 403) return new Failure({ ...base, code: 'UAT_UNAUTHORIZED', retryable: false, verdict: { kind: 'quarantine' } });
  if (status === 404) return ownWords('UAT_MODEL_NOT_FOUND', false);
  if (status === 429) {
    const verdict: Verdict = { kind: 'cool-down', pauseMs: retryAfterMs ?? DEFAULT_COOLDOWN_MS };
    return new Failure({ ...base, code: 'UAT_RATE_LIMITED', retryable: true, verdict });
  }
  if (status === 408) return new Failure({ ...base, code: 'UAT_TIMEOUT', retryable: true, verdict: { kind: 'unhealthy' } });
  const own = OWN_CODES.find(code => code === told.uatCode);
  if (status >= 400 && status < 500) return ownWords(own ?? 'UAT_INVALID_INPUT', true);
  // Our own engine knows whether another try would help; a model that it cannot load stays so.
  if (told.retryable === false) return ownWords(own ?? 'UAT_UPSTREAM', false);
  return new Failure({ ...base, code: 'UAT_UPSTREAM', retryable: true, verdict: { kind: 'unhealthy' } });
}

interface ToldError {
  message: string;
  code: string | undefined;
  uatCode: string | undefined;
  retryable: boolean | undefined;
}

function readError(body: string): ToldError {
  try {
    const json: unknown = JSON.parse(body);
    return errorObject(typeof json === 'object' && json !== null && 'error' in json ? json.error : json);
  } catch {
    return errorObject(body.trim());
  }
}

/** Any shape that providers use: a text, `{message}`, `{message, code}`. */
function errorObject(error: unknown): ToldError {
  const fields = (typeof error === 'object' && error !== null ? error : { message: error }) as Record<string, unknown>;
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  return {
    message: (text(fields['message']) ?? '').slice(0, LONGEST_QUOTE),
    code: text(fields['code']),
    uatCode: text(fields['uat_code']),
    retryable: typeof fields['retryable'] === 'boolean' ? fields['retryable'] : undefined,
  };
}

/** The three forms in which a date may stand in a header (RFC 9110, 5.6.7). */
const DATES = [/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/, /^[A-Z][a-z]+day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/, /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/];

/** The pause that an answer's headers ask for, in milliseconds: OpenAI's own header, which is finer, else `Retry-After`, a number of seconds or a date. */
function pause(headers: IncomingHttpHeaders, now: number): number | undefined {
  const number = (text: unknown): number | undefined => (typeof text === 'string' && /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined);
  const ms = number(headers['retry-after-ms']);
  const seconds = number(headers['retry-after']);
  if (ms !== undefined || seconds !== undefined) return ms ?? (seconds as number) * 1000;
  const said = headers['retry-after']?.trim() ?? '';
  // The oldest form names no zone: it is that of the others.
  const date = DATES.some(form => form.test(said)) ? Date.parse(said.endsWith('GMT') ? said : `${said} GMT`) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** The `retryDelay` of a `google.rpc.RetryInfo`, like `"34.07s"`, as milliseconds: Gemini sends no `Retry-After`. */
function retryDelay(body: string): number | undefined {
  const written = /"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"/.exec(body)?.[1];
  return written === undefined ? undefined : Number(written) * 1000;
}
