/**
 * A bandit without a storage: chooses arms and learns from rewards. The same seed and calls give the same arms, decision ids and
 * posteriors as the Rust core's, bit for bit; the clock is passed in.
 */

import { invalidInput } from '../../../errors.js';
import type { PreparedBandit } from '../../../services/parameter-analytics-backend.js';
import type { ArmPosterior, BanditDecision } from '../../../services/parameter-analytics-types.js';
import { Arms } from './arms.js';
import { deviationOf, meanOf } from './belief.js';
import { choose } from './choose.js';
import { FEATURE_MOST, FEATURE_UNITS, type Slots, UNITS } from './evidence.js';
import { Forgetting } from './forgetting.js';
import { Outstanding } from './outstanding.js';
import { Draws, mixed } from './random.js';

/** 2^20 times the unit of rewards: with 2^24 parts in each, the sum of 2^39 squares still fits 128 bits. */
const WIDEST = 1_048_576;

export class CoreBandit {
  readonly options: PreparedBandit;
  readonly arms: Arms;
  readonly #outstanding: Outstanding;

  /**
   * @param made How many decisions were made before what is known was written down.
   * @param id Goes before the numbers of decisions; another one where decisions of an earlier process may still come back.
   */
  constructor(options: PreparedBandit, made = 0, id = Number(mixed(BigInt(options.seed)) >> 32n)) {
    this.options = options;
    this.arms = new Arms(options.arms, options.reward, new Forgetting(options.halfLife), options.contextDims ?? 0);
    this.#outstanding = new Outstanding(id, made);
  }

  /** How many decisions were made. */
  get made(): number {
    return this.#outstanding.made;
  }

  select(context: Float64Array | undefined, nowMs: number): BanditDecision {
    const units = this.#inUnits(context ?? new Float64Array());
    this.arms.advance();
    const draws = new Draws(this.options.seed, this.#outstanding.made);
    const { place, probability } = choose(this.arms, this.options.policy, Float64Array.from(units, x => x / FEATURE_UNITS), draws);
    return { arm: this.arms.list[place]!.name, decisionId: this.#outstanding.wait(place, units, nowMs), probability };
  }

  reward(decisionId: string, reward: number, nowMs: number): void {
    const [low, high] = this.options.reward === 'bernoulli' ? [0, 1] : [-WIDEST, WIDEST];
    // Written so that NaN fails.
    if (!(reward >= low && reward <= high)) {
      throw invalidInput('reward', `a number from ${low} to ${high}; ${this.options.reward === 'bernoulli' ? 'scale it, or make the bandit with `gaussian` rewards' : 'scale rewards to about 1'}`, reward);
    }
    const { arm, context } = this.#outstanding.settle(decisionId, nowMs);
    this.arms.advance();
    this.arms.observe(arm, { reward: Math.floor(reward * UNITS + 0.5), context });
  }

  posterior(): Record<string, ArmPosterior> {
    this.arms.advance();
    return Object.fromEntries(this.arms.list.map((arm, place) => [arm.name, {
      mean: meanOf(arm.belief),
      std: deviationOf(arm.belief),
      pulls: arm.totals.pulls,
      probabilityBest: this.arms.chance(place, 'plain'),
    }]));
  }

  absorb(slots: Slots, seen: number): void {
    this.arms.absorb(slots, seen);
  }

  #inUnits(context: Float64Array): number[] {
    const expected = this.options.contextDims ?? 0;
    if (context.length !== expected) {
      throw invalidInput('context', `${expected} numbers${expected === 0 ? `: ${this.options.policy} has no context; leave it out, or make the bandit with lin-thompson` : ', the same features each time'}`, context.length === 0 ? undefined : `${context.length} numbers`);
    }
    const wrong = context.findIndex(x => !(Math.abs(x) <= FEATURE_MOST));
    if (wrong >= 0) throw invalidInput(`context[${wrong}]`, `a number from -${FEATURE_MOST} to ${FEATURE_MOST}; scale features to about -1 to 1`, context[wrong]);
    return Array.from(context, x => Math.floor(x * FEATURE_UNITS + 0.5));
  }
}
