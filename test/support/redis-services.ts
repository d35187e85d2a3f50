import { afterEach } from 'vitest';

import { RedisService, type RedisServiceOptions } from '../../src/index.js';
import type { RedisServer } from './redis-server.js';

/** What the tests of `RedisService` share: services that are closed after each test. */

/** For tests of anything but outages: a machine that is busy with something else is none. */
export const PATIENT = { connectTimeoutMs: 10_000, readBudgetMs: 10_000, commandTimeoutMs: 10_000 };

/** Makes services for the tests of one suite and closes them after each. */
export function services(): (options?: RedisServiceOptions) => Promise<RedisService> {
  const open: RedisService[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map(one => one.close()));
  });
  return async options => {
    const made = new RedisService();
    open.push(made);
    await made.initialize(options);
    return made;
  };
}

/** A service without a Redis, or over one that is empty. */
export async function serviceAt(where: 'embedded' | 'redis', service: ReturnType<typeof services>, redis: RedisServer, options: RedisServiceOptions = {}): Promise<RedisService> {
  if (where === 'embedded') return await service(options);
  await redis.cli('FLUSHALL');
  return await service({ ...PATIENT, url: redis.url, ...options });
}
