// A cache in front of something slow, and what it does when its Redis is killed under it.
//   node examples/cache.mjs      needs redis-server; starts one of its own on a free port

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { RedisService } from 'universal-ai-tools';

const port = await freePort();
let server = startRedis();
const cache = new RedisService();
cache.on('mode', status => say('event', `mode ${status.mode}${status.mode === 'fallback' ? `: ${status.lastError}` : ''}`));

try {
  // The server may not listen yet: then the mode is `fallback` first, and the service goes over by itself.
  await cache.initialize({ url: `redis://127.0.0.1:${port}` });
  await inMode('redis');
  say('backend', `${cache.backend.kind}: ${cache.backend.reason}`);

  await cache.set('city', { name: 'Paris', people: 2_100_000 }, 60);
  say('get', JSON.stringify(await cache.get('city')));

  // A hundred callers at once, one computation.
  let computed = 0;
  const answers = await Promise.all(Array.from({ length: 100 }, () => cache.getOrCompute('slow', 60, async () => {
    computed += 1;
    await sleep(100);
    return 'an answer that takes 100 ms';
  })));
  say('getOrCompute', `${answers.length} callers, ${computed} computation`);

  say('kill', `redis-server, pid ${server.pid}`);
  await ended(server);
  await inMode('fallback');
  const began = performance.now();
  const missed = await cache.get('city');
  say('get', `${missed === null ? 'a miss' : 'a value'} after ${(performance.now() - began).toFixed(1)} ms, and no error`);
  await cache.set('city', { name: 'Lyon' }, 60);
  say('set, get', `${JSON.stringify(await cache.get('city'))}, kept in this process`);
  const error = await cache.increment('visits').catch(reason => reason);
  say('increment', `${error.code}, retryable ${error.retryable}: it cannot be right without Redis`);

  server = startRedis();
  say('restart', `redis-server, pid ${server.pid}`);
  await inMode('redis');
  say('get', `${await cache.get('city') === null ? 'a miss' : 'a value'}: what was written meanwhile was deleted before Redis is read again`);
  await cache.set('city', { name: 'Nice' }, 60);
  say('set, get', JSON.stringify(await cache.get('city')));
} finally {
  await cache.close();
  await ended(server);
}

async function inMode(mode) {
  for (let tries = 0; cache.status().mode !== mode; tries++) {
    if (tries === 1000) throw new Error(`expected mode ${mode} within 10 s: ${cache.status().lastError}`);
    await sleep(10);
  }
}

function startRedis() {
  return spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
}

async function ended(process) {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const exit = once(process, 'exit');
  process.kill('SIGKILL');
  await exit;
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise(resolve => probe.close(resolve));
  return port;
}

function say(what, text) {
  console.log(`  ${what.padEnd(14)} ${text}`);
}
