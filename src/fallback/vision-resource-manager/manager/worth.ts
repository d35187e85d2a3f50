/**
 * What an idle model is worth keeping, and how often models are asked for. `manager/worth.rs`, which says where that comes
 * from and how the constants were chosen. Only additions, multiplications and divisions occur, so that both decide alike.
 */

/** Half-life of the count that tells bursts, in ms. */
const SHORT_MS = 20 * 60_000;
/** Half-life of the count that tells habits, in ms. */
const LONG_MS = 15 * 3_600_000;
/** The long count is of so many more hours that it would not be heard beside the short one otherwise. */
const LONG_WEIGHT = 3;
/** 1 / ln 2: the mean life that belongs to a half-life of 1. */
const MEAN_LIFE = Math.LOG2E;
/** For how long an eviction is regretted, in ms. */
const REGRET_MS = 300_000;
/** The powers of 2 up to the 59th: what has faded further is nothing. */
const POWERS: readonly number[] = powers(60);

function powers(count: number): number[] {
  const powers = [1];
  while (powers.length < count) powers.push(powers.at(-1)! * 2);
  return powers;
}

/** How often something is asked for, as two counts that fade. */
export class Demand {
  #short = 0;
  #long = 0;
  #at = 0;

  /** It is asked for now. */
  asked(now: number): void {
    const past = Math.max(0, now - this.#at);
    this.#short = this.#short * fade(past / SHORT_MS) + 1;
    this.#long = this.#long * fade(past / LONG_MS) + 1;
    this.#at = now;
  }

  /** Askings per ms to be expected. */
  rate(now: number): number {
    const past = Math.max(0, now - this.#at);
    const short = (this.#short * fade(past / SHORT_MS)) / (SHORT_MS * MEAN_LIFE);
    return short + (LONG_WEIGHT * this.#long * fade(past / LONG_MS)) / (LONG_MS * MEAN_LIFE);
  }
}

/** 2 to the power of `-halves`, drawn straight between whole numbers. */
function fade(halves: number): number {
  const whole = Math.floor(halves);
  const power = POWERS[whole];
  return power === undefined ? 0 : (1 - (halves - whole) / 2) / power;
}

/** The waiting, in ms, that an eviction of one of `instances` costs others, where `rate` askings per ms are expected and a load takes `loadMs`. */
export function regret(rate: number, instances: number, loadMs: number): number {
  const expected = (rate / Math.max(1, instances)) * REGRET_MS;
  return (loadMs * expected) / (1 + expected);
}
