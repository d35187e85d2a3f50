/** A new answer counts an eighth at least, as in TCP's estimate of the round trip (RFC 6298). */
const NEW = 1 / 8;
/** Lengths that differ by less, in tokens squared, say nothing of how long a token takes. */
const LEAST_VARIANCE = 1;
/** Tokens. */
const PAGE = 512;

/** How soon and how fast answers of a model come from one place: a straight line through what was seen, as in the core. */
export class Pace {
  #points = 0;
  #tokens = 0;
  #seconds = 0;
  #product = 0;
  #square = 0;

  /** So many tokens were there after this time. */
  observe(tokens: number, ms: number): void {
    const [length, seconds] = [Math.max(1, tokens), ms / 1e3];
    this.#points += 1;
    // The first few are simply averaged.
    const share = Math.max(NEW, 1 / this.#points);
    this.#tokens += (length - this.#tokens) * share;
    this.#seconds += (seconds - this.#seconds) * share;
    this.#product += (length * seconds - this.#product) * share;
    this.#square += (length * length - this.#square) * share;
  }

  /** What the line says; `undefined` before the first answer. Without `tokensPerS` all answers were of the same length. */
  expected(): { firstTokenMs: number; tokensPerS?: number; pageMs: number; points: number } | undefined {
    if (this.#points === 0) return undefined;
    const variance = this.#square - this.#tokens * this.#tokens;
    const slope = variance < LEAST_VARIANCE ? 0 : Math.max(0, (this.#product - this.#tokens * this.#seconds) / variance);
    const firstTokenMs = Math.max(0, this.#seconds - slope * (this.#tokens - 1)) * 1e3;
    return { firstTokenMs, ...(slope > 0 ? { tokensPerS: 1 / slope } : {}), pageMs: firstTokenMs + slope * PAGE * 1e3, points: this.#points };
  }
}
