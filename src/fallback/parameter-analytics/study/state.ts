/** A study as a pure state machine: each change is an event, and the events make the study again. `study/mod.rs` of the Rust core. */

import { invalidInput, UniversalAiError } from '../../../errors.js';
import type { Trial } from '../../../services/parameter-analytics-types.js';
import { type Point, Space } from '../space/space.js';
import type { CreatedOptions, Event, Fit, TrialState } from './event.js';
import { Observations } from './observations.js';
import { byHalving, byMedian } from './prune.js';
import { beliefs } from './sampler.js';

/** Heartbeats that may be missed: one may be late, two are not. */
const MISSED = 2;

interface Known {
  readonly id: number;
  readonly point: Point;
  state: TrialState;
  values: readonly number[];
  constraintValues: readonly number[];
  /** In the order of steps. */
  readonly reports: [step: number, value: number][];
  readonly startedAt: number;
  /** When it was last heard of. */
  seenAt: number;
  endedAt: number | undefined;
}

export class StudyState {
  readonly options: CreatedOptions;
  readonly space: Space;
  readonly known: Observations;
  /** The last hyperparameters that were fitted. */
  fit: Fit | undefined;
  readonly #trials: Known[] = [];

  /** @throws `UAT_INVALID_INPUT`, `UAT_UNSUPPORTED`. */
  constructor(options: CreatedOptions) {
    const { directions, constraints } = options;
    if (directions.length === 0) throw invalidInput('directions', 'at least one', directions);
    if (directions.length > 1) throw new UniversalAiError('UAT_UNSUPPORTED', 'several objectives are not supported yet');
    const twice = constraints.find((name, place) => constraints.indexOf(name) !== place);
    if (twice !== undefined) throw new UniversalAiError('UAT_INVALID_INPUT', `\`constraints\` has \`${twice}\` twice`, { details: { field: 'constraints' } });
    this.options = options;
    this.space = new Space(options.space);
    this.known = new Observations(constraints.length);
  }

  /** The study to which these events happened. @throws `UAT_STORAGE` names the event that does not fit. */
  static replay(events: readonly unknown[], path: string): StudyState {
    const [first, ...rest] = events as readonly Event[];
    const fail = (number: number, problem: string, cause?: unknown): UniversalAiError => new UniversalAiError('UAT_STORAGE', `${path}: event ${number} does not fit those before it: ${problem}`, { cause });
    if (first?.event !== 'created') throw fail(1, 'a study begins with `created`');
    let number = 1;
    try {
      const state = new StudyState(first.options);
      for (const event of rest) {
        number += 1;
        state.apply(event);
      }
      return state;
    } catch (error) {
      throw fail(number, (error as Error).message, error);
    }
  }

  /** How many trials there are: the number of the next one. */
  get count(): number {
    return this.#trials.length;
  }

  /** 1 where small values are good, -1 where large ones are. */
  get sign(): number {
    return this.options.directions[0] === 'maximize' ? -1 : 1;
  }

  /** All of an event, or an error and nothing of it. */
  apply(event: Event): void {
    switch (event.event) {
      case 'created': throw new UniversalAiError('UAT_INVALID_INPUT', '`name` exists');
      case 'asked': return this.#ask(event);
      case 'told': return this.#tell(event);
      case 'reported': {
        const trial = this.#running(event.trial);
        this.#checkNumbers(event.trial, 'report', [event.value], 1);
        trial.seenAt = Math.max(trial.seenAt, event.at);
        const place = trial.reports.findIndex(([step]) => step >= event.step);
        if (place < 0) trial.reports.push([event.step, event.value]);
        else trial.reports.splice(place, trial.reports[place]![0] === event.step ? 1 : 0, [event.step, event.value]);
        return;
      }
      case 'beat': {
        const trial = this.#running(event.trial);
        trial.seenAt = Math.max(trial.seenAt, event.at);
        return;
      }
      case 'choiceAdded': return this.space.addChoice(event.parameter, event.choice);
      case 'choiceRetired': return this.space.retireChoice(event.parameter, event.choice);
    }
  }

