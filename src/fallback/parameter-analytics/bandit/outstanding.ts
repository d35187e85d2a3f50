import { invalidInput, UniversalAiError } from '../../../errors.js';

/** An hour: who has not been judged by then rarely is. */
export const EXPIRY_MS = 3_600_000;
/** A minute of a thousand decisions a second. */
const MOST = 65_536;

interface Waiting {
  atMs: number;
  arm: number;
  isRewarded: boolean;
  context: readonly number[];
}

/** Decisions whose rewards are waited for, in the order in which they were made; the numbers leave no gaps. `bandit/outstanding.rs` of the Rust core. */
export class Outstanding {
  /** Whose decisions: drawn from the seed, eight hexadecimal digits. */
  readonly #bandit: string;
  /** By number; a `Map` keeps their order. */
  readonly #waiting = new Map<number, Waiting>();
  #made: number;

  /** @param made How many decisions were made before, of which nothing is known any more. */
  constructor(bandit: number, made: number) {
    this.#bandit = bandit.toString(16).padStart(8, '0');
    this.#made = made;
  }

  /** How many decisions were made: the number of the next one. */
  get made(): number {
    return this.#made;
  }

  /** Waits for the reward of one more decision, and forgets those that are older than an hour and, if need be, the oldest. */
  wait(arm: number, context: readonly number[], atMs: number): string {
    this.#expire(atMs);
    if (this.#waiting.size >= MOST) for (const oldest of this.#waiting.keys()) { this.#waiting.delete(oldest); break; }
    const number = this.#made++;
    this.#waiting.set(number, { atMs, arm, isRewarded: false, context });
    return `${this.#bandit}-${number}`;
  }

  /** The arm that was chosen, and the context. From now on the decision is rewarded. */
  settle(id: string, nowMs: number): { arm: number; context: readonly number[] } {
    const [, bandit, digits] = /^([0-9a-fA-F]{8})-([0-9]{1,20})$/.exec(id) ?? [];
    if (bandit === undefined || digits === undefined) throw invalidInput('decisionId', 'an id as `select` gave it, like 1a2b3c4d-17', id);
    this.#expire(nowMs);
    const unknown = (why: string): UniversalAiError => new UniversalAiError('UAT_NOT_FOUND', `no decision ${id} is waited for: ${why}`);
    if (bandit.toLowerCase() !== this.#bandit) throw unknown('another bandit or process made it; send its reward there');
    const waiting = this.#waiting.get(Number(digits));
    if (waiting === undefined) {
      throw unknown(Number(digits) < this.#made ? 'it is older than an hour, or too many newer ones were made, or it was made before a restart; reward sooner' : 'it has not been made; give the id back as `select` gave it');
    }
    if (waiting.isRewarded) throw new UniversalAiError('UAT_CONFLICT', `decision ${id} was rewarded before, and a reward counts once; send each decision's reward one time`);
    waiting.isRewarded = true;
    return waiting;
  }

  #expire(nowMs: number): void {
    for (const [number, { atMs }] of this.#waiting) {
      if (nowMs - atMs < EXPIRY_MS) break;
      this.#waiting.delete(number);
    }
  }
}
