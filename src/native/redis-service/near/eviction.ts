// Which entries stay: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023,
// https://dl.acm.org/doi/10.1145/3600006.3613147). New entries go through a small queue; who is read there moves to the main
// queue, the others leave and are remembered as ghosts, and who comes back as a ghost goes to the main queue at once.
// The main queue gives those that were read another round. Queues never reorder, so entries can lie in memory one after
// another, and memory has no holes to manage.
//
// Where we depart, because it was better on Zipf, scan, loop and recency traces: one read in the small queue suffices
// to move (two there), reads are counted to 7 (3), and the small queue has a twentieth of the memory (a tenth).

import { Ghosts } from './ghosts.js';
import type { HashIndex } from './hash-index.js';
import type { HeldValues } from './held-values.js';
import { copyRecord, countAt, expiryAt, handleAt, has, HELD, HOT, readKey, setCount, WIDE_VALUE, wordsAt } from './record.js';
import { RecordQueue, type Segment, type Segments } from './segments.js';

const SMALL_SHARE = 0.05;
// How many records of the main queue get another round before one goes whatever its count: bounds the time of a call.
const ROUNDS_AT_MOST = 64;

/** What eviction has to know of the hot values. */
export interface HotView {
  takeHits(key: string): number;
  drop(key: string): void;
}

export class Eviction {
  readonly small: RecordQueue;
  readonly main: RecordQueue;
  readonly ghosts: Ghosts;
  readonly #smallBytes: number;

  /** @param mayTake Whether another segment may be taken now. */
  constructor(
    maxBytes: number,
    readonly segments: Segments,
    readonly index: HashIndex,
    readonly held: HeldValues,
    readonly hot: HotView,
    readonly mayTake: () => boolean,
  ) {
    this.small = new RecordQueue(segments);
    this.main = new RecordQueue(segments);
    this.ghosts = new Ghosts(index);
    this.#smallBytes = maxBytes * SMALL_SHARE;
  }

  /** Does a bounded piece of work towards room. False: nothing is left to evict. */
  step(nowMs: number): boolean {
    if (!this.small.empty && (this.small.bytes > this.#smallBytes || this.main.empty)) this.#passSmall(nowMs);
    else if (!this.main.empty) this.#passMain(nowMs);
    else return false;
    return true;
  }

  /** Takes a live record out; its place is found again when the queue comes to it. */
  remove(position: number): void {
    const segment = this.segments.at(position);
    const at = this.segments.offset(position);
    this.index.remove(segment.words[at]!, position);
    if (has(segment, at, HOT)) this.hot.drop(readKey(segment, at));
    if (!has(segment, at, HELD)) return;
    segment.queue!.bytes -= this.#heldBytes(segment, at);
    this.held.release(handleAt(segment, at), has(segment, at, WIDE_VALUE));
  }

  #passSmall(nowMs: number): void {
    const position = this.small.oldest();
    const segment = this.segments.at(position);
    const at = this.segments.offset(position);
    const hash = segment.words[at]!;
    const words = wordsAt(segment, at);
    if (this.index.has(hash, position)) {
      const read = this.#reads(segment, at) > 0;
      if (!read || !this.#moveToMain(segment, at, position, 0, nowMs)) {
        if (expiryAt(segment, at) > nowMs) this.ghosts.add(hash);
        this.remove(position);
      }
    }
    this.small.pass(words);
  }

  #passMain(nowMs: number): void {
    for (let rounds = 0; !this.main.empty; rounds += 1) {
      const position = this.main.oldest();
      const segment = this.segments.at(position);
      const at = this.segments.offset(position);
      const words = wordsAt(segment, at);
      const live = this.index.has(segment.words[at]!, position);
      const reads = live ? this.#reads(segment, at) : 0;
      const stays = reads > 0 && rounds < ROUNDS_AT_MOST && this.#moveToMain(segment, at, position, reads - 1, nowMs);
      if (live && !stays) this.remove(position);
      this.main.pass(words);
      if (!stays) return;
    }
  }

  /** False: it has expired, or there is no memory to put it. */
  #moveToMain(segment: Segment, at: number, position: number, count: number, nowMs: number): boolean {
    if (expiryAt(segment, at) <= nowMs) return false;
    const words = wordsAt(segment, at);
    if (this.main.needsSegment(words) && !this.mayTake()) return false;
    const target = this.main.append(words, nowMs);
    const to = this.segments.at(target);
    const offset = this.segments.offset(target);
    copyRecord(segment, at, to, offset, words);
    setCount(to, offset, count);
    this.index.move(segment.words[at]!, position, target);
    if (has(to, offset, HELD)) {
      const bytes = this.#heldBytes(to, offset);
      segment.queue!.bytes -= bytes;
      this.main.bytes += bytes;
    }
    return true;
  }

  /** Reads since it was last asked, those of its hot copy too. */
  #reads(segment: Segment, at: number): number {
    return countAt(segment, at) + (has(segment, at, HOT) ? this.hot.takeHits(readKey(segment, at)) : 0);
  }

  #heldBytes(segment: Segment, at: number): number {
    return this.held.size(handleAt(segment, at), has(segment, at, WIDE_VALUE));
  }
}
