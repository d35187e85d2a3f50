import { randomInt } from 'node:crypto';

import type { BackendInfo } from '../backend.js';
import { UniversalAiError } from '../errors.js';
import { openTypeScriptParameterAnalytics } from '../fallback/parameter-analytics/analytics.js';
import { selectBackend } from '../native/loader.js';
import { openNativeParameterAnalytics } from '../native/parameter-analytics.js';
import type { ParameterAnalyticsBackend } from './parameter-analytics-backend.js';
import { Bandit } from './parameter-analytics-bandit.js';
import { checkFilter, checkName, checkOutcome, prepareAnalytics, prepareBandit, prepareOptimize, prepareStudy } from './parameter-analytics-request.js';
import { Study } from './parameter-analytics-study.js';
import type { BanditOptions, OptimizeRequest, OptimizeResult, Outcome, ParameterAnalyticsOptions, Performance, PerformanceFilter, StudyOptions } from './parameter-analytics-types.js';

export type { BackendInfo } from '../backend.js';
export { UniversalAiError, type ErrorCode, type UniversalAiErrorOptions } from '../errors.js';
export type * from './parameter-analytics-types.js';
export type { Bandit } from './parameter-analytics-bandit.js';
export type { Study } from './parameter-analytics-study.js';

/**
 * What to try next, and what is best so far: parameters of language models from live traffic, studies that are asked and told, bandits.
 *
 * ```ts
 * const analytics = new ParameterAnalytics({ storage: './analytics' });
 * const { trialId, parameters } = await analytics.optimize({ model: 'gpt-4', taskType: 'code-generation', constraints: { maxLatency: 1000 } });
 * await analytics.record({ trialId, reward: 0.9, latencyMs: 640 });
 * ```
 *
 * Every rejection is a {@link UniversalAiError}; `UAT_CLOSED` and `UAT_STORAGE` are ones of every method.
 */
export class ParameterAnalytics {
  /** Which implementation answers, and why. */
  readonly backend: BackendInfo;
  readonly #backend: ParameterAnalyticsBackend;
  readonly #studySeed: number;
  readonly #banditSeed: number;
  #closing: Promise<void> | undefined;

  /**
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`; `UAT_UNSUPPORTED`: a storage that the backend lacks; `UAT_CONFIG`: `UAT_BACKEND`
   *   forces a backend that is missing.
   */
  constructor(options?: ParameterAnalyticsOptions) {
    const prepared = prepareAnalytics(options);
    this.#studySeed = prepared.seed ?? 0;
    this.#banditSeed = prepared.seed ?? randomInt(2 ** 47);
    const { info, native } = selectBackend('ParameterAnalytics');
    this.backend = info;
    this.#backend = native === undefined ? openTypeScriptParameterAnalytics(prepared) : openNativeParameterAnalytics(native, prepared);
  }

  /**
   * Recommends parameters for a model and a kind of task: usual ones at first, then the best of a few configurations, then what a model
   * of the whole space expects to be best. Limits are met with high probability where anything is known that meets them.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names what does not fit.
   */
  async optimize(request: OptimizeRequest): Promise<OptimizeResult> {
    const prepared = prepareOptimize(request);
    return await this.#open().optimize(prepared);
  }

  /**
   * Says what came of a recommendation; kept when the promise resolves.
   *
   * @throws {UniversalAiError} `UAT_NOT_FOUND`: no such trial; `UAT_CONFLICT`: it was recorded before.
   */
  async record(outcome: Outcome): Promise<void> {
    const checked = checkOutcome(outcome);
    await this.#open().record(checked);
  }

  /**
   * A new study, or the one of this name where it was made with the same options.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names the parameter; `UAT_CONFLICT` names what differs from the study that there is,
   *   or who has it open; `UAT_UNSUPPORTED`: a sampler that the backend lacks.
   */
  async createStudy(options: StudyOptions): Promise<Study> {
    const prepared = prepareStudy(options, this.#studySeed);
    return new Study(await this.#open().createStudy(prepared), () => this.#closing !== undefined);
  }

  /** The study of this name. @throws {UniversalAiError} `UAT_NOT_FOUND`; `UAT_CONFLICT`: who has it open; `UAT_STORAGE` names a line that is damaged. */
  async loadStudy(name: string): Promise<Study> {
    const checked = checkName('name', name);
    return new Study(await this.#open().loadStudy(checked), () => this.#closing !== undefined);
  }

  /**
   * A bandit. What is kept under its name is added to what it knows by its first {@link Bandit.flush}; it can be asked before.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT` names the option; `UAT_UNSUPPORTED`: a policy that is not there; `UAT_CONFLICT`: one
   *   of this name was made otherwise, or another process has it.
   */
  bandit(options: BanditOptions): Bandit {
    const prepared = prepareBandit(options, this.#banditSeed);
    return new Bandit(this.#open().bandit(prepared), () => this.#closing !== undefined);
  }

  /** What came of each model's work on each kind of task, in the order of their names. */
  async performance(filter?: PerformanceFilter): Promise<Performance[]> {
    const checked = checkFilter(filter);
    return await this.#open().performance(checked);
  }

  /** Flushes the bandits, closes the studies and lets go of the storage. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#backend.close();
    return this.#closing;
  }

  #open(): ParameterAnalyticsBackend {
    if (this.#closing !== undefined) throw new UniversalAiError('UAT_CLOSED', 'this ParameterAnalytics was closed; make another one');
    return this.#backend;
  }
}
