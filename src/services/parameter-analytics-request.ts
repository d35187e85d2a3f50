import { homedir } from 'node:os';
import { join } from 'node:path';

import { anObject, fields, oneOf, text, whole } from '../check.js';
import { invalidInput, UniversalAiError } from '../errors.js';
import type { PreparedAnalytics, PreparedBandit, PreparedOptimize, PreparedStudy } from './parameter-analytics-backend.js';
import type { BanditOptions, Outcome, ParameterSpec, PerformanceFilter, SearchSpace, StudyOptions } from './parameter-analytics-types.js';

/** The checks of `ParameterAnalytics`'s arguments, made once for both backends. Whether the ranges of a space make sense the backends check. */

/** File systems take names of 255 bytes, and percent-encoding makes three of one; Redis would take more. */
const LONGEST_NAME_BYTES = 80;
/** A decision is remembered for each trial that is out, and points of one ask are chosen one after another. */
const MOST_TRIALS = 1_000;
/** The contexts of linear Thompson sampling; a decision's cost grows with their square. */
const MOST_DIMS = 256;
/** A half-life is divided into eighths, each at least one reward. */
const SHORTEST_HALF_LIFE = 8;

const MODES = ['recommend', 'explore'] as const;
const SAMPLERS = ['auto', 'gp', 'tpe', 'random', 'sobol', 'cmaes'] as const;
const PRUNERS = ['none', 'median', 'successive-halving'] as const;
const DIRECTIONS = ['minimize', 'maximize'] as const;
const POLICIES = ['thompson', 'ucb', 'epsilon-greedy', 'exp3', 'lin-thompson', 'top-two-thompson'] as const;
const REWARDS = ['bernoulli', 'gaussian'] as const;
const NUMERIC: ReadonlySet<string> = new Set(['type', 'low', 'high', 'log', 'step', 'when']);
const SPEC = { float: NUMERIC, int: NUMERIC, categorical: new Set(['type', 'choices', 'when']) } as const;
const LIMITS = ['maxLatency', 'maxCost', 'minQuality'] as const;
const LIMIT_NAMES: ReadonlySet<string> = new Set(LIMITS);

const ANALYTICS = new Set(['storage', 'seed']);
const OPTIMIZE = new Set(['model', 'taskType', 'constraints', 'space', 'context', 'mode']);
const OUTCOME = new Set(['trialId', 'reward', 'latencyMs', 'costUsd', 'tokens', 'error']);
const STUDY = new Set(['name', 'space', 'directions', 'constraints', 'sampler', 'seed', 'pruner', 'heartbeatMs']);
const BANDIT = new Set(['name', 'arms', 'policy', 'reward', 'contextDims', 'discount', 'seed']);
const FILTER = new Set(['model', 'taskType', 'sinceMs']);

export function prepareAnalytics(given: unknown): PreparedAnalytics {
  const options = fields('options', given ?? {}, ANALYTICS);
  const storage = options['storage'] ?? defaultStorage();
  if (typeof storage !== 'string' || storage === '' || storage.includes('\0')) throw invalidInput('options.storage', 'the path of a folder, :memory:, or redis://', storage);
  return { storage, ...(options['seed'] === undefined ? {} : { seed: seed('options.seed', options['seed'], 0) }) };
}

/** Where `uat serve` and `uat study` look, too. */
function defaultStorage(): string {
  const state = process.env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state');
  return join(state, 'uat', 'parameters');
}

export function prepareOptimize(given: unknown): PreparedOptimize {
  const request = fields('request', given, OPTIMIZE);
  const prepared: PreparedOptimize = {
    model: text('request.model', request['model']),
    taskType: text('request.taskType', request['taskType']),
    mode: oneOf('request.mode', request['mode'] ?? 'explore', MODES),
  };
  if (request['constraints'] !== undefined) prepared.constraints = limits(request['constraints']);
  if (request['space'] !== undefined) prepared.space = prepareSpace('request.space', request['space']);
  if (request['context'] !== undefined) {
    const context = anObject('request.context', request['context']);
    prepared.context = Object.fromEntries(Object.entries(context).map(([name, value]) => [name, finite(`request.context.${name}`, value)]));
  }
  return prepared;
}

