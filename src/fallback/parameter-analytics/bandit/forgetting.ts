import { exp } from './msun.js';

/** Half-lives after which nothing is left to count: 1/256. */
const HALF_LIVES = 8;

/** Whether old rewards count less: after so many of them half. Ages are told apart by slots, eight to a half-life. */
export class Forgetting {
  readonly #halfLife: number | undefined;
  /** Of a slot, in rewards. */
  readonly #width: number;

  /** @param halfLife In rewards; absent: nothing is forgotten. */
  constructor(halfLife: number | undefined) {
    this.#halfLife = halfLife;
    this.#width = halfLife === undefined ? 1 : Math.max(Math.ceil(halfLife / 8), 1);
  }

  /** In which slot the next reward is counted, so many having come. */
  slot(rewards: number): number {
    return this.#halfLife === undefined ? 0 : Math.floor(rewards / this.#width);
  }

  /** What a reward of a slot counts, seen from a later one. Slots ahead count as the present one. */
  weight(slot: number, now: number): number {
    if (this.#halfLife === undefined) return 1;
    if (slot < this.first(now)) return 0;
    const age = Math.max(now - slot, 0) * this.#width;
    return exp((-Math.LN2 * age) / this.#halfLife);
  }

  /** The first slot that counts. */
  first(now: number): number {
    if (this.#halfLife === undefined) return 0;
    return Math.max(now + 1 - Math.ceil((this.#halfLife * HALF_LIVES) / this.#width), 0);
  }
}
