import { UniversalAiError } from '../../errors.js';
import type { OpenRedisService } from '../../services/redis-service-backend.js';
import { EmbeddedRedisService } from './embedded.js';
import { loadZstd } from './envelope/envelope.js';
import { RedisOverIoredis } from './redis.js';

/** Makes the TypeScript backend: in this process without a URL, else over ioredis. */
export const openTypeScriptRedisService: OpenRedisService = async (options, onMode) => {
  await loadZstd();
  if (options.address === undefined) {
    const embedded = new EmbeddedRedisService(options);
    onMode(embedded.status());
    return embedded;
  }
  if (options.fallback.replayWrites) throw lacks('options.fallback.replayWrites', 'a journal of session writes');
  if (options.nearCache !== undefined && options.nearCache !== false) throw lacks('options.nearCache', 'a near cache over Redis');
  return await RedisOverIoredis.open(options.address, options, onMode);
};

function lacks(field: string, what: string): UniversalAiError {
  return new UniversalAiError('UAT_UNSUPPORTED', `${field}: the TypeScript backend has not got ${what}; leave the option away, or use the native backend`, { details: { field } });
}