function limits(given: unknown): NonNullable<PreparedOptimize['constraints']> {
  const constraints = fields('request.constraints', given, LIMIT_NAMES);
  const kept: NonNullable<PreparedOptimize['constraints']> = {};
  for (const name of LIMITS) {
    const limit = constraints[name];
    if (limit === undefined) continue;
    kept[name] = name === 'minQuality' ? finite(`request.constraints.${name}`, limit) : atLeast0(`request.constraints.${name}`, limit);
  }
  return kept;
}

export function checkOutcome(given: unknown): Outcome {
  const outcome = fields('outcome', given, OUTCOME);
  const checked: Outcome = { trialId: text('outcome.trialId', outcome['trialId']) };
  const { reward, error } = outcome;
  if (reward !== undefined) checked.reward = finite('outcome.reward', reward);
  for (const name of ['latencyMs', 'costUsd', 'tokens'] as const) {
    if (outcome[name] !== undefined) checked[name] = atLeast0(`outcome.${name}`, outcome[name]);
  }
  if (error !== undefined) {
    if (typeof error !== 'string') throw invalidInput('outcome.error', 'what went wrong in words, or nothing', error);
    checked.error = error;
  }
  return checked;
}

export function prepareStudy(given: unknown, defaultSeed: number): PreparedStudy {
  const options = fields('options', given, STUDY);
  const prepared: PreparedStudy = {
    name: checkName('options.name', options['name']),
    space: prepareSpace('options.space', options['space']),
    directions: list('options.directions', options['directions'] ?? ['minimize'], (name, one) => oneOf(name, one, DIRECTIONS)),
    constraints: list('options.constraints', options['constraints'] ?? [], text),
    sampler: sampler(options['sampler']),
    seed: seed('options.seed', options['seed'], defaultSeed),
    pruner: oneOf('options.pruner', options['pruner'] ?? 'none', PRUNERS),
  };
  if (options['heartbeatMs'] !== undefined) prepared.heartbeatMs = whole('options.heartbeatMs', options['heartbeatMs'], 1);
  return prepared satisfies StudyOptions;
}

/** The types in a space; NaN and infinities are told here, since they have no words in JSON. */
function prepareSpace(field: string, given: unknown): SearchSpace {
  const specs = Object.entries(anObject(field, given)).map(([name, spec]) => [name, prepareSpec(`${field}.${name}`, spec)] as const);
  return Object.fromEntries(specs);
}

function prepareSpec(field: string, given: unknown): SearchSpace[string] {
  const { type } = anObject(field, given);
  const kind = oneOf(`${field}.type`, type, ['float', 'int', 'categorical'] as const);
  const spec = fields(field, given, SPEC[kind]);
  const when = spec['when'] === undefined ? undefined : Object.fromEntries(Object.entries(anObject(`${field}.when`, spec['when'])).map(([name, value]) => [name, checkChoice(`${field}.when.${name}`, value)]));
  return { ...(kind === 'categorical' ? { type: kind, choices: list(`${field}.choices`, spec['choices'], checkChoice) } : range(field, kind, spec)), ...(when === undefined ? {} : { when }) };
}

function range(field: string, type: 'float' | 'int', spec: Record<string, unknown>): ParameterSpec {
  const { low, high, log, step } = spec;
  if (log !== undefined && typeof log !== 'boolean') throw invalidInput(`${field}.log`, 'true or false', log);
  return { type, low: finite(`${field}.low`, low), high: finite(`${field}.high`, high), ...(log === undefined ? {} : { log }), ...(step === undefined ? {} : { step: finite(`${field}.step`, step) }) };
}

