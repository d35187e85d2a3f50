import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import type { OptimizeResult, ParameterAnalytics } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';

/** Examples are written for bundlers, whose paths have no endings. */
interface Snippet {
  analytics: ParameterAnalytics;
  optimalParams: OptimizeResult;
}

eachBackend(backend => {
  let folder: string;
  // The guide's code keeps what it learns where every program of the user does.
  beforeEach(() => { vi.stubEnv('XDG_STATE_HOME', folder = mkdtempSync(join(tmpdir(), 'uat-original-'))); });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.resetModules();
    rmSync(folder, { recursive: true, force: true });
  });

  it('runs the guide\'s code for parameter analytics as it stands', async () => {
    const { analytics, optimalParams } = await import(new URL('../../examples/original/parameter-analytics', import.meta.url).pathname) as Snippet;
    expect(analytics.backend.kind).toBe(backend);
    expect(optimalParams).toMatchObject({ source: 'prior', parameters: { temperature: expect.any(Number) as number } });
    await analytics.close();
    // The example's modules are read anew for each backend.
  }, 60_000);
});
