// What `test/support/redis.ts` promises to the other tests.

import { once } from 'node:events';
import { connect } from 'node:net';

import { afterEach, describe, expect, it } from 'vitest';

import { RedisCluster, RedisServer, Sentinels } from '../support/redis.js';

/** What is stopped after each test. */
const started: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map(one => one.stop()));
});

async function start<T extends { stop(): Promise<void> }>(one: Promise<T>): Promise<T> {
  started.push(await one);
  return one;
}

describe('a real Redis server', () => {
  it('keeps bytes as they are', async () => {
    const server = await start(RedisServer.start());
    const raw = Buffer.from([0xf5, 0x55, 0x41, 0x0d, 0x0a, 0x00]);
    expect(await server.call('SET', 'raw', raw)).toBe('OK');
    expect(await server.call('GET', 'raw')).toEqual(raw);
    expect(await server.call('GET', 'none')).toBeNull();
    expect(await server.call('MGET', 'raw', 'none')).toEqual([raw, null]);
    expect(await server.cli('INCR', 'n')).toBe('1');
    await expect(server.cli('INCR', 'raw')).rejects.toThrow('ERR value is not an integer');
  });

  it('comes back empty on the same port after it was killed', async () => {
    const server = await start(RedisServer.start());
    await server.cli('SET', 'k', 'v');
    const before = await server.pid();
    await server.kill();
    expect(await server.pid()).toBeNull();
    await expect(once(connect(server.port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED');
    expect(await server.restart()).not.toBe(before);
    expect(await server.cli('EXISTS', 'k')).toBe('0');
  });

  it('is silent while it is frozen', async () => {
    const server = await start(RedisServer.start());
    await server.freeze();
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('PING\r\n');
    const answer = once(socket, 'data');
    expect(await Promise.race([answer, new Promise(resolve => setTimeout(resolve, 100, 'silence'))])).toBe('silence');
    await server.thaw();
    expect(String(await answer)).toBe('+PONG\r\n');
    socket.destroy();
  });

  it('has passwords, users, TLS and settings', async () => {
    const server = await start(RedisServer.start({ password: 'p', users: [{ name: 'app', password: 'q', rules: '~* +@all' }], tls: true, maxmemory: '3mb', settings: [['maxclients', '77']] }));
    expect(server.url).toBe(`rediss://:p@127.0.0.1:${server.port}`);
    expect(server.userUrls).toEqual({ app: `rediss://app:q@127.0.0.1:${server.port}` });
    expect(server.caFile).toMatch(/\.pem$/);
    expect(await server.cli('CONFIG', 'GET', 'maxclients')).toBe('maxclients\n77');
  });

  it('says why it does not start', async () => {
    await expect(RedisServer.start({ maxmemory: 'much' })).rejects.toThrow('could not start');
  });
});

// Some 5 s; the servers wait up to 60 s on a machine that is busy otherwise.
describe('failover', { timeout: 90_000 }, () => {
  it('happens in a cluster', async () => {
    const cluster = await start(RedisCluster.start());
    expect(cluster.url).toBe(`redis+cluster://${cluster.servers.map(server => `127.0.0.1:${server.port}`).join(',')}`);
    const master = await cluster.killMasterOf('k');
    await cluster.waitForFailoverFrom(master);
    expect(await cluster.masterOf('k')).toBe(master + 3);
  });

  it('happens under sentinels', async () => {
    const sentinels = await start(Sentinels.start());
    expect(sentinels.url).toBe(`redis+sentinel://${sentinels.sentinels.map(one => `127.0.0.1:${one.port}`).join(',')}/mymaster`);
    expect(await sentinels.killMaster()).toBe(0);
    await sentinels.waitForFailoverFrom(0);
    expect(await sentinels.master()).toBe(1);
  });
});
