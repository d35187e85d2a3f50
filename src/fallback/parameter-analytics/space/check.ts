/** Whether parameters fit together: `space/check.rs` of the Rust core, and its words. */

import { UniversalAiError } from '../../../errors.js';
import type { SearchSpace } from '../../../services/parameter-analytics-types.js';
import { type Domain, LARGEST_WHOLE, levels, numberOf, steps, type Value } from './domain.js';

/** One thing that can be set, active where each parameter of `when` is active and has this value. */
export interface Parameter {
  name: string;
  domain: Domain;
  when: [string, Value][];
}

/** A space as a journal has it: choices that were retired before it was written stand in `retired` as well. */
export type SpaceDocument = Record<string, SearchSpace[string] & { retired?: Value[] }>;

export function spaceError(parameter: string, problem: string): UniversalAiError {
  return new UniversalAiError('UAT_INVALID_INPUT', `parameter \`${parameter}\` ${problem}`, { details: { field: parameter } });
}

/** A value as messages show it. */
export function shown(value: Value): string {
  return typeof value === 'string' ? `"${value}"` : String(value);
}

/** The parameters of a space, checked one by one. @throws `UAT_INVALID_INPUT`. */
export function parametersOf(document: SpaceDocument): Parameter[] {
  const parameters = Object.entries(document).map(([name, spec]): Parameter => {
    const domain = domainOf(name, spec);
    const problem = domainProblem(domain);
    if (problem !== undefined) throw spaceError(name, problem);
    return { name, domain, when: Object.entries(spec.when ?? {}) };
  });
  if (parameters.length === 0) throw new UniversalAiError('UAT_INVALID_INPUT', 'a space needs at least one parameter', { details: { field: 'space' } });
  return parameters;
}

function domainOf(name: string, spec: SpaceDocument[string]): Domain {
  const { type } = spec;
  const whole = (value: number): number => {
    if (!Number.isInteger(value) || Math.abs(value) >= LARGEST_WHOLE) throw spaceError(name, notFinite(value));
    return value;
  };
  switch (type) {
    case 'float': return { type, low: spec.low, high: spec.high, log: spec.log ?? false, step: spec.step };
    case 'int': return { type, low: whole(spec.low), high: whole(spec.high), log: spec.log ?? false, step: whole(spec.step ?? 1) };
    case 'categorical': return { type, choices: spec.choices.map(value => ({ value, isRetired: spec.retired?.includes(value) ?? false })) };
  }
}

export function notFinite(value: number): string {
  return `has ${value} where a finite number is needed (for \`int\` a whole one below 2^53)`;
}

function domainProblem(domain: Domain): string | undefined {
  if (domain.type === 'categorical') return choicesProblem(domain.choices);
  const { low, high, log, step } = domain;
  const end = [low, high].find(end => !Number.isFinite(end));
  if (end !== undefined) return notFinite(end);
  if (!(low < high)) return `needs \`low\` < \`high\`, got ${low} and ${high}`;
  if (log) {
    if (step !== undefined && !(domain.type === 'int' && step === 1)) return 'has `log` and `step`; it can have one of them';
    return low < (domain.type === 'int' ? 1 : Number.MIN_VALUE) ? `has \`log\`, which needs \`low\` > 0 (for \`int\`, at least 1), got ${low}` : undefined;
  }
  if (step === undefined) return undefined;
  const count = steps({ type: 'float', low, high }, step);
  // A step that is lost in rounding beside `high` makes no new value.
  const fits = Number.isFinite(step) && step > 0 && count >= 2 && count < LARGEST_WHOLE && high - step < high && low + step > low;
  return fits ? undefined : `has step ${step}; it must be above 0, at most \`high\` - \`low\`, and make fewer than 2^53 steps`;
}

function choicesProblem(choices: { value: Value; isRetired: boolean }[]): string | undefined {
  for (const [place, { value }] of choices.entries()) {
    if (typeof value === 'number' && !Number.isFinite(value)) return notFinite(value);
    if (choices.slice(0, place).some(other => other.value === value)) return `has the choice ${shown(value)} twice`;
  }
  return choices.every(choice => choice.isRetired) ? 'needs at least one choice' : undefined;
}

/** For each parameter, which others must have which number for it to be active; and an order in which each comes after those. */
export function conditionsOf(parameters: readonly Parameter[]): { conditions: [number, number][][]; order: number[] } {
  const conditions = parameters.map(({ name, when }) => when.map(([on, value]): [number, number] => {
    const place = parameters.findIndex(parameter => parameter.name === on);
    const domain = parameters[place]?.domain;
    if (domain === undefined) throw spaceError(name, `has a \`when\` on \`${on}\`, which is not a parameter`);
    if (levels(domain) === undefined) throw spaceError(name, `has a \`when\` on \`${on}\`, which is continuous; only \`int\`, \`categorical\` and stepped parameters can be compared`);
    const number = numberOf(domain, value);
    if (number === undefined) throw spaceError(name, `has a \`when\` on \`${on}\` being ${shown(value)}, which it never is`);
    return [place, number];
  }));
  const order: number[] = [];
  let left = [...parameters.keys()];
  while (left.length > 0) {
    const ready = left.filter(place => conditions[place]!.every(([parent]) => order.includes(parent)));
    if (ready.length === 0) throw spaceError(parameters[onCycle(left, conditions)]!.name, 'depends on itself by its `when`');
    order.push(...ready);
    left = left.filter(place => !ready.includes(place));
  }
  return { conditions, order };
}

/** Whoever is left depends on a cycle; walking up its parents ends inside of it. */
function onCycle(left: number[], conditions: [number, number][][]): number {
  let place = left[0]!;
  for (let steps = 0; steps < conditions.length; steps++) place = conditions[place]!.map(([parent]) => parent).find(parent => left.includes(parent)) ?? place;
  return place;
}

/** A space as a journal has it, in the words that the Rust core writes. */
export function documentOf(parameters: readonly Parameter[]): SpaceDocument {
  return Object.fromEntries(parameters.map(({ name, domain, when }) => [name, { ...specOf(domain), ...(when.length === 0 ? {} : { when: Object.fromEntries(when) }) }]));
}

function specOf(domain: Domain): SpaceDocument[string] {
  if (domain.type === 'categorical') {
    const retired = domain.choices.filter(choice => choice.isRetired).map(choice => choice.value);
    return { type: domain.type, choices: domain.choices.map(choice => choice.value), ...(retired.length === 0 ? {} : { retired }) };
  }
  const { type, low, high, log, step } = domain;
  return { type, low, high, ...(log ? { log } : {}), ...(step === undefined || (type === 'int' && step === 1) ? {} : { step }) };
}
