import { performance } from 'node:perf_hooks';

import { UniversalAiError } from '../../errors.js';
import type { CallScope } from './scope.js';

/** For how long in all readers wait for a slower one: a hiccup of a network, not a client that hangs. */
const PATIENCE_MS = 5_000;

/** Where a flight gets its pieces. A whole answer is one piece. */
export interface Source<T> {
  /** The next piece; `null` at the end. Called again only after the previous call has settled. */
  next(): Promise<T | null>;
  /** How many bytes a piece holds, about. */
  size(piece: T): number;
  /** Nobody waits any more. */
  cancel(): void;
}

/** Questions that are being answered, so that the same one asked meanwhile gets the same answer. */
export class Flights {
  readonly #flights = new Map<string, Flight<unknown>>();
  readonly #mostBytes: number;

  /** @param mostBytes Of an answer that somebody can join; of a longer one the fastest reader is at most this far ahead of the slowest. */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /**
   * Joins the flight of this key, or begins one.
   *
   * @param begin Makes its source.
   */
  join<T>(key: string, begin: () => Source<T>): Seat<T> {
    const known = this.#flights.get(key) as Flight<T> | undefined;
    if (known !== undefined) return new Seat(known, false);
    const flight: Flight<T> = new Flight(begin(), this.#mostBytes, () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    this.#flights.set(key, flight as Flight<unknown>);
    return new Seat(flight, true);
  }
}

/** One answer on its way to several callers. Ends with the last of them, not with the first. */
class Flight<T> {
  readonly #source: Source<T>;
  readonly #mostBytes: number;
  /** Nobody can join any more. */
  readonly #close: () => void;
  readonly seats = new Set<Seat<T>>();
  /** The pieces that not all have read, and how many were dropped before them. */
  readonly #pieces: { piece: T; bytes: number }[] = [];
  #bytes = 0;
  #dropped = 0;
  #isOpen = true;
  #end: { error?: unknown } | undefined;
  #pulling: Promise<void> | undefined;
  /** Tells that a reader has moved on, or left. */
  #moved: (() => void) | undefined;

  constructor(source: Source<T>, mostBytes: number, close: () => void) {
    this.#source = source;
    this.#mostBytes = mostBytes;
    this.#close = close;
  }

  /** Whether there is something at this position without waiting: a piece or the end. */
  has(position: number): boolean {
    return position < this.#next || this.#end !== undefined;
  }

  /** The piece at this position, `null` at the end. Only where {@link has} says so. */
  at(position: number): T | null {
    const found = this.#pieces[position - this.#dropped];
    if (found !== undefined) return found.piece;
    if (this.#end !== undefined && 'error' in this.#end) throw this.#end.error;
    return null;
  }

  /** Waits until the source has given one more piece. Any number may wait; it is asked once. */
  async pull(): Promise<void> {
    this.#pulling ??= this.#ask().finally(() => {
      this.#pulling = undefined;
    });
    await this.#pulling;
  }

  leave(seat: Seat<T>): void {
    if (!this.seats.delete(seat)) return;
    this.readOn();
    if (this.seats.size > 0 || this.#end !== undefined) return;
    this.#finish({});
    this.#source.cancel();
  }

  /** A reader has moved on: lets go what everybody has read, once nobody can join any more. */
  readOn(): void {
    if (!this.#isOpen) {
      const slowest = Math.min(this.#next, ...[...this.seats].map(seat => seat.position));
      for (; this.#dropped < slowest; this.#dropped += 1) this.#bytes -= this.#pieces.shift()?.bytes ?? 0;
    }
    this.#moved?.();
  }

  get #next(): number {
    return this.#dropped + this.#pieces.length;
  }

  async #ask(): Promise<void> {
    try {
      await this.#room();
      const piece = await this.#source.next();
      if (piece === null) return this.#finish({});
      const bytes = this.#source.size(piece);
      this.#pieces.push({ piece, bytes });
      this.#bytes += bytes;
      if (this.#bytes > this.#mostBytes) this.#closed();
    } catch (error) {
      this.#finish({ error });
    }
  }

  /** Waits until another piece may be taken in; the slowest reader is given up where others would wait for too long. */
  async #room(): Promise<void> {
    let waitedMs = 0;
    while (this.#bytes > this.#mostBytes) {
      const begunMs = performance.now();
      const hasMoved = await this.#anybodyMoves(PATIENCE_MS - waitedMs);
      waitedMs = hasMoved ? waitedMs + performance.now() - begunMs : 0;
      if (!hasMoved || waitedMs >= PATIENCE_MS) this.#giveUpOnTheSlowest();
    }
  }

  #anybodyMoves(withinMs: number): Promise<boolean> {
    return new Promise(resolve => {
      const end = (hasMoved: boolean): void => {
        clearTimeout(timer);
        this.#moved = undefined;
        resolve(hasMoved);
      };
      const timer = setTimeout(() => end(false), withinMs);
      this.#moved = () => end(true);
    });
  }

  #giveUpOnTheSlowest(): void {
    for (const seat of this.seats) {
      if (seat.position !== this.#dropped) continue;
      seat.isLost = true;
      this.seats.delete(seat);
    }
    this.readOn();
  }

  #closed(): void {
    this.#isOpen = false;
    this.#close();
    this.readOn();
  }

  #finish(end: { error?: unknown }): void {
    this.#end ??= end;
    this.#close();
  }
}

/** One caller's part in a flight. */
export class Seat<T> {
  /** Whether this caller began it. */
  readonly leads: boolean;
  position = 0;
  /** It was too slow. */
  isLost = false;
  readonly #flight: Flight<T>;

  constructor(flight: Flight<T>, leads: boolean) {
    this.#flight = flight;
    this.leads = leads;
    flight.seats.add(this);
  }

  /** The next piece, which others get as well; `null` at the end. @throws The scope's reason, when the call ends before. */
  async next(scope: CallScope): Promise<T | null> {
    while (!this.isLost && !this.#flight.has(this.position)) {
      scope.signal.throwIfAborted();
      await scope.unlessEnded(this.#flight.pull());
    }
    if (this.isLost) throw new UniversalAiError('UAT_OVERLOADED', `the answer was read so slowly that others had to wait for ${PATIENCE_MS} ms; read it faster, or ask with cache: false`, { retryable: true });
    const piece = this.#flight.at(this.position);
    if (piece === null) return null;
    this.position += 1;
    this.#flight.readOn();
    return piece;
  }

  leave(): void {
    this.#flight.leave(this);
  }
}
