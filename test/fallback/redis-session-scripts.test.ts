import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import * as scripts from '../../src/fallback/redis-service/session-scripts.js';
import { ROOT } from '../support/built.js';

const FOLDER = join(ROOT, 'crates', 'redis-service', 'src', 'sessions', 'scripts');

describe('the scripts of sessions', () => {
  it('are word for word those of the native core', () => {
    const files = Object.fromEntries(readdirSync(FOLDER).map(file => [`${file.replace('.lua', '').toUpperCase()}_SESSION`, readFileSync(join(FOLDER, file), 'utf8')]));
    expect(Object.fromEntries(Object.entries(scripts).map(([name, { text }]) => [name, text]))).toEqual(files);
  });
});
