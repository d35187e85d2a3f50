import { UniversalAiError } from '../../errors.js';
import type { OpenRedisService } from '../../services/redis-service-backend.js';
import { EmbeddedRedisService } from './embedded.js';

/** Makes the TypeScript backend: in this process without a URL, else over ioredis. */
export const openTypeScriptRedisService: OpenRedisService = async (options, onMode) => {
  if (options.address === undefined) {
    const embedded = new EmbeddedRedisService(options);
    onMode(embedded.status());
    return embedded;
  }
  throw new UniversalAiError('UAT_UNSUPPORTED', 'not yet');
};
