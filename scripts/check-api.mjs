// npm run check:api [seconds]: sends what /openapi.json allows, and what it does not, to a running server, and holds the answers
// against it. Ten minutes unless told otherwise; its figures are printed, and exit code 1 means that something was found.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { built, ROOT } from './front-door/build.mjs';
import { door, inOrder, run, Stop } from './front-door/terminal.mjs';
import { venv } from './front-door/venv.mjs';

const MODEL = 'm';
/** `not_a_server_error` is left out: 502, 503 and 504 are documented, and `no_internal_error` of the hooks looks for 500. */
const CHECKS = ['status_code_conformance', 'content_type_conformance', 'response_headers_conformance', 'response_schema_conformance', 'unsupported_method', 'allow_header_conformance', 'no_internal_error'];

const folder = mkdtempSync(join(tmpdir(), 'uat-check-api-'));
const children = [];

await door('check:api', async () => {
  const seconds = Number(process.argv[2] ?? 600);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Stop(`expected a number of seconds, got ${process.argv[2]}`);
  let address;
  let tools;
  try {
    await inOrder([
      { title: 'schemathesis, in a virtual environment of its own', run: () => { tools = venv(join(ROOT, '.cache', 'api-tools'), join(ROOT, 'scripts', 'api-check', 'requirements.txt')); } },
      { title: 'A server, with a provider that answers', run: async () => { address = await serve(); return address; } },
      { title: 'Each operation with examples, edges of its schema and random values', run: () => schemathesis(tools, 'run', address, 'run.json', ['--max-examples', '50']) },
      { title: `Chains of random requests for ${seconds} s`, run: () => schemathesis(tools, 'fuzz', address, 'fuzz.json', ['--max-time', String(seconds)]) },
    ]);
  } finally {
    for (const child of children) child.kill('SIGTERM');
    for (const phase of ['run.json', 'fuzz.json']) tell(join(folder, phase));
    rmSync(folder, { recursive: true, force: true });
  }
});

async function serve() {
  for (const program of ['uat', 'uat-fake-provider']) {
    if (!existsSync(built(program))) throw new Stop(`${built(program)} is missing: npm run build:rust`);
  }
  const provider = await started(built('uat-fake-provider'), [], /listening on (\S+)/);
  const config = join(folder, 'uat.toml');
  writeFileSync(config, `[server]\nbind = "127.0.0.1:0"\nmax_body_mb = 1\n\n[engine]\nenabled = false\n\n[[endpoints]]\nname = "fake"\nprotocol = "openai"\nbase_url = "${provider}"\n\n[[models]]\nname = "${MODEL}"\nendpoints = [{ endpoint = "fake" }]\n`);
  return await started(built('uat'), ['serve', '--config', config], /listening on (\S+)/);
}

/** Starts a program and waits for the line with its address. */
async function started(program, args, line) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, UAT_LOG: 'error', XDG_STATE_HOME: folder } });
  children.push(child);
  for await (const text of createInterface({ input: child.stdout })) {
    const found = line.exec(text);
    if (found !== null) return found[1];
  }
  throw new Stop(`${program} ended before it listened`);
}

async function schemathesis(tools, command, address, report, args) {
  const checks = ['--checks', CHECKS.join(','), '--continue-on-failure', '--workers', '2', '--no-color', '--request-timeout', '30'];
  const env = { SCHEMATHESIS_HOOKS: join(ROOT, 'scripts', 'api-check', 'hooks.py'), UAT_CHECK_MODEL: MODEL, UAT_CHECK_REPORT: join(folder, report) };
  await run(join(tools, 'schemathesis'), [command, `${address}/openapi.json`, ...checks, ...args], { cwd: folder, env });
}

/** How often each operation was answered with which status. */
function tell(file) {
  if (!existsSync(file)) return;
  const counts = Object.entries(JSON.parse(readFileSync(file, 'utf8')));
  const operations = new Map();
  const statuses = new Map();
  for (const [what, count] of counts) {
    const [, operation, status] = /^(.*) (\d+)$/.exec(what);
    operations.set(operation, `${operations.get(operation) ?? ''} ${status}: ${count}`);
    statuses.set(status, (statuses.get(status) ?? 0) + count);
  }
  const total = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  console.log(`\n${total} requests: ${[...statuses].sort().map(([status, count]) => `${status}: ${count}`).join(', ')}`);
  for (const [operation, line] of [...operations].sort()) console.log(`  ${operation} ${line}`);
}
