/** Closes something that several configurations may use once the last of them is gone and its calls have ended. */
export class Hold {
  readonly #close: () => void;
  #holders = 0;

  constructor(close: () => void) {
    this.#close = close;
  }

  take(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#close();
  }
}
