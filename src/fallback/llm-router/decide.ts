import { UniversalAiError } from '../../errors.js';
import { can, miss, reject, told } from './filter.js';
import { nearestFirst } from './likeness.js';
import { type Candidate, type Catalogue, type Decision, type Model, type Policy, type Question, type Standing, tierOf } from './question.js';
import { estimate, score, terms } from './score.js';

/** More do not help anybody to see what was meant. */
const SHOWN = 20;
const UNKNOWN: Standing = { health: { isUp: true, errorRate: 0, samples: 0 } };

/** A decision; with `refused` nobody can be asked, and the decision says why. */
export interface Decided {
  decision: Decision;
  refused?: UniversalAiError;
}

/**
 * Decides who is asked, as `decide` of `crates/llm-router`: the same arguments give the same decision there and here.
 *
 * @param standings What is known of the models of the catalogue, in its order.
 * @throws {UniversalAiError} An unknown tier or capability.
 */
export function decide(question: Question, catalogue: Catalogue, standings: Standing[], policy: Policy): Decided {
  const { places, order } = considered(question, catalogue);
  const known = catalogue.models.filter(({ name }) => mayAsk(question, name));
  const wanted = [...new Set(question.capabilities)].sort();
  const unknown = wanted.find(word => !known.some(model => can(model, word)));
  if (unknown !== undefined) throw unknownCapability(unknown, known.flatMap(model => model.capabilities ?? []));
  const asked = { ...question, capabilities: wanted };
  const candidates = places.map(({ place, tier }) => candidate(asked, catalogue.models[place] as Model, standings[place] ?? UNKNOWN, tier, policy));
  // Stable: equals stay in the order of the catalogue, or of the list.
  candidates.sort((one, other) => inOrder(one, other, order));
  const askable = candidates.filter(({ rejected }) => rejected === undefined);
  const [best] = askable;
  const decision: Decision = {
    plan: askable.slice(0, Math.max(1, policy.maxCandidates)).map(({ model }) => model),
    tier: tierOf(question.target) ?? 'auto',
    ...(best === undefined ? {} : { chosen: best.model }),
    order,
    candidates,
    estimate: best?.estimate ?? { promptTokens: question.promptTokens.tokens },
  };
  return best === undefined ? { decision, refused: nobody(candidates) } : { decision };
}

function mayAsk({ allowed }: Question, name: string): boolean {
  return allowed?.includes(name) ?? true;
}

/** Among which models the question lets choose, and how well their tiers fit it. */
function considered(question: Question, catalogue: Catalogue): { places: { place: number; tier: number }[]; order: Decision['order'] } {
  const tier = tierOf(question.target);
  const list = tier === undefined || !Object.hasOwn(catalogue.tiers ?? {}, tier) ? undefined : catalogue.tiers?.[tier];
  const places = tier === undefined
    ? catalogue.models.map((model, place) => ({ place, tier: question.class !== undefined && model.tier === question.class ? 1 : 0 }))
    : list === undefined ? catalogue.models.flatMap((model, place) => (model.tier === tier ? [{ place, tier: 1 }] : [])) : listed(question, list, catalogue);
  if (places.some(({ place }) => mayAsk(question, catalogue.models[place]?.name ?? ''))) return { places, order: list === undefined ? 'score' : 'listed' };
  // What others may ask is not the business of whoever asks.
  if (tier === undefined) throw new UniversalAiError('UAT_MODEL_NOT_FOUND', 'there is no model that may be asked; GET /v1/models lists those that there are');
  const known = nearestFirst(tier, tiersOf(question, catalogue));
  throw new UniversalAiError('UAT_MODEL_NOT_FOUND', `unknown tier \`${tier}\`; ${thoseThatExist(known, 'there are no tiers: a model names its own with `tier`')}`, { details: { tier, known } });
}

/** How far ahead each stands is counted among those that may be asked, so that the others can be left out of a report. */
function listed(question: Question, names: string[], { models }: Catalogue): { place: number; tier: number }[] {
  const known = names.map(name => models.findIndex(model => model.name === name)).filter(place => place !== -1);
  const may = (place: number): boolean => mayAsk(question, models[place]?.name ?? '');
  const whole = Math.max(1, known.filter(may).length);
  let ahead = 0;
  return known.map(place => {
    if (!may(place)) return { place, tier: 0 };
    const tier = 1 - ahead / whole;
    ahead += 1;
    return { place, tier };
  });
}

function tiersOf(question: Question, { models, tiers = {} }: Catalogue): string[] {
  const asked = models.filter(({ name }) => mayAsk(question, name));
  const listed = Object.keys(tiers).filter(tier => tiers[tier]?.some(name => asked.some(model => model.name === name)));
  return [...listed, ...asked.flatMap(({ tier }) => (tier === undefined || Object.hasOwn(tiers, tier) ? [] : [tier]))];
}

function candidate(question: Question, model: Model, standing: Standing, tier: number, { weights }: Policy): Candidate {
  const expected = estimate(question, model, standing.health);
  const all = terms(model, standing, expected, tier);
  const rejected = reject(question, model, expected);
  return { model: model.name, score: score(all, weights), terms: all, isUp: standing.health.isUp, estimate: expected, ...(rejected === undefined ? {} : { rejected }) };
}

function inOrder(one: Candidate, other: Candidate, order: Decision['order']): number {
  const last = ({ rejected, isUp }: Candidate): number => (rejected === undefined ? 0 : 2) + (isUp ? 0 : 1);
  // Why they were rejected says more than what they would have scored.
  return last(one) - last(other) || (one.rejected !== undefined || order === 'listed' ? 0 : other.score - one.score);
}

/** The error that names whoever misses by least. */
function nobody(candidates: Candidate[]): UniversalAiError {
  const misses = candidates.flatMap(({ model, rejected }) => (rejected === undefined ? [] : [{ model, rejected, by: miss(rejected) }]));
  const nearest = misses.reduce((least, one) => (one.by[0] - least.by[0] || difference(one.by[1], least.by[1])) < 0 ? one : least);
  const { model, rejected } = nearest;
  return new UniversalAiError('UAT_NO_CANDIDATE', `no model meets what is asked for; \`${model}\` comes nearest: it ${told(rejected)}`, {
    // Only what is slow now may be quicker then.
    retryable: rejected.reason === 'latency', details: { nearest: model, rejection: rejected },
  });
}

/** Infinite ones are equal. */
function difference(one: number, other: number): number {
  return one === other ? 0 : one - other;
}

function unknownCapability(capability: string, words: string[]): UniversalAiError {
  const known = nearestFirst(capability, words);
  return new UniversalAiError('UAT_INVALID_INPUT', `unknown capability \`${capability}\`; ${thoseThatExist(known, 'no model names any with `capabilities`')}`, { details: { field: 'capabilities', capability, known } });
}

function thoseThatExist(known: string[], none: string): string {
  if (known.length === 0) return none;
  const more = known.length > SHOWN ? ` and ${known.length - SHOWN} more` : '';
  return `there are \`${known.slice(0, SHOWN).join('`, `')}\`${more}`;
}
