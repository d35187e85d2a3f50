import { UniversalAiError } from '../../errors.js';
import { parseRedisUrl } from '../../services/redis-service-url.js';
import type { Shape } from './config-shape.js';

/** The section `[redis]`, as `redis_service::Options` has it. The coordinator keeps the answers of its cache there. */
export const REDIS_SHAPE: Shape = {
  url: 'text', url_env: 'text', url_file: 'text', max_connections: 'count', key_prefix: 'text', near_cache: 'flag', near_max_bytes: 'count', enable_compression: 'flag',
  codec: ['lz4', 'zstd'], compress_min_bytes: 'whole', compression_level: 'count', fallback_max_bytes: 'count', replay_writes: 'flag', max_replay: 'count', journal_dir: 'text',
  connect_timeout_ms: 'count', command_timeout_ms: 'count', read_budget_ms: 'count',
};

/** The section as it was written, checked. */
export type RedisSettings = Record<string, unknown>;

/** What to do with a secret. */
export const REDIS_SECRET = 'name the environment variable that holds the whole URL with `url_env`, or a file with `url_file`';

/** What is wrong with the values of a section whose keys and kinds are right. */
export function checkRedis(table: Record<string, unknown>): { key: string; message: string } | undefined {
  const given = ['url', 'url_env', 'url_file'].filter(key => table[key] !== undefined);
  if (given[1] !== undefined) return { key: given[1], message: 'url, url_env and url_file exclude each other: keep one' };
  const level = table['compression_level'] as number | undefined;
  if (level !== undefined && level > 19) return { key: 'compression_level', message: `expected a level of zstd's, 1 to 19, got ${level}` };
  const url = table['url'] as string | undefined;
  try {
    if (url !== undefined) parseRedisUrl(url);
    return undefined;
  } catch (error) {
    if (!(error instanceof UniversalAiError)) throw error;
    return { key: 'url', message: error.message.replace(/^url: /, '') };
  }
}

/** Whether an address holds a password. One that cannot be read is refused elsewhere. */
export function hasPassword(url: string): boolean {
  try {
    return parseRedisUrl(url).password !== undefined;
  } catch (error) {
    if (!(error instanceof UniversalAiError)) throw error;
    return false;
  }
}
