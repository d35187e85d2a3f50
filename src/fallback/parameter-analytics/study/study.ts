/** A study that is open: its state, and the journal that keeps each change before anybody is answered. */

import { UniversalAiError } from '../../../errors.js';
import type { PreparedStudy, StudyBackend } from '../../../services/parameter-analytics-backend.js';
import type { Trial } from '../../../services/parameter-analytics-types.js';
import { documentOf } from '../space/check.js';
import { Space } from '../space/space.js';
import type { Journal } from '../storage/journal.js';
import type { CreatedOptions, Event } from './event.js';
import { importance } from './importance.js';
import { isSupported, suggest, unsupported } from './sampler.js';
import { StudyState } from './state.js';

/** How the options are written. */
export function createdOptions(options: PreparedStudy): CreatedOptions {
  return { ...options, space: documentOf(new Space(options.space).parameters) };
}

/** What differs between the options of a study that there is and of one that is asked for, in words; `undefined`: nothing. */
export function difference(there: CreatedOptions, asked: CreatedOptions): string | undefined {
  const parameters = new Set([...Object.keys(there.space), ...Object.keys(asked.space)]);
  const fields = ['directions', 'constraints', 'sampler', 'seed', 'pruner', 'heartbeatMs'] as const;
  const pairs = [...[...parameters].map(name => [`space.${name}`, there.space[name], asked.space[name]] as const), ...fields.map(field => [field, there[field], asked[field]] as const)];
  const said = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
  const differing = pairs.find(([, before, now]) => said(before) !== said(now));
  return differing === undefined ? undefined : `${differing[0]} is ${said(differing[1])} there, and ${said(differing[2])} was asked for`;
}

export class OpenStudy implements StudyBackend {
  readonly #state: StudyState;
  readonly #journal: Journal;
  readonly #now: () => number;
  readonly #closed: () => void;
  /** Handles that are open. */
  #handles = 0;
  #failure: unknown;

  /** @param closed Called when the last handle was closed. */
  constructor(state: StudyState, journal: Journal, now: () => number, closed: () => void) {
    [this.#state, this.#journal, this.#now, this.#closed] = [state, journal, now, closed];
  }

  get name(): string {
    return this.#state.options.name;
  }

  get heartbeatMs(): number | undefined {
    return this.#state.options.heartbeatMs;
  }

  get options(): CreatedOptions {
    return this.#state.options;
  }

  /** One more handle. */
  opened(): this {
    this.#handles += 1;
    return this;
  }

  async ask(count: number): Promise<Trial[]> {
    const state = this.#read();
    // Before anything happens: a study that was begun natively may have it.
    if (!isSupported(state.options.sampler)) throw unsupported(state.options.sampler);
    const at = this.#now();
    const events: Event[] = [];
    const happen = (event: Event): void => {
      state.apply(event);
      events.push(event);
    };
    const first = state.count;
    try {
      for (const trial of state.silent(at)) happen({ event: 'told', trial, state: 'failed', at });
      for (let asked = 0; asked < count; asked++) {
        const { point, by, fit } = suggest(state);
        happen({ event: 'asked', trial: state.count, parameters: state.space.values(point), by, ...(fit === undefined ? {} : { fit }), at });
      }
    } finally {
      // What happened before something failed did happen: the journal must say what the memory does.
      if (events.length > 0) this.#keep(events);
    }
    return state.since(first);
  }

  async tell(trial: number, values: number[] | null, constraintValues: number[]): Promise<void> {
    const at = this.#now();
    if (values !== null) return this.#happen({ event: 'told', trial, state: 'complete', values, ...(constraintValues.length === 0 ? {} : { constraintValues }), at });
    this.#happen({ event: 'told', trial, state: this.#read().shouldPrune(trial) ? 'pruned' : 'failed', at });
  }

  async report(trial: number, step: number, value: number): Promise<void> {
    this.#happen({ event: 'reported', trial, step, value, at: this.#now() });
  }

  async shouldPrune(trial: number): Promise<boolean> {
    return this.#read().shouldPrune(trial);
  }

  async heartbeat(trial: number): Promise<void> {
    this.#happen({ event: 'beat', trial, at: this.#now() });
  }

  async addChoice(parameter: string, choice: string | number | boolean): Promise<void> {
    this.#happen({ event: 'choiceAdded', parameter, choice });
  }

  async retireChoice(parameter: string, choice: string | number | boolean): Promise<void> {
    this.#happen({ event: 'choiceRetired', parameter, choice });
  }

  best(): Trial | null {
    return this.#read().best();
  }

  paretoFront(): Trial[] {
    return this.#read().paretoFront();
  }

  trials(): Trial[] {
    return this.#read().trials();
  }

  importance(): Record<string, number> {
    const state = this.#read();
    return importance(state.space, state.ranked());
  }

  async html(): Promise<string> {
    throw new UniversalAiError('UAT_UNSUPPORTED', 'html: the TypeScript backend draws nothing; the native backend draws it, also from a study that was made here');
  }

  async close(): Promise<void> {
    this.#handles -= 1;
    if (this.#handles === 0) this.closeAll();
  }

  /** Closes it for all handles. */
  closeAll(): void {
    this.#handles = 0;
    this.#journal.close();
    this.#closed();
  }

  #happen(event: Event): void {
    this.#read().apply(event);
    this.#keep([event]);
  }

  #keep(events: readonly Event[]): void {
    try {
      this.#journal.append(events);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** The state, as long as all of it is kept. */
  #read(): StudyState {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#state;
  }
}
