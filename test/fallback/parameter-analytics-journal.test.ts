import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, describe, expect, it } from 'vitest';

import { openTypeScriptParameterAnalytics } from '../../src/fallback/parameter-analytics/analytics.js';
import { fileName, FileJournal, read } from '../../src/fallback/parameter-analytics/storage/journal.js';
import type { SearchSpace } from '../../src/index.js';

const WRITTEN = new URL('../contract/vectors/parameter-analytics-typescript.journal', import.meta.url);
const SPACE: SearchSpace = {
  rate: { type: 'float', low: 1e-4, high: 1, log: true },
  share: { type: 'float', low: 0, high: 1, step: 0.1 },
  layers: { type: 'int', low: 1, high: 8 },
  kind: { type: 'categorical', choices: ['plain', true, 3] },
  depth: { type: 'int', low: 1, high: 512, log: true, when: { kind: 'plain' } },
};

describe('a journal', () => {
  const folder = mkdtempSync(join(tmpdir(), 'uat-journal-'));
  const path = join(folder, 'studies', 'exchange.journal');
  afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

  // What the Rust crate reads in its tests (tests/vectors.rs). Written anew with UAT_WRITE_VECTORS=1.
  it('of a study has every kind of event as it is kept for the Rust core to read', async () => {
    const clock = { now: 0 };
    const analytics = openTypeScriptParameterAnalytics({ storage: folder, seed: 0 }, () => clock.now);
    const study = await analytics.createStudy({ name: 'exchange', space: SPACE, directions: ['maximize'], constraints: ['memory'], sampler: 'gp', seed: 7, pruner: 'median', heartbeatMs: 1_000 });
    await study.addChoice('kind', 'new');
    await study.retireChoice('kind', true);
    for (let n = 1; n < 20; n++) {
      clock.now = n;
      const id = (await study.ask(1))[0]!.id;
      await study.report(id, 1, n / 3);
      await study.heartbeat(id);
      clock.now = n + 1;
      await (n % 6 === 0 ? study.tell(id, null, []) : study.tell(id, [n / 7], [n / 7 - 2.5]));
    }
    clock.now = 30;
    await study.ask(2);
    await analytics.close();
    if (process.env['UAT_WRITE_VECTORS'] !== undefined) writeFileSync(WRITTEN, readFileSync(path));
    // Points depend on Math.exp and its like, which are not the same everywhere to the last digit.
    const shape = (events: unknown[]): unknown[] => events.map(event => ({ ...(event as object), parameters: undefined, fit: undefined }));
    expect(shape(read(readFileSync(path), path).events)).toEqual(shape(read(readFileSync(WRITTEN), 'the file').events));
    // Some hundred events, each kept by itself; a disk that others write to takes a tenth of a second for one.
  }, 60_000);

  it('is read as it was cut off, wherever that was', () => {
    const { journal } = FileJournal.open(path);
    const events = [{ a: 1 }, { text: 'line\nbreak ü' }, { b: [1.5, null] }];
    journal.append(events.slice(0, 1));
    journal.append(events.slice(1));
    journal.close();
    const bytes = readFileSync(path);
    for (let length = 0; length <= bytes.length; length++) {
      const whole = bytes.subarray(0, length).filter(byte => byte === 0x0a).length;
      expect(read(bytes.subarray(0, length), path).events).toEqual(events.slice(0, whole));
    }
  });

  it('that is written anew has the new events alone, and goes on', () => {
    const { journal } = FileJournal.open(path);
    journal.append([1, 2, 3]);
    journal.rewrite(['sum']);
    journal.append(['more']);
    journal.close();
    const again = FileJournal.open(path);
    expect(again.events).toEqual(['sum', 'more']);
    again.journal.close();
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  it('has a name that no file system takes amiss', () => {
    expect(fileName('a-B_9')).toBe('a-B_9');
    expect(fileName('../x. ü')).toBe('%2E%2E%2Fx%2E%20%C3%BC');
  });
});
