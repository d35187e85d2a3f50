import { type ExecFileException, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ROOT } from '../support/built.js';
import { FakeProvider } from '../support/fake-provider.js';

/** Both tarballs, made from this checkout by `npm run package:rust`. */
let tarballs: { root: string; platform: string };
let provider: FakeProvider;
beforeAll(async () => {
  await run('node', ['scripts/package.mjs'], ROOT);
  const files = readdirSync(join(ROOT, 'packages')).map(name => join(ROOT, 'packages', name));
  const find = (prefix: string): string => {
    const found = files.filter(file => file.includes(`/packages/${prefix}`));
    if (found.length !== 1) throw new Error(`expected one tarball ${prefix}*, found ${files.join(', ')}`);
    return found[0]!;
  };
  tarballs = { root: find('universal-ai-tools-0'), platform: find('universal-ai-tools-linux') };
  provider = await FakeProvider.start();
}, 1_800_000);
afterAll(async () => {
  await provider?.stop();
});

interface Ran { stdout: string; stderr: string; code: number }

/** The user's environment, without what would lead to this checkout. */
function environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { UAT_BACKEND: _, UAT_ENGINE_PATH: __, UAT_CONFIG: ___, NODE_OPTIONS: ____, NODE_PATH: _____, ...inherited } = process.env;
  return { ...inherited, ...extra };
}

async function run(program: string, args: string[], cwd: string, extra?: NodeJS.ProcessEnv): Promise<Ran> {
  const { stdout, stderr } = await promisify(execFile)(program, args, { cwd, env: environment(extra), maxBuffer: 64 * 1024 * 1024 });
  return { stdout, stderr, code: 0 };
}

async function runToTheEnd(program: string, args: string[], cwd: string, extra?: NodeJS.ProcessEnv): Promise<Ran> {
  return await run(program, args, cwd, extra).catch((error: ExecFileException & Ran) => ({ stdout: error.stdout, stderr: error.stderr, code: Number(error.code) }));
}

/** What each script does with the class that it got; prints one line of JSON. */
const body = (): string => `
  const coordinator = new FastLLMCoordinator({
    endpoints: [{ name: 'a', protocol: 'openai', base_url: '${provider.baseUrl}' }], models: [{ name: 'm', endpoints: [{ endpoint: 'a' }] }],
  });
  const request = { model: 'm', messages: [{ role: 'user', content: 'x' }] };
  const { content } = await coordinator.route(request);
  let streamed = '';
  for await (const chunk of coordinator.stream(request)) streamed += chunk.choices[0]?.delta.content ?? '';
  const refused = await coordinator.route({}).catch(error => error);
  const answer = JSON.stringify({ same: content === streamed, words: content.split(' ').length, backend: coordinator.backend, refused: [refused instanceof UniversalAiError, refused.code] });
`;

/** Four ways in which users load the package. */
const scripts = (): Record<string, string> => ({
  'esm.mjs': `import { FastLLMCoordinator, UniversalAiError } from 'universal-ai-tools';\n${body()}\nconsole.log(answer);`,
  'deep.mjs': `import { FastLLMCoordinator, UniversalAiError } from 'universal-ai-tools/services/fast-llm-coordinator-rust';\n${body()}\nconsole.log(answer);`,
  'commonjs.cjs': `const { FastLLMCoordinator, UniversalAiError } = require('universal-ai-tools');\n(async () => {${body()}\nconsole.log(answer); })();`,
  'worker.mjs': `
    import { Worker, isMainThread, parentPort } from 'node:worker_threads';
    import { FastLLMCoordinator, UniversalAiError } from 'universal-ai-tools';
    if (isMainThread) {
      // One after the other and two at once: the addon is loaded, used and left by several environments.
      const ask = () => new Promise((resolve, reject) => new Worker(new URL(import.meta.url)).once('message', resolve).once('error', reject));
      await ask();
      const [answer] = await Promise.all([ask(), ask()]);
      console.log(answer);
    } else {
      ${body()}
      parentPort.postMessage(answer);
    }`,
});

