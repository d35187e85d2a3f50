import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import type { Decision } from '../../src/fallback/vision-resource-manager/manager/decision.js';
import type { Event } from '../../src/fallback/vision-resource-manager/manager/event.js';
import { Manager } from '../../src/fallback/vision-resource-manager/manager/manager.js';
import type { Settings } from '../../src/fallback/vision-resource-manager/manager/settings.js';

/** What the Rust core decided, as `crates/vision-resource-manager/tests/scenarios/traces.rs` writes it down. */
type Line = { settings: Settings } | { now: number; event: Event; decisions: Decision[] };

const folder = new URL('traces/', import.meta.url);
const files = readdirSync(folder).filter(name => /^gpu-.*\.jsonl$/.test(name));

describe('the TypeScript manager decides what the Rust core decides, event by event', () => {
  it.each(files)('%s', name => {
    let manager = new Manager();
    for (const [number, text] of readFileSync(new URL(name, folder), 'utf8').trimEnd().split('\n').entries()) {
      const line = JSON.parse(text) as Line;
      if ('settings' in line) {
        manager = new Manager(line.settings);
        continue;
      }
      const decisions: Decision[] = [];
      manager.apply(line.now, line.event, decisions);
      expect([number + 1, decisions]).toStrictEqual([number + 1, line.decisions]);
    }
  });

  it('there are traces', () => {
    expect(files.length).toBeGreaterThan(10);
  });
});
