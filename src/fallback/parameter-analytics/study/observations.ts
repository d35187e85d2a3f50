import { keyOf, type Point, type Space } from '../space/space.js';

/** What a study knows, in the form in which samplers use it: `sampler/observations.rs` of the Rust core. In the order in which they were told. */
export class Observations {
  /** The coordinates of the trials that are complete. */
  readonly inputs: number[][] = [];
  /** Their numbers. */
  readonly trials: number[] = [];
  /** Their values, smaller is better. */
  readonly objective: number[] = [];
  /** For each constraint, their values; met up to 0. */
  readonly constraints: number[][];
  /** Trials that are out: their coordinates by number. */
  readonly pending = new Map<number, number[]>();
  /** The coordinates of trials that ended without a value. */
  readonly fruitless: number[][] = [];
  readonly #visited = new Set<string>();

  constructor(constraints: number) {
    this.constraints = Array.from({ length: constraints }, () => []);
  }

  ask(trial: number, space: Space, point: Point): void {
    this.pending.set(trial, space.encode(point));
    this.#visited.add(keyOf(point));
  }

  /** A trial that was out comes back: with a value (smaller is better) and one for each constraint, or with nothing. */
  tell(trial: number, told: { value: number; constraints: readonly number[] } | undefined): void {
    const coordinates = this.pending.get(trial);
    if (coordinates === undefined) return;
    this.pending.delete(trial);
    if (told === undefined) {
      this.fruitless.push(coordinates);
      return;
    }
    this.inputs.push(coordinates);
    this.trials.push(trial);
    this.objective.push(told.value);
    for (const [place, value] of told.constraints.entries()) this.constraints[place]?.push(value);
  }

  visited(point: Point): boolean {
    return this.#visited.has(keyOf(point));
  }

  /** The sum of what goes beyond the constraints; 0 where all are met. */
  violation(place: number): number {
    return this.constraints.reduce((sum, values) => sum + Math.max(values[place] ?? 0, 0), 0);
  }

  /** The complete trials, the best first: feasible ones by value, then the others by how much they violate. */
  ranked(): number[] {
    return [...this.inputs.keys()].sort((a, b) => this.violation(a) - this.violation(b) || this.objective[a]! - this.objective[b]! || a - b);
  }
}
