import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A program that cargo built in this checkout. */
export function built(name: string): string {
  return join(process.env['CARGO_TARGET_DIR'] ?? join(ROOT, 'target'), 'release', name);
}