export function prepareBandit(given: unknown, defaultSeed: number): PreparedBandit {
  const options = fields('options', given, BANDIT);
  const arms = list('options.arms', options['arms'], text);
  if (arms.length === 0) throw invalidInput('options.arms', 'at least one name', arms);
  const twice = arms.findIndex((arm, place) => arms.indexOf(arm) !== place);
  if (twice >= 0) throw invalidInput(`options.arms[${twice}]`, 'each name once', arms[twice]);
  const policy = oneOf('options.policy', options['policy'] ?? 'thompson', POLICIES);
  if (policy === 'exp3') throw new UniversalAiError('UAT_UNSUPPORTED', 'options.policy: exp3 is not supported yet; try thompson with a `discount` for rewards that change');
  const prepared: PreparedBandit = { name: checkName('options.name', options['name']), arms, policy, reward: oneOf('options.reward', options['reward'] ?? 'bernoulli', REWARDS), seed: seed('options.seed', options['seed'], defaultSeed) };
  const { contextDims, discount } = options;
  if (policy === 'lin-thompson') prepared.contextDims = whole('options.contextDims', contextDims, 1, MOST_DIMS);
  else if (contextDims !== undefined) throw invalidInput('options.contextDims', `nothing with ${policy}; only lin-thompson has a context`, contextDims);
  if (discount === undefined) return prepared satisfies Omit<BanditOptions, 'policy'>;
  // Written so that NaN fails.
  if (!(typeof discount === 'number' && discount > 0 && discount < 1)) throw invalidInput('options.discount', 'a number above 0 and below 1', discount);
  if (policy === 'top-two-thompson') throw invalidInput('options.discount', 'nothing with top-two-thompson, whose verdict holds for arms that stay as they are', discount);
  return { ...prepared, halfLife: Math.max(Math.round(Math.log(0.5) / Math.log(discount)), SHORTEST_HALF_LIFE) };
}

export function checkContext(context: unknown): asserts context is Float64Array | undefined {
  if (context !== undefined && !(context instanceof Float64Array)) throw invalidInput('context', 'a Float64Array', context);
}

export function checkReward(decisionId: unknown, reward: unknown): void {
  if (typeof decisionId !== 'string') throw invalidInput('decisionId', 'the decisionId of a `select`', decisionId);
  if (typeof reward !== 'number') throw invalidInput('reward', 'a number', reward);
}

export function checkFilter(given: unknown): PerformanceFilter {
  const filter = fields('filter', given ?? {}, FILTER);
  const checked: PerformanceFilter = {};
  for (const name of ['model', 'taskType'] as const) {
    if (filter[name] !== undefined) checked[name] = text(`filter.${name}`, filter[name]);
  }
  if (filter['sinceMs'] !== undefined) checked.sinceMs = atLeast0('filter.sinceMs', filter['sinceMs']);
  return checked;
}

/** A study's or a bandit's name. */
export function checkName(field: string, name: unknown): string {
  const checked = text(field, name);
  if (!checked.isWellFormed() || Buffer.byteLength(checked) > LONGEST_NAME_BYTES) throw invalidInput(field, `a name of at most ${LONGEST_NAME_BYTES} bytes of UTF-8`, name);
  return checked;
}

export function checkCount(count: unknown): number {
  return whole('count', count, 1, MOST_TRIALS);
}

export function checkTrial(trial: unknown): number {
  return whole('trial', trial, 0);
}

/** One number is the value of the only objective. Whether they are finite, and as many as the study has, the backends check. */
export function checkValues(values: unknown): number[] | null {
  if (values === null) return null;
  if (typeof values === 'number') return [values];
  return list('values', values, number);
}

export function checkConstraintValues(values: unknown): number[] {
  return list('constraintValues', values, number);
}

export function checkReport(step: unknown, value: unknown): { step: number; value: number } {
  return { step: whole('step', step, 0), value: number('value', value) };
}

export function checkChoice(field: string, choice: unknown): string | number | boolean {
  if (typeof choice === 'string' || typeof choice === 'boolean') return choice;
  if (typeof choice !== 'number') throw invalidInput(field, 'a string, a number or a boolean', choice);
  return finite(field, choice);
}

function list<T>(field: string, given: unknown, check: (field: string, one: unknown) => T): T[] {
  if (!Array.isArray(given)) throw invalidInput(field, 'an array', given);
  return given.map((one, place) => check(`${field}[${place}]`, one));
}

function number(field: string, value: unknown): number {
  if (typeof value !== 'number') throw invalidInput(field, 'a number', value);
  return value;
}

function finite(field: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalidInput(field, 'a finite number', value);
  return value;
}

function atLeast0(field: string, value: unknown): number {
  if (finite(field, value) < 0) throw invalidInput(field, 'a number of at least 0', value);
  return value as number;
}

function sampler(given: unknown): PreparedStudy['sampler'] {
  const named = oneOf('options.sampler', given ?? 'auto', SAMPLERS);
  if (named === 'cmaes') throw new UniversalAiError('UAT_UNSUPPORTED', 'options.sampler: cmaes is not supported yet; try gp, or tpe for many dimensions');
  return named;
}

function seed(field: string, value: unknown, otherwise: number): number {
  return value === undefined ? otherwise : whole(field, value, 0);
}
