// The code of the guide as it stands there, but for where Redis is: REDIS_URL, or the guide's. For whoever writes TypeScript for a bundler,
// tsx or vitest. In plain Node the path is `universal-ai-tools/services/redis-service-rust`.

import { redisService } from './services/redis-service-rust';

const value = { said: 'twice '.repeat(400) };

await redisService.initialize({
  url: process.env['REDIS_URL'] ?? 'redis://localhost:6379',
  maxConnections: 20,
  enableCompression: true
});

await redisService.set('key', value, 300); // 5 min TTL
const cached = await redisService.get('key');

export { cached, redisService, value };