  #ask({ trial, parameters, fit, at }: Event & { event: 'asked' }): void {
    if (trial !== this.count) throw this.#unknown(trial);
    const point = this.space.point(parameters);
    this.known.ask(trial, this.space, point);
    if (fit !== undefined) this.fit = fit;
    this.#trials.push({ id: trial, point, state: 'running', values: [], constraintValues: [], reports: [], startedAt: at, seenAt: at, endedAt: undefined });
  }

  #tell({ trial: id, state, values = [], constraintValues = [], at }: Event & { event: 'told' }): void {
    const trial = this.#running(id);
    if (state === 'complete') {
      this.#checkNumbers(id, 'values', values, this.options.directions.length);
      this.#checkNumbers(id, 'constraint values', constraintValues, this.options.constraints.length);
    }
    this.known.tell(id, state === 'complete' ? { value: this.sign * values[0]!, constraints: constraintValues } : undefined);
    Object.assign(trial, { state, values, constraintValues, seenAt: at, endedAt: at });
  }

  /** Whether a running trial is worth no more effort; always `false` for one that has ended. */
  shouldPrune(trial: number): boolean {
    const own = this.#trial(trial);
    if (own.state !== 'running') return false;
    const others = this.#trials.filter(other => other !== own);
    switch (this.options.pruner) {
      case 'none': return false;
      case 'median': return byMedian(own.reports, others.filter(({ state }) => state === 'complete').map(({ reports }) => reports), this.sign);
      case 'successive-halving': return byHalving(own.reports, others.map(({ reports }) => reports), this.sign);
    }
  }

  /** Trials of which nothing was heard for two heartbeats. */
  silent(at: number): number[] {
    const { heartbeatMs } = this.options;
    if (heartbeatMs === undefined) return [];
    return this.#trials.filter(({ state, seenAt }) => state === 'running' && at - seenAt > heartbeatMs * MISSED).map(({ id }) => id);
  }

  trials(): Trial[] {
    return this.#trials.map(trial => this.#document(trial));
  }

  /** The trials from this number on. */
  since(first: number): Trial[] {
    return this.#trials.slice(first).map(trial => this.#document(trial));
  }

  best(): Trial | null {
    const best = this.#best();
    return best === undefined ? null : this.#document(best);
  }

  /** With one objective: all that are as good as the best. */
  paretoFront(): Trial[] {
    const best = this.#best();
    return this.#feasible().filter(({ values }) => values[0] === best?.values[0]).map(trial => this.#document(trial));
  }

  /** The points of the complete trials, the best first. */
  ranked(): Point[] {
    const complete = this.#trials.filter(({ state }) => state === 'complete');
    return complete.sort((a, b) => violation(a) - violation(b) || this.sign * (a.values[0]! - b.values[0]!) || a.id - b.id).map(({ point }) => point);
  }

  /** The one with the best value, or under noise the one of which the model expects most. */
  #best(): Known | undefined {
    const feasible = this.#feasible();
    const believed = beliefs(this);
    const of = ({ id }: Known): number => believed?.get(id) ?? Infinity;
    return believed === undefined ? feasible[0] : feasible.sort((a, b) => of(a) - of(b) || a.id - b.id)[0];
  }

  /** The complete trials that meet all constraints, those with the best value first. */
  #feasible(): Known[] {
    const feasible = this.#trials.filter(trial => trial.state === 'complete' && violation(trial) <= 0);
    return feasible.sort((a, b) => this.sign * (a.values[0]! - b.values[0]!) || a.id - b.id);
  }

  #document({ id, point, values, constraintValues, state, startedAt, endedAt }: Known): Trial {
    return {
      id,
      parameters: this.space.values(point),
      ...(values.length === 0 ? {} : { values: [...values] }),
      ...(constraintValues.length === 0 ? {} : { constraintValues: [...constraintValues] }),
      state,
      startedAt,
      ...(endedAt === undefined ? {} : { endedAt }),
    };
  }

  #trial(id: number): Known {
    const trial = this.#trials[id];
    if (trial === undefined) throw this.#unknown(id);
    return trial;
  }

  #running(id: number): Known {
    const trial = this.#trial(id);
    if (trial.state !== 'running') throw new UniversalAiError('UAT_CONFLICT', `trial ${id} is ${trial.state} already; a trial can be told once, while it is running`);
    return trial;
  }

  #unknown(trial: number): UniversalAiError {
    return new UniversalAiError('UAT_NOT_FOUND', `study \`${this.options.name}\` has no trial ${trial}; it has ${this.count}, numbered from 0`);
  }

  #checkNumbers(trial: number, what: 'values' | 'constraint values' | 'report', numbers: readonly number[], expected: number): void {
    const invalid = (problem: string, field: string): UniversalAiError => new UniversalAiError('UAT_INVALID_INPUT', `trial ${trial} was told ${problem}`, { details: { field } });
    if (numbers.length !== expected) throw invalid(`${numbers.length} ${what}, and the study has ${expected}`, what);
    const place = numbers.findIndex(number => !Number.isFinite(number));
    if (place < 0) return;
    const name = what === 'constraint values' ? `constraint \`${this.options.constraints[place]}\`` : what;
    throw invalid(`${numbers[place]} as ${name}; tell a finite number, or null for a trial that failed`, name);
  }
}

/** By how much the constraints are not met, in sum. */
function violation({ constraintValues }: Known): number {
  return constraintValues.reduce((sum, value) => sum + Math.max(value, 0), 0);
}
