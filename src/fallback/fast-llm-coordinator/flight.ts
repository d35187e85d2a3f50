import { UniversalAiError } from '../../errors.js';
import type { CallScope } from './scope.js';

/** How many bytes of a stream one reader may be behind another before it is given up: memory is bounded. */
const MOST_BEHIND_BYTES = 16 * 1024 * 1024;

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

  /**
   * Joins the flight of this key, or begins one.
   *
   * @param begin Makes its source.
   */
  join<T>(key: string, begin: () => Source<T>): Seat<T> {
    const known = this.#flights.get(key) as Flight<T> | undefined;
    if (known !== undefined) return new Seat(known, false);
    const flight: Flight<T> = new Flight(begin(), () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    this.#flights.set(key, flight as Flight<unknown>);
    return new Seat(flight, true);
  }
}

/** One answer on its way to several callers. Ends with the last of them, not with the first. */
class Flight<T> {
  readonly #source: Source<T>;
  readonly #over: () => void;
  readonly seats = new Set<Seat<T>>();
  /** The pieces that not all have read, and how many were dropped before them. */
  readonly #pieces: { piece: T; bytes: number }[] = [];
  #dropped = 0;
  #end: { error?: unknown } | undefined;
  #pulling: Promise<void> | undefined;

  constructor(source: Source<T>, over: () => void) {
    this.#source = source;
    this.#over = over;
  }

  /** Whether there is something at this position without waiting: a piece or the end. */
  has(position: number): boolean {
    return position < this.#dropped + this.#pieces.length || this.#end !== undefined;
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
    this.forget();
    if (this.seats.size > 0 || this.#end !== undefined) return;
    this.#finish({});
    this.#source.cancel();
  }

  /**
   * Once much is kept: drops what all have read, and gives up who is too far behind. Nobody can join any more then, since
   * the beginning is gone.
   */
  forget(): void {
    let bytes = this.#pieces.reduce((sum, one) => sum + one.bytes, 0);
    if (bytes <= MOST_BEHIND_BYTES) return;
    this.#over();
    const kept = (): number => Math.min(this.#dropped + this.#pieces.length, ...[...this.seats].map(seat => seat.position));
    const drop = (): void => {
      for (const first = kept(); this.#dropped < first; this.#dropped += 1) bytes -= this.#pieces.shift()?.bytes ?? 0;
    };
    drop();
    while (bytes > MOST_BEHIND_BYTES && this.#pieces.length > 1) {
      for (const seat of this.seats) {
        if (seat.position > this.#dropped) continue;
        seat.lost = true;
        this.seats.delete(seat);
      }
      drop();
    }
  }

  async #ask(): Promise<void> {
    try {
      const piece = await this.#source.next();
      if (piece === null) this.#finish({});
      else {
        this.#pieces.push({ piece, bytes: this.#source.size(piece) });
        this.forget();
      }
    } catch (error) {
      this.#finish({ error });
    }
  }

  #finish(end: { error?: unknown }): void {
    this.#end ??= end;
    this.#over();
  }
}

/** One caller's part in a flight. */
export class Seat<T> {
  /** Whether this caller began it. */
  readonly leads: boolean;
  position = 0;
  lost = false;
  readonly #flight: Flight<T>;

  constructor(flight: Flight<T>, leads: boolean) {
    this.#flight = flight;
    this.leads = leads;
    flight.seats.add(this);
  }

  /** The next piece, which others get as well; `null` at the end. @throws The scope's reason, when the call ends before. */
  async next(scope: CallScope): Promise<T | null> {
    while (!this.lost && !this.#flight.has(this.position)) {
      scope.signal.throwIfAborted();
      await scope.unlessEnded(this.#flight.pull());
    }
    if (this.lost) throw new UniversalAiError('UAT_OVERLOADED', `the answer was read so slowly that over ${MOST_BEHIND_BYTES} bytes waited; read it faster, or ask with cache: false`, { retryable: true });
    const piece = this.#flight.at(this.position);
    if (piece === null) return null;
    this.position += 1;
    return piece;
  }

  leave(): void {
    this.#flight.leave(this);
  }
}
