import { UniversalAiError } from '../errors.js';
import type { BanditBackend } from './parameter-analytics-backend.js';
import { checkContext, checkReward } from './parameter-analytics-request.js';
import type { ArmPosterior, BanditDecision } from './parameter-analytics-types.js';

/** Which of several arms to choose when each choice teaches something. Made by `ParameterAnalytics.bandit`. */
export class Bandit {
  readonly #backend: BanditBackend;
  readonly #isClosed: () => boolean;

  /** @internal Made by `bandit`. */
  constructor(backend: BanditBackend, isClosed: () => boolean) {
    this.#backend = backend;
    this.#isClosed = isClosed;
  }

  /**
   * Chooses an arm. The last 65,536 decisions are remembered, for an hour.
   *
   * @param context Of `lin-thompson` alone: `contextDims` numbers of -1024 to 1024.
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: a context that the policy lacks, or has no use for.
   */
  select(context?: Float64Array): BanditDecision {
    checkContext(context);
    return this.#open().select(context);
  }

  /**
   * Says what came of a decision. Written behind: {@link flush} acknowledges.
   *
   * @throws {UniversalAiError} `UAT_INVALID_INPUT`: no number, or out of range; `UAT_NOT_FOUND`: the decision is older than an hour, or
   *   was made by another process; `UAT_CONFLICT`: it was rewarded before.
   */
  reward(decisionId: string, reward: number): void {
    checkReward(decisionId, reward);
    this.#open().reward(decisionId, reward);
  }

  /** What is known of each arm; of `lin-thompson`, as if there were no contexts. */
  posterior(): Record<string, ArmPosterior> {
    return this.#open().posterior();
  }

  /** Resolves when all rewards so far are kept. */
  async flush(): Promise<void> {
    await this.#open().flush();
  }

  #open(): BanditBackend {
    if (this.#isClosed()) throw new UniversalAiError('UAT_CLOSED', 'the ParameterAnalytics of this bandit was closed; make another one');
    return this.#backend;
  }
}
