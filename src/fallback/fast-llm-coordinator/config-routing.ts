import { describeValue } from '../../errors.js';
import { isTarget, type Price, TERMS, type Terms } from '../llm-router/question.js';
import type { ModelConfig, RoutingSettings } from './config.js';
import { meant, type Shape, shaped, type Wrong } from './config-shape.js';

const ROUTING: Shape = { tiers: 'table', weights: 'table', max_candidates: 'count', learned_file: 'text', feedback_file: 'text', explore: 'flag' };
const WEIGHTS: Shape = Object.fromEntries(TERMS.map(term => [term, 'number']));
/** Quality counts as much as price and time together. */
const DEFAULT_WEIGHTS: Terms = { tier: 1, quality: 4, price: 2, latency: 2, health: 1 };
const DEFAULT_CANDIDATES = 3;
const MOST_CANDIDATES = 16;

/** What the router chooses a model by, checked. */
export function readFacts(model: Record<string, unknown>, path: string, wrong: Wrong): ModelConfig['facts'] {
  const { name, tier, quality, capabilities, context_tokens: contextTokens, price } = model as { name: string; tier?: string; quality?: number; capabilities?: string[]; context_tokens?: number; price?: Price };
  if (isTarget(name)) throw wrong(`${path}.name`, `model \`${name}\`: \`auto\` and \`tier:...\` are the router's words; give the model another name`);
  if (tier?.trim() === '') throw wrong(`${path}.tier`, `model \`${name}\`: \`tier\`: expected a name, got nothing`);
  if (quality !== undefined && !(quality >= 0 && quality <= 1)) throw wrong(`${path}.quality`, `model \`${name}\`: \`quality\`: expected 0 to 1, got ${quality}`);
  return {
    ...(tier === undefined ? {} : { tier }), ...(quality === undefined ? {} : { quality }), ...(capabilities === undefined ? {} : { capabilities }),
    ...(contextTokens === undefined ? {} : { contextTokens }), ...(price === undefined ? {} : { price }),
  };
}

/** The section `[routing]`. @param models The names that there are. */
export function readRouting(table: unknown, models: string[], wrong: Wrong): RoutingSettings {
  const routing = shaped(table, ROUTING, 'routing', wrong) as { tiers?: Record<string, unknown>; weights?: unknown; max_candidates?: number };
  const weights = { ...DEFAULT_WEIGHTS, ...shaped(routing.weights ?? {}, WEIGHTS, 'routing.weights', wrong) as Partial<Terms> };
  for (const term of TERMS) {
    if (!(Number.isFinite(weights[term]) && weights[term] >= 0)) throw wrong(`routing.weights.${term}`, `\`routing.weights.${term}\`: expected a number of at least 0, got ${weights[term]}`);
  }
  if (TERMS.every(term => weights[term] === 0)) throw wrong('routing.weights', '`routing.weights`: all are 0, so that nothing decides: expected one above 0');
  const maxCandidates = routing.max_candidates ?? DEFAULT_CANDIDATES;
  if (maxCandidates > MOST_CANDIDATES) throw wrong('routing.max_candidates', `\`routing.max_candidates\`: expected 1 to ${MOST_CANDIDATES}, got ${maxCandidates}`);
  const tiers = Object.entries(routing.tiers ?? {}).map(([tier, names]) => [tier, readTier(tier, names, models, wrong)] as const);
  return { tiers: Object.fromEntries(tiers), policy: { weights, maxCandidates } };
}

/** A tier that lists its models. */
function readTier(tier: string, names: unknown, models: string[], wrong: Wrong): string[] {
  const path = `routing.tiers.${tier}`;
  if (tier.trim() === '') throw wrong('routing.tiers', 'a tier needs a name');
  if (!Array.isArray(names) || !names.every(name => typeof name === 'string')) throw wrong(path, `\`${path}\`: expected a list of strings, got ${describeValue(names)}`);
  if (names.length === 0) throw wrong(path, `the tier \`${tier}\` names no model: expected at least one; leave it out: a tier without a list has the models whose \`tier\` it is`);
  // What answers where no models are configured is known only when it is found.
  if (models.length === 0) return names;
  names.forEach((name, index) => {
    if (names.indexOf(name) < index) throw wrong(`${path}[${index}]`, `the tier \`${tier}\` names \`${name}\` twice`);
    if (!models.includes(name)) throw wrong(`${path}[${index}]`, `the tier \`${tier}\` names the model \`${name}\`, which does not exist${meant(name, models)}`);
  });
  return names;
}
