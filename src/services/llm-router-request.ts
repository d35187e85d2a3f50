import { isObject } from '../check.js';
import { invalidInput } from '../errors.js';
import { prepareOptions, prepareRequest } from './fast-llm-coordinator-request.js';
import type { Predicate, PreparedQuestion, RouteAsk } from './llm-router-backend.js';

/** The word that leaves the choice among all models to the router. */
const AUTO = 'auto';
const CONSTRAINTS = ['maxLatencyMs', 'maxCostUsd'] as const;

/** Checks a question and freezes it. */
export function prepareQuestion(tier: unknown, messages: unknown, options: unknown = {}): PreparedQuestion {
  if (typeof tier !== 'string' || tier.trim() === '') throw invalidInput('tier', `the name of a tier, or ${AUTO}`, tier);
  if (!isObject(options)) throw invalidInput('options', 'an object', options);
  const { capabilities, constraints, context, cascade, signal, timeoutMs, cache, model, messages: others, ...body } = options;
  if (model !== undefined) throw invalidInput('options.model', 'nothing: the router chooses the model; FastLLMCoordinator asks one by its name', model);
  if (others !== undefined) throw invalidInput('options.messages', 'nothing: the messages are the second argument', others);
  const { predicate, ...judged } = checkCascade(cascade);
  return {
    request: prepareRequest({ ...body, model: tier === AUTO ? AUTO : `tier:${tier}`, messages }),
    ask: { capabilities: checkCapabilities(capabilities), ...checkConstraints(constraints), ...judged, ...checkContext(context) },
    ...(predicate === undefined ? {} : { predicate }),
    call: prepareOptions({ signal, timeoutMs, cache }),
  };
}

/** Checks what is said of an answer. */
export function checkFeedback(requestId: unknown, score: unknown): void {
  checkRequestId(requestId);
  // Written so that NaN fails.
  if (!(typeof score === 'number' && score >= 0 && score <= 1)) throw invalidInput('score', 'a number from 0 to 1', score);
}

export function checkRequestId(requestId: unknown): void {
  if (typeof requestId !== 'string' || requestId === '') throw invalidInput('requestId', 'the requestId of a plan or of an answer\'s routing', requestId);
}

function checkCapabilities(capabilities: unknown): string[] {
  if (capabilities === undefined) return [];
  if (!Array.isArray(capabilities)) throw invalidInput('options.capabilities', 'an array of words', capabilities);
  for (const [index, word] of capabilities.entries()) {
    if (typeof word !== 'string' || word === '') throw invalidInput(`options.capabilities[${index}]`, 'a word that is not empty', word);
  }
  return [...capabilities] as string[];
}

function checkConstraints(constraints: unknown): Omit<RouteAsk, 'capabilities'> {
  if (constraints === undefined) return {};
  if (!isObject(constraints)) throw invalidInput('options.constraints', 'an object', constraints);
  const checked: Omit<RouteAsk, 'capabilities'> = {};
  for (const [name, value] of Object.entries(constraints)) {
    const known = CONSTRAINTS.find(one => one === name);
    // One that is not kept would be worse than an error.
    if (known === undefined) throw invalidInput(`options.constraints.${name}`, `only ${CONSTRAINTS.join(' and ')}`, value);
    if (value === undefined) continue;
    if (!(typeof value === 'number' && Number.isFinite(value) && value >= 0)) throw invalidInput(`options.constraints.${name}`, 'a number of at least 0', value);
    checked[known] = value;
  }
  return checked;
}

const CASCADE = ['check', 'k', 'threshold'];
const CONTEXT = ['sessionId', 'documents', 'maxTokens'];

/** Which checks there are, and their numbers, the core knows. */
function checkCascade(cascade: unknown): Pick<RouteAsk, 'cascade'> & { predicate?: Predicate } {
  if (cascade === undefined || cascade === false) return {};
  if (cascade === true) return { cascade: { check: 'on' } };
  if (!isObject(cascade)) throw invalidInput('options.cascade', 'true, false, or an object with a `check`', cascade);
  only('options.cascade', cascade, CASCADE);
  const { check, k, threshold } = cascade;
  for (const [name, value] of Object.entries({ k, threshold })) {
    if (value === undefined) continue;
    if (typeof check === 'function') throw invalidInput(`options.cascade.${name}`, 'nothing beside a function', value);
    if (typeof value !== 'number') throw invalidInput(`options.cascade.${name}`, 'a number', value);
  }
  if (typeof check === 'function') return { predicate: check as Predicate };
  if (typeof check !== 'string' || check === '') throw invalidInput('options.cascade.check', 'schema, self-consistency, logprob, or a function', check);
  return { cascade: { check, ...(typeof k === 'number' ? { k } : {}), ...(typeof threshold === 'number' ? { threshold } : {}) } };
}

function checkContext(context: unknown): Pick<RouteAsk, 'context'> {
  if (context === undefined) return {};
  if (!isObject(context)) throw invalidInput('options.context', 'an object', context);
  only('options.context', context, CONTEXT);
  const { sessionId, documents = [], maxTokens } = context;
  if (sessionId !== undefined && (typeof sessionId !== 'string' || sessionId.trim() === '')) throw invalidInput('options.context.sessionId', 'the id of a session', sessionId);
  if (!Array.isArray(documents)) throw invalidInput('options.context.documents', 'an array of documents', documents);
  const texts = documents.map((document: unknown, index) => {
    if (!isObject(document) || typeof document['id'] !== 'string' || typeof document['text'] !== 'string') throw invalidInput(`options.context.documents[${index}]`, 'an object with the strings `id` and `text`', document);
    return { id: document['id'], text: document['text'] };
  });
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && (maxTokens as number) > 0)) throw invalidInput('options.context.maxTokens', 'a whole number above 0', maxTokens);
  return { context: { documents: texts, ...(typeof sessionId === 'string' ? { sessionId } : {}), ...(typeof maxTokens === 'number' ? { maxTokens } : {}) } };
}

/** One that is not known would not be kept. */
function only(field: string, value: Record<string, unknown>, known: string[]): void {
  for (const [name, member] of Object.entries(value)) {
    if (!known.includes(name)) throw invalidInput(`${field}.${name}`, `only ${known.join(', ')}`, member);
  }
}
