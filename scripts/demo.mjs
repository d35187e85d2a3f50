// npm run demo: from a fresh clone to a real model's answer, over HTTP and through the Node class, a choice of the router, parameters that are
// learned, a cache that outlives its Redis, memory of GPUs, and what was said in a recording.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { built, MODEL, ROOT, SET_UP, VOICE_MODELS } from './front-door/build.mjs';
import { door, inOrder, run, Stop } from './front-door/terminal.mjs';

const QUESTION = 'What is the capital of France? Answer in one short sentence.';
/** A spoken sentence of three seconds. */
const SPEECH = 'examples/speech.wav';

await door('demo', async () => {
  await inOrder([
    ...SET_UP,
    ...VOICE_MODELS,
    { title: 'A question over HTTP, asked with the official `openai` client', run: () => withServer(url => example('openai-client.mjs', { OPENAI_BASE_URL: `${url}/v1` })) },
    { title: 'The same through the Node class, on the Rust core', run: () => example('node-class.mjs', { UAT_BACKEND: 'native' }) },
    { title: 'The same through the Node class, in TypeScript alone', run: () => example('node-class.mjs', { UAT_BACKEND: 'typescript' }) },
    { title: 'A request that leaves it to the router who answers, and why', run: () => withServer(async url => {
      await example('router.mjs', { OPENAI_BASE_URL: `${url}/v1` }, 'demo-request');
      await run(built('uat'), ['explain', 'demo-request', '--url', url], { cwd: ROOT });
    }) },
    { title: 'Parameters that are learned from calls, a study, a bandit', run: () => example('parameters.mjs', {}) },
    { title: 'A study over HTTP, from Python', run: () => withServer(url => run('python3', ['examples/study.py', url], { cwd: ROOT })) },
    { title: 'A cache in Node, on a Redis of its own that is killed under it', run: () => run('node', ['examples/cache.mjs'], { cwd: ROOT }) },
    { title: 'GPU memory: what the model would take, and a made-up day on one GPU and on two', run: async () => {
      await run(built('uat'), ['gpu', 'estimate', MODEL, '--context', '2048'], { cwd: ROOT });
      for (const gpus of ['1x24576', '2x24576']) await run(built('uat'), ['gpu', 'simulate', '--trace', 'examples/day.csv', '--gpus', gpus, '--policy', 'ours,fifo-lru'], { cwd: ROOT });
    } },
    { title: 'GPU memory that programs share: a daemon with a GPU that does not exist, a command and a Python program that lease', run: withGpus },
    { title: 'What was said in a recording, and when', run: () => run(built('uat'), ['transcribe', SPEECH, '--format', 'srt'], { cwd: ROOT }) },
    { title: 'The same in Node, on the Rust core', run: () => voice({ UAT_BACKEND: 'native' }) },
    { title: 'The same over HTTP, with curl and with the Node class in TypeScript alone', run: () => withServer(async url => {
      await run('curl', ['--silent', '--show-error', '--fail-with-body', `${url}/v1/audio/transcriptions`, '-F', `file=@${SPEECH}`, '-F', 'model=whisper-1'], { cwd: ROOT });
      await voice({ UAT_BACKEND: 'typescript', TRANSCRIBER: url });
    }) },
    { title: 'And in the terminal: uat chat', run: () => run(built('uat'), ['chat', '--model', MODEL, '--temperature', '0', '--max-tokens', '32', QUESTION], { cwd: ROOT }) },
  ]);
  console.log(`
Next:  npm start                    the server on http://127.0.0.1:8642, for any OpenAI, Anthropic, Gemini or Ollama client
       target/release/uat chat      a conversation in the terminal
       target/release/uat cache     the cache in a Redis of yours
       target/release/uat doctor    what was found on this machine`);
});

function example(file, env, ...more) {
  return run('node', [`examples/${file}`, QUESTION, ...more], { cwd: ROOT, env: { UAT_ENGINE_PATH: built('uat-engine'), ...env } });
}

function voice(env) {
  return run('node', ['examples/voice.mjs', SPEECH], { cwd: ROOT, env });
}

/** `uat serve` on a port of its own choosing. */
async function withServer(use) {
  await listening(['--log', 'warn', 'serve', '--bind', '127.0.0.1:0'], { UAT__PARAMETERS__STORAGE: ':memory:' }, async line => {
    const url = /http:\/\/\S+/.exec(line)?.[0];
    if (url === undefined) throw new Stop(`uat serve printed ${line}, expected its address`);
    await use(url);
  });
}

/** A command that holds memory while it looks who does, then a Python program. */
async function withGpus() {
  const folder = mkdtempSync(join(tmpdir(), 'uat-demo-'));
  const socket = join(folder, 'gpu.sock');
  try {
    await listening(['gpu', 'daemon', '--fake-gpus', '1x24576', '--socket', socket, '--state', folder], {}, async () => {
      await run(built('uat'), ['gpu', 'run', '--socket', socket, '--vram', '8192', '--model', 'the demo', '--', built('uat'), 'gpu', 'top', '--once', '--socket', socket], { cwd: ROOT });
      await run('python3', ['examples/gpu_lease.py', socket], { cwd: ROOT });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A part of `uat` that says where it listens, ended again by its process id. */
async function listening(args, env, use) {
  const server = spawn(built('uat'), args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const lines = createInterface({ input: server.stdout });
    const [line] = await Promise.race([once(lines, 'line'), once(server, 'exit').then(([code]) => { throw new Stop(`uat ${args.join(' ')} ended with status ${code}`); })]);
    await use(line);
  } finally {
    if (server.exitCode === null) {
      server.kill('SIGTERM');
      await once(server, 'exit');
    }
  }
}
