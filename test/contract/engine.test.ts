import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { FastLLMCoordinator } from '../../src/index.js';
import { eachBackend } from '../support/backends.js';

/** Stands in for uat-engine: notes what it is told, answers everything alike, and goes with its last client. */
const FAKE = `#!${process.execPath}
const fs = require('node:fs');
const answer = JSON.stringify({
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  data: [{ index: 0, embedding: [0.5, 0.25] }], usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
});
let clients = 0;
const server = require('node:http').createServer((request, response) => {
  if (request.method === 'POST') fs.appendFileSync(__filename + '.asked', JSON.stringify([request.url, request.headers['x-uat-timeout-ms']]) + '\\n');
  request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end(answer));
});
server.keepAliveTimeout = 0;
server.on('connection', socket => {
  clients += 1;
  socket.on('close', () => { if (--clients === 0) process.exit(); });
});
const path = process.argv[process.argv.indexOf('--socket') + 1];
server.listen(path, () => fs.chmodSync(path, 0o600));
`;

let folder: string;
let program: string;
const before: NodeJS.ProcessEnv = {};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'uat-'));
  program = join(folder, 'uat-engine');
  writeFileSync(program, FAKE);
  chmodSync(program, 0o755);
  for (const [name, value] of [['XDG_RUNTIME_DIR', folder], ['UAT_ENGINE_PATH', program]] as const) {
    before[name] = process.env[name];
    process.env[name] = value;
  }
});
afterAll(() => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  rmSync(folder, { recursive: true, force: true });
});

eachBackend(() => {
  let coordinator: FastLLMCoordinator | undefined;
  afterEach(async () => {
    await coordinator?.close();
    rmSync(`${program}.asked`, { force: true });
  });

  it('the local engine is told for how long its answer is waited for, so that it drops what nobody wants any more', async () => {
    coordinator = new FastLLMCoordinator({
      endpoints: [{ name: 'engine', protocol: 'uat-engine', total_timeout_ms: 50_000 }],
      // A file that is there: whether it is a model is the engine's to say.
      models: [{ name: 'm', endpoints: [{ endpoint: 'engine', model: program }] }],
    });
    const request = { model: 'm', messages: [{ role: 'user' as const, content: 'Hi' }] };
    expect((await coordinator.route(request)).content).toBe('Hi');
    expect((await coordinator.route(request, { timeoutMs: 20_000 })).content).toBe('Hi');
    expect(await coordinator.embed('m', 'Hi')).toEqual({ embeddings: [Float32Array.of(0.5, 0.25)], usage: { prompt_tokens: 3 } });
    const asked = readFileSync(`${program}.asked`, 'utf8').trim().split('\n').map(line => JSON.parse(line) as [string, string]);
    expect(asked.map(([path]) => path)).toEqual(['/v1/chat/completions', '/v1/chat/completions', '/v1/embeddings']);
    const [whole, hurried, embedded] = asked.map(([, ms]) => Number(ms));
    expect([whole, embedded]).toEqual([50_000, 50_000]);
    expect(hurried).toBeGreaterThan(5_000);
    expect(hurried).toBeLessThanOrEqual(20_000);
  });
});
