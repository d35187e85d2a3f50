import { text } from '../check.js';
import { UniversalAiError } from '../errors.js';
import { LONGEST_TIMER_MS } from '../timers.js';
import type { StudyBackend } from './parameter-analytics-backend.js';
import { checkChoice, checkConstraintValues, checkCount, checkReport, checkTrial, checkValues } from './parameter-analytics-request.js';
import type { Trial } from './parameter-analytics-types.js';

/**
 * What is tried, what came of it, and what is tried next.
 *
 * ```ts
 * for (const { id, parameters } of await study.ask(4)) await study.tell(id, await measure(parameters));
 * ```
 *
 * Where the study has a `heartbeatMs`, trials that were asked here live as long as this process does and the study is open.
 * Rejections are {@link UniversalAiError}s: `UAT_NOT_FOUND` where there is no such trial, `UAT_CLOSED`, and `UAT_STORAGE` where what
 * happened could not be kept: then it has not happened.
 */
export class Study {
  readonly #backend: StudyBackend;
  readonly #isClosed: () => boolean;
  /** Trials that were asked here and not told. */
  readonly #out = new Set<number>();
  #beating: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  /** @internal Made by `createStudy` and `loadStudy`. */
  constructor(backend: StudyBackend, isClosed: () => boolean) {
    this.#backend = backend;
    this.#isClosed = isClosed;
  }

  get name(): string {
    return this.#backend.name;
  }

  /**
   * The next trials, all different. Those that are out count, so that several workers try different things.
   *
   * @param count 1 (default) to 1,000.
   */
  async ask(count = 1): Promise<Trial[]> {
    const checked = checkCount(count);
    const trials = await this.#open().ask(checked);
    for (const { id } of trials) this.#out.add(id);
    this.#beat();
    return trials;
  }

  /**
   * Ends a trial.
   *
   * @param values One for each objective; `null`: it failed, or was ended early because `shouldPrune` said so.
   * @param constraintValues One for each constraint; met up to 0.
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: not finite, or too many or too few; `UAT_CONFLICT`: it has ended already.
   */
  async tell(trial: number, values: number | number[] | null, constraintValues: number[] = []): Promise<void> {
    const checked = [checkTrial(trial), checkValues(values), checkConstraintValues(constraintValues)] as const;
    await this.#open().tell(...checked);
    this.#out.delete(trial);
  }

  /**
   * Takes a value of a trial that is on its way, at a step of its own counting; the last one at a step counts.
   *
   * @throws {UniversalAiError} As {@link tell}.
   */
  async report(trial: number, step: number, value: number): Promise<void> {
    const [id, checked] = [checkTrial(trial), checkReport(step, value)];
    await this.#open().report(id, checked.step, checked.value);
  }

  /** Whether a running trial is worth no more effort, by what it reported and the study's `pruner`. Tell such a trial with `null`. */
  async shouldPrune(trial: number): Promise<boolean> {
    return await this.#open().shouldPrune(checkTrial(trial));
  }

  /**
   * Adds a choice to a categorical parameter, or brings a retired one back.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: it is there already, or the parameter is not categorical.
   */
  async addChoice(parameter: string, choice: string | number | boolean): Promise<void> {
    await this.#open().addChoice(text('parameter', parameter), checkChoice('choice', choice));
  }

  /**
   * Tries a choice no more; what was told about it still counts.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: there is no such choice, or it is the last one.
   */
  async retireChoice(parameter: string, choice: string | number | boolean): Promise<void> {
    await this.#open().retireChoice(text('parameter', parameter), checkChoice('choice', choice));
  }

  /**
   * The best of the complete trials that meet all constraints, the first of equals; with several objectives the first one counts. Where
   * the Gaussian process has found noise of more than a tenth of how far values lie apart it is the trial of which that expects most,
   * since the best value is the luckiest one then.
   */
  best(): Trial | null {
    return this.#open().best();
  }

  /** The complete trials that meet all constraints and are as good as the best one. */
  paretoFront(): Trial[] {
    return this.#open().paretoFront();
  }

  /** All trials, by number. */
  trials(): Trial[] {
    return this.#open().trials();
  }

  /**
   * How much of what tells good trials from others each parameter explains; in sum 1, all alike where too little is known. PED-ANOVA
   * (Watanabe, Bansal and Hutter, IJCAI 2023).
   */
  importance(): Record<string, number> {
    return this.#open().importance();
  }

  /** A page with pictures that needs nothing else. @throws {UniversalAiError} `UAT_UNSUPPORTED` on the TypeScript backend. */
  async html(): Promise<string> {
    return await this.#open().html();
  }

  /** Lets go of the study, so that another process can open it. Idempotent. Trials that are out can be told after it was opened again. */
  close(): Promise<void> {
    clearInterval(this.#beating);
    this.#closing ??= this.#isClosed() ? Promise.resolve() : this.#backend.close();
    return this.#closing;
  }

  #open(): StudyBackend {
    if (this.#closing !== undefined || this.#isClosed()) throw new UniversalAiError('UAT_CLOSED', 'this study was closed; open it again with loadStudy()');
    return this.#backend;
  }

  /** Says for each trial that is out that its worker lives. The timer keeps no process running. */
  #beat(): void {
    const every = this.#backend.heartbeatMs;
    if (every === undefined || this.#beating !== undefined) return;
    this.#beating = setInterval(() => {
      if (this.#closing !== undefined || this.#isClosed()) return clearInterval(this.#beating);
      // One that cannot be said is said again; of a trial that was given up, there is nothing to say any more.
      for (const trial of this.#out) this.#backend.heartbeat(trial).catch((error: unknown) => { if (error instanceof UniversalAiError && error.code === 'UAT_CONFLICT') this.#out.delete(trial); });
    }, Math.min(every, LONGEST_TIMER_MS)).unref();
  }
}
