// npm run fuzz -- [--seconds N | --minutes N] [CRATE | TARGET ...]: every fuzz target in turn, each for its time (a minute
// unless told otherwise), with what was executed and found.
//
// libFuzzer's instrumentation is reached by flags that stable Rust has, so that neither a nightly nor cargo-fuzz is
// needed; only the sanitizers would need one, and the code is safe Rust.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

import { cargoEnv, ROOT } from './front-door/build.mjs';
import { door, Stop } from './front-door/terminal.mjs';

const TRIPLE = 'x86_64-unknown-linux-gnu';
/** Apart from the product's, because every crate is compiled with other flags. All fuzz crates share it. */
const TARGET = join(ROOT, 'target', 'fuzz');
/** What cargo-fuzz passes without a sanitizer, see its `project.rs`. */
const FLAGS = [
  '-Cpasses=sancov-module', '-Cllvm-args=-sanitizer-coverage-level=4', '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table', '-Cllvm-args=-sanitizer-coverage-trace-compares', '--cfg', 'fuzzing',
  '-Cllvm-args=-simplifycfg-branch-fold-threshold=0', '-Ccodegen-units=1',
];
/** Longer inputs find nothing that shorter ones do not, and are slower. */
const LONGEST = 16 << 10;
/** One input may take as long as this before it counts as a hang; a run on a busy machine takes microseconds. */
const HANG_S = 20;
const MEMORY_MB = 2048;

/** The targets, by their crate; named in each fuzz crate's manifest. */
function targets() {
  const crates = readdirSync(join(ROOT, 'crates')).filter(crate => existsSync(join(ROOT, 'crates', crate, 'fuzz', 'Cargo.toml')));
  const all = crates.flatMap(crate => {
    const manifest = readFileSync(join(ROOT, 'crates', crate, 'fuzz', 'Cargo.toml'), 'utf8');
    return [...manifest.matchAll(/^path = "fuzz_targets\/(\w+)\.rs"/gm)].map(([, name]) => ({ crate, name }));
  });
  // All are built into one folder, where the second of a name would be run in the first one's place.
  const twice = all.find(({ name }, at) => all.findIndex(other => other.name === name) !== at);
  if (twice !== undefined) throw new Stop(`two targets are called ${twice.name}; rename the one of ${twice.crate}`);
  return all;
}

function arguments_(all) {
  let seconds = 60;
  const wanted = [];
  const args = process.argv.slice(2);
  for (let at = 0; at < args.length; at += 1) {
    const unit = { '--seconds': 1, '--minutes': 60 }[args[at]];
    if (unit === undefined) {
      wanted.push(args[at]);
      continue;
    }
    seconds = Math.round(Number(args[at += 1]) * unit);
    if (!(seconds > 0)) throw new Stop(`${args[at - 1]}: expected a number above 0, got ${args[at]}`);
  }
  const unknown = wanted.find(word => !all.some(({ crate, name }) => word === crate || word === name));
  if (unknown !== undefined) throw new Stop(`there is neither a crate nor a target ${unknown}; there are ${all.map(({ crate, name }) => `${crate}/${name}`).join(', ')}`);
  const chosen = wanted.length === 0 ? all : all.filter(({ crate, name }) => wanted.includes(crate) || wanted.includes(name));
  return { seconds, chosen };
}

function build(crate) {
  const flags = [process.env['CARGO_ENCODED_RUSTFLAGS'], ...FLAGS].filter(Boolean).join('\x1f');
  const { status } = spawnSync('cargo', ['build', '--release', '--locked', '--bins', '--target', TRIPLE], {
    cwd: join(ROOT, 'crates', crate, 'fuzz'),
    // The tests' types of the addon are no business of these builds.
    env: { ...process.env, ...cargoEnv(), CARGO_TARGET_DIR: TARGET, CARGO_ENCODED_RUSTFLAGS: flags, NAPI_TYPE_DEF_TMP_FOLDER: TARGET },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Stop(`the fuzz targets of ${crate} could not be built`);
}

/** Runs one target; what it prints is kept and only shown where it found something. */
async function fuzz({ crate, name }, seconds) {
  const folder = join(ROOT, 'crates', crate, 'fuzz');
  const corpus = join(folder, 'corpus', name);
  const artifacts = join(folder, 'artifacts', name);
  for (const made of [corpus, artifacts]) mkdirSync(made, { recursive: true });
  // Documents that are whole reach what guesses would take hours for.
  const seeds = [join(folder, 'seeds'), join(folder, '..', 'tests', 'golden'), join(folder, '..', 'tests', 'fixtures')].filter(path => existsSync(path));
  const args = [corpus, ...seeds, `-max_total_time=${seconds}`, `-max_len=${LONGEST}`, `-timeout=${HANG_S}`,
    `-rss_limit_mb=${MEMORY_MB}`, '-print_final_stats=1', `-artifact_prefix=${artifacts}/`];
  const child = spawn(join(TARGET, TRIPLE, 'release', name), args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let tail = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', data => { tail = (tail + data).slice(-(1 << 20)); });
  }
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  const stat = key => Number(tail.match(new RegExp(`stat::${key}:\\s*(\\d+)`))?.[1] ?? Number.NaN);
  const covered = Number([...tail.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? Number.NaN);
  const found = status === 0 ? undefined : (tail.match(/Test unit written to (\S+)/)?.[1] ?? `ended with ${status}`);
  return { crate, name, executions: stat('number_of_executed_units'), perSecond: stat('average_exec_per_sec'), peakMb: stat('peak_rss_mb'), covered, found, tail };
}

await door('fuzz', async () => {
  const { seconds, chosen } = arguments_(targets());
  for (const crate of new Set(chosen.map(({ crate }) => crate))) build(crate);
  console.log(`\n${'target'.padEnd(30)} ${'executions'.padStart(12)} ${'per second'.padStart(11)} ${'branches'.padStart(9)} ${'peak MB'.padStart(8)}  found`);
  const results = [];
  for (const target of chosen) {
    const result = await fuzz(target, seconds);
    results.push(result);
    const { crate, name, executions, perSecond, covered, peakMb, found } = result;
    console.log(`${`${crate}/${name}`.padEnd(30)} ${String(executions).padStart(12)} ${String(perSecond).padStart(11)} ${String(covered).padStart(9)} ${String(peakMb).padStart(8)}  ${found ?? 'nothing'}`);
    if (found !== undefined) console.log(result.tail.slice(-4000));
  }
  const failed = results.filter(({ found }) => found !== undefined);
  if (failed.length > 0) throw new Stop(`${failed.length} of ${results.length} targets found something; run the target's program with the file that it wrote to see it again`);
});