describe.each([
  { installed: 'with the platform package', kind: 'native', files: () => [tarballs.root, tarballs.platform], flags: [] as string[] },
  { installed: 'without optional packages', kind: 'typescript', files: () => [tarballs.root], flags: ['--omit=optional'] },
])('installed $installed, without install scripts', ({ kind, files, flags }) => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'uat-install-'));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'a-user', private: true }));
    await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...flags, ...files()], folder);
    for (const [name, text] of Object.entries(scripts())) writeFileSync(join(folder, name), text);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['esm.mjs', 'deep.mjs', 'commonjs.cjs', 'worker.mjs'])('%s works', async script => {
    const { stdout, stderr } = await run(process.execPath, [script], folder);
    expect(JSON.parse(stdout)).toEqual({
      same: true, words: 20, refused: [true, 'UAT_INVALID_INPUT'],
      backend: { kind, reason: expect.stringContaining('@universal-ai-tools/linux-x64-gnu') },
    });
    if (kind === 'native') expect(stderr).toBe('');
    else expect(stderr).toMatch(/UniversalAiToolsWarning.*@universal-ai-tools\/linux-x64-gnu/);
  });

  it('warns once, however many coordinators there are', async () => {
    const code = `const { FastLLMCoordinator } = await import('universal-ai-tools'); new FastLLMCoordinator(); new FastLLMCoordinator();`;
    const { stderr } = await run(process.execPath, ['--input-type=module', '-e', code], folder);
    expect(stderr.match(/UniversalAiToolsWarning/g) ?? []).toHaveLength(kind === 'native' ? 0 : 1);
  });

  it('forcing a backend works or says why not', async () => {
    const code = `const { FastLLMCoordinator } = await import('universal-ai-tools'); try { console.log(new FastLLMCoordinator().backend.kind) } catch (error) { console.log(error.code + ': ' + error.message) }`;
    const forced = async (backend: string): Promise<string> => (await run(process.execPath, ['--input-type=module', '-e', code], folder, { UAT_BACKEND: backend })).stdout;
    expect(await forced('typescript')).toBe('typescript\n');
    expect(await forced('native')).toMatch(kind === 'native' ? /^native$/m : /^UAT_CONFIG: .*@universal-ai-tools\/linux-x64-gnu is not installed/);
    expect(await forced('rust')).toMatch(/^UAT_CONFIG: UAT_BACKEND: expected native or typescript, got "rust"/);
  });

  it('an addon that is missing or does not load is told as the reason for the fallback', async () => {
    if (kind !== 'native') return;
    const addon = join(folder, 'node_modules', '@universal-ai-tools', 'linux-x64-gnu', 'uat.node');
    const code = `const { FastLLMCoordinator } = await import('universal-ai-tools'); console.log(JSON.stringify(new FastLLMCoordinator().backend));`;
    const backend = async (): Promise<unknown> => JSON.parse((await run(process.execPath, ['--input-type=module', '-e', code], folder)).stdout);
    renameSync(addon, `${addon}.good`);
    try {
      expect(await backend()).toEqual({ kind: 'typescript', reason: expect.stringMatching(/uat\.node does not exist/) });
      writeFileSync(addon, 'not an addon');
      expect(await backend()).toEqual({ kind: 'typescript', reason: expect.stringMatching(/uat\.node could not be loaded: .+/) });
    } finally {
      renameSync(`${addon}.good`, addon);
    }
    expect(await backend()).toMatchObject({ kind: 'native' });
  });

  it('a cache in the process works, in a worker too, and the adapters are found', async () => {
    const code = `
      import { Worker, isMainThread, parentPort } from 'node:worker_threads';
      import { RedisService } from 'universal-ai-tools';
      import { redisService } from 'universal-ai-tools/services/redis-service-rust';
      import { KeyvRedisService } from 'universal-ai-tools/adapters/keyv';
      const use = async one => {
        await one.initialize({ enableCompression: true });
        await one.set('k', { list: Array(200).fill('word') }, 60);
        const { list } = await one.get('k');
        await one.close();
        return [list.length, one.backend.kind, typeof KeyvRedisService];
      };
      if (isMainThread) {
        const here = await use(redisService);
        const [there] = await new Promise((resolve, reject) => new Worker(new URL(import.meta.url)).once('message', (...message) => resolve(message)).once('error', reject));
        console.log(JSON.stringify([here, there]));
      } else parentPort.postMessage(await use(new RedisService()));`;
    writeFileSync(join(folder, 'cache.mjs'), code);
    const { stdout } = await run(process.execPath, ['cache.mjs'], folder);
    expect(JSON.parse(stdout)).toEqual([[200, kind, 'function'], [200, kind, 'function']]);
  });

  it('npx uat runs the program, or says what is missing', async () => {
    const { stdout, stderr, code } = await runToTheEnd('npx', ['--no-install', 'uat', '--version'], folder);
    if (kind === 'native') expect({ stdout, code }).toEqual({ stdout: 'uat 0.1.0\n', code: 0 });
    else expect({ stderr, code }).toEqual({ stderr: expect.stringContaining('@universal-ai-tools/linux-x64-gnu@0.1.0'), code: 1 });
  });

  it('passes the exit code and the arguments on', async () => {
    if (kind !== 'native') return;
    const { stderr, code } = await runToTheEnd('npx', ['--no-install', 'uat', 'no-such-command'], folder);
    expect({ stderr, code }).toEqual({ stderr: expect.stringContaining('no-such-command'), code: 2 });
  });

  it('uat serve drains and ends with 0 when the launcher gets SIGTERM', async () => {
    if (kind !== 'native') return;
    const launcher = spawn(process.execPath, [join('node_modules', '.bin', 'uat'), 'serve', '--bind', '127.0.0.1:0'], { cwd: folder, env: environment({ XDG_RUNTIME_DIR: folder }), stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = (await once(createInterface({ input: launcher.stdout }), 'line')) as [string];
    launcher.kill('SIGTERM');
    expect(await once(launcher, 'exit')).toEqual([0, null]);
    // The server itself is gone, not only its launcher.
    await expect(fetch(`${/http:\/\/\S+/.exec(line)![0]}/health/live`)).rejects.toThrow('fetch failed');
  });

  it('answers from the engine that came along, or says where it looked for one', async () => {
    const isolated = { XDG_RUNTIME_DIR: folder, UAT__ENGINE__IDLE_EXIT_S: '1' };
    if (kind === 'native') await run('npx', ['--no-install', 'uat', 'models', 'pull', 'smollm2-135m'], folder);
    const code = `
      import { FastLLMCoordinator } from 'universal-ai-tools';
      const request = { model: 'smollm2-135m', messages: [{ role: 'user', content: 'What is the capital of France? Answer in one short sentence.' }], temperature: 0, max_tokens: 24 };
      console.log(await new FastLLMCoordinator().route(request).then(answer => answer.content, error => error.code + ': ' + error.message));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], folder, isolated);
    if (kind === 'native') expect(stdout).toContain('Paris');
    else expect(stdout).toMatch(/^UAT_ENGINE_UNAVAILABLE: .*uat-engine.* was not found; tried .*UAT_ENGINE_PATH/);
  });
});
