import { isObject, optionalSignal } from '../check.js';
import { invalidInput, UniversalAiError } from '../errors.js';
import { LONGEST_TIMER_MS } from '../timers.js';
import type { CallOptions, PreparedEmbeddings, PreparedRequest } from './fast-llm-coordinator-backend.js';

/** `function` is what `tool` was called before; old conversations hold it. */
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'];
/** More than OpenAI's four, because local servers take more; more than sixteen is a mistake. */
const MOST_STOPS = 16;
/** As many answers as OpenAI gives at once. */
const MOST_ANSWERS = 128;
/** As many texts as OpenAI embeds at once. */
const MOST_INPUTS = 2048;
/** camelCase names that are accepted beside OpenAI's own. */
const ALIASES = [['maxTokens', 'max_tokens'], ['topP', 'top_p']] as const;

/** Checks a request and freezes it: what the caller changes afterwards does not reach the endpoint. */
export function prepareRequest(request: unknown): PreparedRequest {
  if (!isObject(request)) throw invalidInput('request', 'an object with `model` and `messages`', request);
  const { model, messages } = request;
  checkModel(model);
  if (!Array.isArray(messages) || messages.length === 0) throw invalidInput('messages', 'a non-empty array', messages);
  messages.forEach(checkMessage);
  const body = withoutAliases(request);
  checkNumber(body, 'temperature', 0, 2);
  for (const field of ['top_p', 'min_p']) checkNumber(body, field, 0, 1);
  for (const field of ['frequency_penalty', 'presence_penalty']) checkNumber(body, field, -2, 2);
  for (const field of ['max_tokens', 'max_completion_tokens']) checkInteger(body, field, 1);
  checkInteger(body, 'n', 1, MOST_ANSWERS);
  checkInteger(body, 'top_k', -1);
  checkInteger(body, 'seed', Number.MIN_SAFE_INTEGER);
  checkStop(body['stop']);
  const tools = body['tools'];
  if (tools !== undefined && tools !== null && !Array.isArray(tools)) throw invalidInput('tools', 'an array', tools);
  return { model, json: toJson(body) };
}

/** Checks what is to be embedded and freezes it. */
export function prepareEmbeddings(model: unknown, input: unknown): PreparedEmbeddings {
  checkModel(model);
  if (typeof input === 'string') {
    if (input === '') throw invalidInput('input', 'a text that is not empty', input);
    return { model, input: [input] };
  }
  if (!Array.isArray(input) || input.length === 0 || input.length > MOST_INPUTS) throw invalidInput('input', `a text, or an array of 1 to ${MOST_INPUTS} texts`, input);
  // Not forEach, which passes over the holes of an array.
  for (const [index, text] of input.entries()) {
    if (typeof text !== 'string' || text === '') throw invalidInput(`input[${index}]`, 'a text that is not empty', text);
  }
  return { model, input: [...input] as string[] };
}

/** Checks the options of a call. */
export function prepareOptions(options: unknown): CallOptions {
  if (options === undefined) return {};
  if (!isObject(options)) throw invalidInput('options', 'an object', options);
  const { timeoutMs, cache } = options;
  const signal = optionalSignal('options.signal', options['signal']);
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0)) {
    throw invalidInput('options.timeoutMs', 'a number of milliseconds above 0', timeoutMs);
  }
  if (cache !== undefined && typeof cache !== 'boolean') throw invalidInput('options.cache', 'a boolean', cache);
  return { signal, timeoutMs: timeoutMs === undefined ? undefined : Math.min(timeoutMs, LONGEST_TIMER_MS), cache };
}

function checkModel(model: unknown): asserts model is string {
  if (typeof model !== 'string' || model.trim() === '') throw invalidInput('model', 'a non-empty string', model);
}

function checkMessage(message: unknown, index: number): void {
  const field = `messages[${index}]`;
  if (!isObject(message)) throw invalidInput(field, 'an object with `role` and `content`', message);
  const { role, content } = message;
  if (typeof role !== 'string' || !ROLES.includes(role)) throw invalidInput(`${field}.role`, `one of ${ROLES.join(', ')}`, role);
  if (typeof content === 'string') return;
  // An assistant message that only calls tools has no content.
  if ((content === undefined || content === null) && role === 'assistant') return;
  if (!Array.isArray(content)) throw invalidInput(`${field}.content`, role === 'assistant' ? 'a string, an array of parts or null' : 'a string or an array of parts', content);
  content.forEach((part: unknown, at) => {
    if (!isObject(part) || typeof part['type'] !== 'string') throw invalidInput(`${field}.content[${at}]`, 'an object with a string `type`', part);
  });
}

function checkNumber(body: Record<string, unknown>, field: string, low: number, high: number): void {
  const value = body[field];
  if (value === undefined || value === null) return;
  // Written so that NaN fails.
  if (!(typeof value === 'number' && value >= low && value <= high)) throw invalidInput(field, `a number from ${low} to ${high}`, value);
}

function checkInteger(body: Record<string, unknown>, field: string, low: number, high = Number.MAX_SAFE_INTEGER): void {
  const value = body[field];
  if (value === undefined || value === null) return;
  if (Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high) return;
  const range = high === Number.MAX_SAFE_INTEGER ? (low === Number.MIN_SAFE_INTEGER ? 'an integer' : `an integer of at least ${low}`) : `an integer from ${low} to ${high}`;
  throw invalidInput(field, range, value);
}

function checkStop(stop: unknown): void {
  if (stop === undefined || stop === null) return;
  const all: unknown[] = Array.isArray(stop) ? stop : [stop];
  if (all.length > MOST_STOPS || !all.every(one => typeof one === 'string' && one !== '')) {
    throw invalidInput('stop', `a non-empty string, or an array of at most ${MOST_STOPS} of them`, stop);
  }
}

function withoutAliases(request: Record<string, unknown>): Record<string, unknown> {
  // The method that was called decides whether the answer is streamed.
  const { stream: _, ...body } = request;
  for (const [alias, name] of ALIASES) {
    if (body[alias] === undefined) continue;
    if (body[name] !== undefined && body[name] !== body[alias]) throw invalidInput(alias, `the same value as ${name}, or only one of the two`, body[alias]);
    body[name] = body[alias];
    delete body[alias];
  }
  return body;
}

function toJson(body: Record<string, unknown>): string {
  try {
    return JSON.stringify(body);
  } catch (cause) {
    // A circular structure, a bigint, or a toJSON() that throws.
    throw new UniversalAiError('UAT_INVALID_INPUT', `request: expected values that JSON can hold, got one that it cannot: ${cause instanceof Error ? cause.message : String(cause)}`, {
      details: { field: 'request', expected: 'values that JSON can hold' }, cause,
    });
  }
}
