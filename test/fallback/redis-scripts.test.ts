import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import * as scripts from '../../src/fallback/redis-service/scripts.js';
import * as sessionScripts from '../../src/fallback/redis-service/session-scripts.js';

const CRATE = join(import.meta.dirname, '../../crates/redis-service/src');

describe('the scripts that both implementations send to Redis', () => {
  it.each([
    ['sessions/scripts', '_SESSION', sessionScripts],
    ['scripts', '', scripts],
  ])('are the same in %s', (folder, suffix, module) => {
    const ours = module as unknown as Record<string, { text: string } | undefined>;
    // The journal, which replays writes, is the core's alone.
    const files = readdirSync(join(CRATE, folder)).filter(file => file.endsWith('.lua') && file !== 'replay.lua');
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) {
      const name = `${file.replace('.lua', '').replaceAll('-', '_').toUpperCase()}${suffix}`;
      expect(ours[name]?.text, name).toBe(readFileSync(join(CRATE, folder, file), 'utf8'));
    }
  });
});
