import { invalidInput, UniversalAiError } from '../errors.js';
import { isObject, prepareOptions, prepareRequest } from './fast-llm-coordinator-request.js';
import type { PreparedQuestion, RouteAsk } from './llm-router-backend.js';

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
  if (context !== undefined) throw unsupported('context');
  if (cascade !== undefined && cascade !== false) throw unsupported('cascade');
  return {
    request: prepareRequest({ ...body, model: tier === AUTO ? AUTO : `tier:${tier}`, messages }),
    ask: { capabilities: checkCapabilities(capabilities), ...checkConstraints(constraints) },
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

function unsupported(option: string): UniversalAiError {
  return new UniversalAiError('UAT_UNSUPPORTED', `options.${option}: expected nothing, because this version cannot do it yet; leave it out`, { details: { option } });
}
