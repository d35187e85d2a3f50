import { readFileSync } from 'node:fs';

/** "He was not an ill disposed young man", 3 s at 8 kHz, unsigned. */
const spoken = readFileSync(new URL('../speech.wav', import.meta.url)).subarray(44);

/** The same as 16-bit PCM at 16 kHz: each sample, and the mean of it and the next. */
export const audioBuffer = new Uint8Array(Int16Array.from({ length: 2 * spoken.length }, (_, at) => {
  const [from, to] = [spoken[at >> 1]!, spoken[Math.min((at >> 1) + at % 2, spoken.length - 1)]!];
  return ((from + to) / 2 - 128) * 256;
}).buffer);
