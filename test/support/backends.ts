import { afterAll, beforeAll, describe } from 'vitest';

import { platformFolder } from '../../src/native/loader.js';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const folder = platformFolder();
const hasAddon = folder !== undefined && existsSync(join(folder, 'uat.node'));

/**
 * Runs one suite against each backend. A missing addon is a failure and not a skipped half: whoever runs only the
 * fallback says so with `UAT_TEST_BACKENDS=typescript`.
 */
export function eachBackend(suite: (backend: 'native' | 'typescript') => void): void {
  const backends = (process.env['UAT_TEST_BACKENDS'] ?? 'native,typescript').split(',') as ('native' | 'typescript')[];
  describe.each(backends)('%s backend', backend => {
    const before = process.env['UAT_BACKEND'];
    beforeAll(() => {
      if (backend === 'native' && !hasAddon) throw new Error('the addon is not built; run `npm run build:napi`');
      process.env['UAT_BACKEND'] = backend;
    });
    afterAll(() => {
      if (before === undefined) delete process.env['UAT_BACKEND'];
      else process.env['UAT_BACKEND'] = before;
    });
    suite(backend);
  });
}
