import { expect, it, vi } from 'vitest';

import { openTypeScriptRedisService } from '../../src/fallback/redis-service/open.js';
import { checkOptions } from '../../src/services/redis-service-check.js';

vi.mock('ioredis', () => {
  throw Object.assign(new Error("Cannot find package 'ioredis'"), { code: 'ERR_MODULE_NOT_FOUND' });
});

it('a url without ioredis is refused with the package to install; without a url nobody misses it', async () => {
  const error = await openTypeScriptRedisService(checkOptions({ url: 'redis://127.0.0.1:1' }), () => undefined).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'UAT_UNSUPPORTED', message: expect.stringContaining('npm install ioredis') });
  const embedded = await openTypeScriptRedisService(checkOptions({}), () => undefined);
  expect(embedded.status().mode).toBe('embedded');
});
