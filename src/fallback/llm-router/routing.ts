import type { UniversalAiError } from '../../errors.js';
import type { RouteAsk } from '../../services/llm-router-backend.js';
import type { RoutedModel, RoutePlan } from '../../services/llm-router-types.js';
import type { RoutingSettings } from '../fast-llm-coordinator/config.js';
import type { Model as Served, Wiring } from '../fast-llm-coordinator/wiring.js';
import { decide } from './decide.js';
import { can, told } from './filter.js';
import type { Judgements } from './judgements.js';
import type { Decision, Model, Question, Standing } from './question.js';
import { quality } from './score.js';

type Fields = Record<string, unknown>;

/** Tokens that an image takes at most, and what providers tell a model of how to call tools. */
const MEDIUM_TOKENS = 6_000;
const TOOLS_TOKENS = 1_000;

/** A decision for a request: what callers are told, and who is asked. */
export interface Routed {
  plan: RoutePlan;
  /** Names of models, the best first. */
  chain: string[];
  /** Why nobody can be asked. */
  refused: UniversalAiError | undefined;
}

/**
 * Decides on a request by what is known now.
 *
 * @param clock Milliseconds.
 * @throws {UniversalAiError} An unknown tier or capability.
 */
export function routed(requestId: string, target: string, request: Fields, ask: RouteAsk | undefined, wiring: Wiring, { tiers, policy }: RoutingSettings, judgements: Judgements, clock: () => number): Routed {
  const begun = clock();
  const question = questionOf(target, request, ask, wiring.facts);
  const standings = wiring.facts.map(({ name }) => standing(wiring.models.get(name), judgements, begun));
  const { decision, refused } = decide(question, { models: wiring.facts, tiers }, standings, policy);
  return { plan: planOf(requestId, decision, (clock() - begun) * 1e3), chain: decision.plan, refused };
}

/** The models that are chosen among, and what is known of them. */
export function routedModels(wiring: Wiring, judgements: Judgements, now: number): RoutedModel[] {
  return wiring.facts.map(({ name, tier = '', capabilities = [], quality: prior }) => ({
    name, tier, capabilities: [...capabilities], quality: quality(prior, judgements.quality(name, now)), samples: judgements.samples(name),
    healthy: standing(wiring.models.get(name), judgements, now).health.isUp,
  }));
}

/** The question of this request. The prompt's length is an upper estimate: who will count is not decided yet. */
function questionOf(target: string, request: Fields, ask: RouteAsk | undefined, models: Model[]): Question {
  const text = JSON.stringify(request);
  const tools = hasTools(request);
  const { capabilities = [], maxLatencyMs, maxCostUsd } = ask ?? {};
  const output = request['max_completion_tokens'] ?? request['max_tokens'];
  return {
    target,
    promptTokens: { tokens: mostTokens(text, tools), isEstimate: true },
    ...(typeof output === 'number' ? { outputTokens: output } : {}),
    capabilities: [...capabilities, ...needed(text, tools, models)],
    constraints: { ...(maxLatencyMs === undefined ? {} : { maxLatencyMs }), ...(maxCostUsd === undefined ? {} : { maxCostUsd }) },
  };
}

function hasTools({ tools }: Fields): boolean {
  return Array.isArray(tools) && tools.length > 0;
}

/** What is no text counts in the first by its bytes, in the second by what such media take. */
function mostTokens(text: string, hasTools: boolean): number {
  const length = Buffer.byteLength(text);
  const media = text.match(/;base64,[^"]*/g) ?? [];
  const named = Math.ceil(count(text, '"image_url"') / 2);
  const bytes = length - media.reduce((sum, one) => sum + Buffer.byteLength(one), 0);
  const bound = bytes + Math.max(media.length, named) * MEDIUM_TOKENS + (hasTools ? TOOLS_TOKENS : 0) + 8;
  return Math.min(Math.floor(length / 3) + 8, bound);
}

function count(text: string, word: string): number {
  return text.split(word).length - 1;
}

/** What the request itself needs, if any model says that it can do that: elsewhere nobody has written down who can. */
function needed(text: string, hasTools: boolean, models: Model[]): string[] {
  // Inside of another string its quotes would be escaped.
  const needs: [string, boolean][] = [['tools', hasTools], ['json_schema', /(?<!\\)"json_schema"/.test(text)], ['vision', /(?<!\\)"image_url"/.test(text)]];
  return needs.filter(([word, isNeeded]) => isNeeded && models.some(model => can(model, word))).map(([word]) => word);
}

/** How the model stands: as its best place does that may be asked. */
function standing(model: Served | undefined, judgements: Judgements, now: number): Standing {
  const learned = model === undefined ? undefined : judgements.quality(model.name, now);
  const places = (model?.places ?? []).map(({ endpoint, pace }) => ({ ...endpoint.standing(now), expected: pace.expected() }));
  places.sort((one, other) => Number(other.isUp) - Number(one.isUp) || (earlier(one) < earlier(other) ? -1 : earlier(one) > earlier(other) ? 1 : 0));
  const [best] = places;
  const { firstTokenMs, tokensPerS, points = 0 } = best?.expected ?? {};
  const health = { isUp: best?.isUp ?? true, errorRate: best?.errorRate ?? 0, samples: points, ...(firstTokenMs === undefined ? {} : { firstTokenMs }), ...(tokensPerS === undefined ? {} : { tokensPerS }) };
  return { health, ...(learned === undefined ? {} : { quality: learned }) };
}

function earlier({ expected }: { expected: { pageMs: number } | undefined }): number {
  return expected?.pageMs ?? Infinity;
}

/** A decision as callers are told of it. */
function planOf(requestId: string, { tier, chosen = '', candidates, estimate }: Decision, decidedInUs: number): RoutePlan {
  return {
    requestId, tier, chosen,
    candidates: candidates.map(({ model, score, terms, rejected }) => ({ model, score, terms: { ...terms }, ...(rejected === undefined ? {} : { rejected: told(rejected) }) })),
    contextAdded: [],
    estimate: { promptTokens: estimate.promptTokens, costUsd: estimate.costUsd ?? NaN, latencyMs: estimate.latencyMs ?? NaN },
    decidedInUs,
  };
}
