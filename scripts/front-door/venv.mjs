// Tools that come from PyPI, in a folder of their own that git ignores.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The `bin` of a virtual environment that holds what `requirements` (a file) pins; made anew, which `say` is told, when that
 * has changed. Throws what pip or Python said where it cannot be made.
 */
export function venv(folder, requirements, say = () => {}) {
  const bin = join(folder, 'bin');
  const mark = join(folder, 'installed.txt');
  const wanted = readFileSync(requirements, 'utf8');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === wanted) return bin;
  say();
  mkdirSync(dirname(folder), { recursive: true });
  const steps = [['python3', ['-m', 'venv', folder]], [join(bin, 'pip'), ['install', '--quiet', '--disable-pip-version-check', '-r', requirements]]];
  for (const [program, args] of steps) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(error?.message ?? stderr.trim());
  }
  writeFileSync(mark, wanted);
  return bin;
}
