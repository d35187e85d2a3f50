import type { Cluster, Redis } from 'ioredis';

import type { Client } from './connections.js';
import { escapeGlob } from './glob.js';
import type { Link } from './link.js';
import { TAG_REMOVE } from './scripts.js';

/** Deleting many keys: by name, by prefix, by tag. A command of a cluster has keys of one slot only, so there each key has its own. */

/** Keys a command, so that none holds Redis up for long. */
const BATCH = 512;

/** How many of them there were. Keys with the prefix. */
export async function unlink(link: Link, keys: string[]): Promise<number> {
  const commands = link.client.isCluster ? keys.map(key => [key]) : batches(keys);
  const counts = await Promise.all(commands.map(batch => link.send('unlink', ...batch)));
  return counts.reduce<number>((sum, count) => sum + (count as number), 0);
}

/** Deletes what begins with `P` + prefix except sessions, limits and usage; how many values there were. */
export async function clear(link: Link, keyPrefix: string, prefix: string): Promise<number> {
  const pattern = `${escapeGlob(keyPrefix + prefix)}*`;
  const own = `${keyPrefix}~uat:`;
  const kept = ['session:', 'user:', 'limits:', 'usage:'].map(kind => own + kind);
  let count = 0;
  for (const node of nodes(link.client)) {
    let cursor = '0';
    do {
      const [next, found] = await node.scanBuffer(cursor, 'MATCH', pattern, 'COUNT', BATCH);
      cursor = next.toString();
      // Names that are no UTF-8 are not ours, but begin with the prefix, so that they go by their bytes.
      const keys = found.filter(key => !kept.some(start => key.subarray(0, Buffer.byteLength(start)).equals(Buffer.from(start))));
      const values = keys.filter(key => !key.subarray(0, Buffer.byteLength(own)).equals(Buffer.from(own)));
      const removed = await Promise.all(batches(values, link.client.isCluster ? 1 : BATCH).map(batch => link.send('unlink', ...batch)));
      count += removed.reduce<number>((sum, one) => sum + (one as number), 0);
      await Promise.all(batches(keys.filter(key => !values.includes(key)), link.client.isCluster ? 1 : BATCH).map(batch => link.send('unlink', ...batch)));
    } while (cursor !== '0');
  }
  return count;
}

/**
 * Deletes the values of a tag; how many there were. A key leaves the hash of its tag only behind the deletion, and only if nobody
 * has entered it again, so that neither a crash nor a write at the same time leaves a value that its tag does not know.
 */
export async function invalidateTag(link: Link, keyPrefix: string, tag: string): Promise<number> {
  const place = `${keyPrefix}~uat:tag:${tag}`;
  let [count, cursor] = [0, '0'];
  do {
    const [next, found] = await link.send('hscan', place, cursor, 'COUNT', BATCH) as [Buffer, Buffer[]];
    cursor = next.toString();
    if (found.length === 0) continue;
    count += await unlink(link, found.filter((_, at) => at % 2 === 0).map(key => keyPrefix + key.toString()));
    await link.eval(TAG_REMOVE, place, ...found);
  } while (cursor !== '0');
  return count;
}

function nodes(client: Client): Redis[] {
  return client.isCluster ? (client as Cluster).nodes('master') : [client as Redis];
}

function batches<T>(keys: T[], size: number = BATCH): T[][] {
  const all: T[][] = [];
  for (let at = 0; at < keys.length; at += size) all.push(keys.slice(at, at + size));
  return all;
}
