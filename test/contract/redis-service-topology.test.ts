import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, describe, expect, it } from 'vitest';

import type { RedisService } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';
import { errorOf } from '../support/errors.js';
import { freePort, RedisServer } from '../support/redis-server.js';
import { PATIENT, services } from '../support/redis-services.js';
import { until } from '../support/until.js';

const folder = mkdtempSync(join(tmpdir(), 'uat-redis-topology-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = async (command: string, ...args: string[]): Promise<string> => (await promisify(execFile)(command, args, { cwd: folder })).stdout;

/** What each way to reach Redis has to carry. */
async function works(one: RedisService): Promise<void> {
  expect(one.status().mode).toBe('redis');
  await one.clear();
  const keys = Array.from({ length: 50 }, (_, index) => `key:${index}`);
  await one.mset(Object.fromEntries(keys.map((key, index) => [key, index])), 60);
  expect(await one.mget(keys)).toEqual(keys.map((_, index) => index));
  expect(await one.delete(...keys.slice(0, 10))).toBe(10);
  for (const key of keys.slice(10, 20)) await one.set(key, { tagged: true }, 60, { tags: ['red'] });
  expect(await one.invalidateTag('red')).toBe(10);
  expect(await one.get('key:15')).toBe(null);
  expect(await one.increment('counter', 2, 60)).toBe(2);
  const { id } = await one.sessions.create({ a: 1 }, { userId: 'ann' });
  expect(await one.clear()).toBe(31);
  expect((await one.sessions.regenerate(id)).data).toEqual({ a: 1 });
  expect(await one.sessions.revokeAll('ann')).toBe(1);
  expect(await one.getOrCompute('computed', 60, () => 'once')).toBe('once');
  expect(await one.command('GET', 'computed')).toBe('once');
  const iterator = one.subscribe('news')[Symbol.asyncIterator]();
  const heard = iterator.next();
  let done = false;
  void heard.then(() => { done = true; });
  await until(async () => { await one.publish('news', 'x'); return done; });
  expect(await heard).toEqual({ done: false, value: { type: 'message', channel: 'news', message: 'x' } });
  await iterator.return!();
}

eachBackend(() => {
  const service = services();

  it('a Unix socket', async () => {
    const path = join(folder, 'redis.sock');
    const redis = await RedisServer.start(['--unixsocket', path]);
    try {
      await works(await service({ ...PATIENT, url: `unix:${path}` }));
      await works(await service({ ...PATIENT, url: `unix://${path}?db=3` }));
      expect(await redis.cli('-n', '3', 'EXISTS', 'computed')).toBe('1');
    } finally {
      await redis.stop();
    }
  });

  it('another database, and one that there is not', async () => {
    const redis = await RedisServer.start();
    try {
      const one = await service({ ...PATIENT, url: `${redis.url}/5` });
      await one.set('k', 1);
      expect(await redis.cli('-n', '5', 'GET', 'k')).toBe('1');
      expect(await redis.cli('EXISTS', 'k')).toBe('0');
      expect(await errorOf(service({ ...PATIENT, url: `${redis.url}/99` }))).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
    } finally {
      await redis.stop();
    }
  });

  it('TLS with a private authority, which has to be named', async () => {
    await run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=authority', '-keyout', 'ca.key', '-out', 'ca.pem');
    writeFileSync(join(folder, 'server.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n');
    await run('openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr');
    await run('openssl', 'x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'server.ext', '-out', 'server.pem');
    const port = await freePort();
    const redis = await RedisServer.start(['--tls-port', String(port), '--tls-cert-file', join(folder, 'server.pem'), '--tls-key-file', join(folder, 'server.key'), '--tls-ca-cert-file', join(folder, 'ca.pem'), '--tls-auth-clients', 'no']);
    try {
      await works(await service({ ...PATIENT, url: `rediss://127.0.0.1:${port}?ca=${encodeURIComponent(join(folder, 'ca.pem'))}` }));
      await works(await service({ ...PATIENT, url: `rediss://localhost:${port}?ca=${join(folder, 'ca.pem')}` }));
      const untrusted = await errorOf(service({ ...PATIENT, url: `rediss://127.0.0.1:${port}` }));
      expect(untrusted).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
      expect(untrusted.message).toContain('ca=');
      expect(await errorOf(service({ ...PATIENT, url: `rediss://127.0.0.1:${port}?ca=${join(folder, 'none.pem')}` }))).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
    } finally {
      await redis.stop();
    }
  });

  it('a master that a Sentinel names', async () => {
    const redis = await RedisServer.start();
    const config = join(folder, `sentinel-${redis.port}.conf`);
    writeFileSync(config, `sentinel monitor main 127.0.0.1 ${redis.port} 1\n`);
    const sentinel = await RedisServer.start([], config);
    try {
      const unknown = await errorOf(service({ url: 'redis+sentinel://no-such-host.invalid/main' }));
      expect(unknown).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
      await works(await service({ ...PATIENT, url: `redis+sentinel://127.0.0.1:${await freePort()},127.0.0.1:${sentinel.port}/main` }));
    } finally {
      await Promise.all([redis.stop(), sentinel.stop()]);
    }
  });

  describe('a cluster', () => {
    it('has to be one, with hosts that are known', async () => {
      const redis = await RedisServer.start();
      try {
        expect(await errorOf(service({ ...PATIENT, url: redis.url.replace('redis:', 'redis+cluster:') }))).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
        expect(await errorOf(service({ ...PATIENT, url: 'redis+cluster://no-such-host.invalid' }))).toMatchObject({ code: 'UAT_CONFIG', details: { field: 'url' } });
      } finally {
        await redis.stop();
      }
    });

    it('of three masters', async () => {
      const nodes = await Promise.all(Array.from({ length: 3 }, async () => await RedisServer.start(['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())])));
      try {
        const [first, ...others] = nodes as [RedisServer, ...RedisServer[]];
        const busOf = async (node: RedisServer): Promise<string> => (await node.cli('CONFIG', 'GET', 'cluster-port')).split('\n')[1]!;
        await Promise.all(nodes.map((node, index) => node.cli('CLUSTER', 'ADDSLOTSRANGE', String([0, 5461, 10923][index]), String([5460, 10922, 16383][index]))));
        for (const node of others) await first.cli('CLUSTER', 'MEET', '127.0.0.1', String(node.port), await busOf(node));
        await until(async () => (await Promise.all(nodes.map(node => node.cli('CLUSTER', 'INFO')))).every(info => info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')), 15_000);
        await works(await service({ ...PATIENT, url: `redis+cluster://127.0.0.1:${await freePort()},127.0.0.1:${first.port}` }));
        const sizes = await Promise.all(nodes.map(async node => Number(await node.cli('DBSIZE'))));
        expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(0);
      } finally {
        await Promise.all(nodes.map(node => node.stop()));
      }
    }, 30_000);
  });
});
