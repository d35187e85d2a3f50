// A clock that is asked several times a microsecond and costs a call of the real one only now and then.

import { performance } from 'node:perf_hooks';

// Reading the clock costs more than the rest of a hit. So many reads of a loop that never waits take some microseconds.
const READS = 16;

/**
 * Milliseconds as of the real clock at most one millisecond (or, while the event loop is held up, 16 reads) ago. No timer keeps the
 * process alive.
 */
export class CoarseClock {
  readonly #read: () => number;
  #now = 0;
  #left = 0;
  #isTimed = false;

  constructor(read: () => number = () => performance.now()) {
    this.#read = read;
  }

  readonly now = (): number => {
    if (this.#left > 0) {
      this.#left -= 1;
      return this.#now;
    }
    this.#left = READS;
    if (!this.#isTimed) {
      this.#isTimed = true;
      setTimeout(this.#forget, 1).unref();
    }
    this.#now = this.#read();
    return this.#now;
  };

  readonly #forget = (): void => {
    this.#isTimed = false;
    this.#left = 0;
  };
}
