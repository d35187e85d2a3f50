// The answer that every provider here gives: numbered words, in which a missing, doubled or displaced one is seen.

export const PIECES = Array.from({ length: 20 }, (_, index) => (index === 0 ? "t0" : ` t${index}`));
export const TEXT = PIECES.join("");
