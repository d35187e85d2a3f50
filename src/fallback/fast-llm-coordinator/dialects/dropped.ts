/** The names of what a translation left out: in the order in which they were met, each once. */
export class Dropped {
  readonly #names = new Set<string>();

  name(field: string): void {
    this.#names.add(field);
  }

  nameUnlessEmpty(field: string, value: unknown): void {
    if (!saysNothing(value)) this.name(field);
  }

  names(): string[] {
    return [...this.#names];
  }
}

/** Null, false, or an empty string, array or object: what clients write where they want nothing. */
export function saysNothing(value: unknown): boolean {
  if (value == null || value === false || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
