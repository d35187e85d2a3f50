// What we take from others: is it what was reviewed, may it be used, is anything known against it?
//
//   npm run check:supply     the list of licences is current; cargo deny, cargo audit and npm audit have nothing to say
//   npm run licences         writes the list, THIRD_PARTY_LICENSES.md
//   node scripts/supply.mjs texts FILE      writes the texts of the licences, as packages carry them
//   npm run sbom             writes packages/uat.cdx.json and packages/npm.cdx.json (CycloneDX)

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

import { ROOT } from './front-door/build.mjs';
import { door, Stop } from './front-door/terminal.mjs';
import { venv } from './front-door/venv.mjs';
import { crates, OTHERS, packages, textsOf } from './supply/dependencies.mjs';
import { bill } from './supply/bill.mjs';

const LIST = join(ROOT, 'THIRD_PARTY_LICENSES.md');
const TOOLS = join(ROOT, '.cache', 'supply-tools');

// --- licences ------------------------------------------------------------------------------------------------------

function licences() {
  writeFileSync(LIST, list());
  console.log('wrote THIRD_PARTY_LICENSES.md');
}

function texts(file) {
  if (file === undefined) throw new Stop('expected the file to be written');
  writeFileSync(file, allTexts());
}

function list() {
  const row = ({ name, version, licence, where }) => `| ${name} | ${version} | ${licence} |${where === undefined ? '' : ` ${where} |`}`;
  return [
    '# What is shipped beside our own code, and under which licences',
    '',
    'Written by `npm run licences`; `npm run check:supply` tells when it is out of date. The texts of the licences lie in the',
    'packages, in `THIRD_PARTY_LICENSES.txt`.',
    '',
    '## In `uat`, the engine and the Node addon', '', '| crate | version | licence |', '| --- | --- | --- |', ...crates().map(row), '',
    '## Beside them', '', '| what | version | licence | where |', '| --- | --- | --- | --- |', ...OTHERS.map(row), '',
    '## Installed with the npm package', '', '| package | version | licence |', '| --- | --- | --- |', ...packages().map(row), '',
  ].join('\n');
}

/** Each text once, with those whose it is. */
function allTexts() {
  const owners = new Map();
  for (const one of [...crates(), ...packages()]) {
    const own = textsOf(one);
    for (const text of own.length > 0 ? own : [`(no text in the package; its licence is ${one.licence})`]) {
      owners.set(text, [...(owners.get(text) ?? []), `${one.name} ${one.version}`]);
    }
  }
  return [...owners].map(([text, names]) => `${names.join(', ')}\n\n${text}\n`).join(`\n${'='.repeat(100)}\n\n`);
}

// --- check ---------------------------------------------------------------------------------------------------------

/** Found by nobody, so that it is no failure, but told: the reason why something was not looked at. */
class NotChecked extends Error {}

function check() {
  const checks = [
    ['THIRD_PARTY_LICENSES.md is current', () => {
      const written = existsSync(LIST) ? readFileSync(LIST, 'utf8') : '';
      if (written !== list()) throw new Error('it is not: npm run licences');
    }],
    ['every crate and package of the lock files has a checksum', checksums],
    ['cargo deny: licences, duplicates, sources', () => tool('cargo-deny', ['--locked', 'check', '--hide-inclusion-graph', 'licenses', 'bans', 'sources'])],
    ['cargo deny: advisories', () => advisories('cargo-deny', ['--locked', 'check', '--hide-inclusion-graph', 'advisories'])],
    ['cargo audit', () => advisories('cargo-audit', ['audit', '--deny', 'yanked', '--deny', 'unsound'])],
    ['npm audit', npmAudit],
  ];
  let failed = 0;
  for (const [title, run] of checks) {
    try {
      run();
      console.log(`ok           ${title}`);
    } catch (error) {
      const isUnchecked = error instanceof NotChecked;
      if (!isUnchecked) failed += 1;
      console.log(`${isUnchecked ? 'NOT CHECKED ' : 'FAILED      '} ${title}: ${error.message}`);
    }
  }
  if (failed > 0) throw new Stop(`${failed} of ${checks.length} checks failed`);
}

function checksums() {
  const lock = readFileSync(join(ROOT, 'Cargo.lock'), 'utf8');
  for (const entry of lock.split('[[package]]').slice(1)) {
    const name = entry.match(/name = "(.+)"/)?.[1];
    if (entry.includes('\nsource = ') && !/\nchecksum = "[0-9a-f]{64}"/.test(entry)) throw new Error(`Cargo.lock: ${name} has none`);
  }
  const entries = Object.entries(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages);
  for (const [path, { integrity, link }] of entries) {
    if (path.startsWith('node_modules/') && !link && !(integrity ?? '').startsWith('sha512-')) throw new Error(`package-lock.json: ${path} has none`);
  }
}

function tool(name, args) {
  let bin;
  try {
    bin = venv(TOOLS, join(ROOT, 'scripts', 'supply', 'requirements.txt'));
  } catch (error) {
    throw new NotChecked(`${name} could not be installed: ${lastLine(error.message)}`);
  }
  const { status, stdout, stderr } = spawnSync(join(bin, name), args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (status !== 0) throw new Error(`\n${stdout}${stderr}`);
}

/** The databases of advisories are on the network; without it nothing is known, which is not the same as nothing found. */
function advisories(name, args) {
  try {
    tool(name, args);
  } catch (error) {
    const unreachable = /failed to (fetch|open|clone|resolve)|unable to fetch|couldn't fetch|could not (connect|resolve)|error loading advisory database|dns error|timed out|Network|network|IO error|I\/O error/.exec(error.message);
    if (unreachable === null) throw error;
    throw new NotChecked(`the advisory database could not be fetched (${lastLine(error.message)})`);
  }
}

function npmAudit() {
  const { status, stdout, stderr } = spawnSync('npm', ['audit', '--omit=dev', '--omit=peer', '--json'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 });
  let report;
  try {
    report = JSON.parse(stdout);
  } catch {
    throw new NotChecked(`npm gave no report: ${lastLine(stderr)}`);
  }
  if (report.error !== undefined || report.message !== undefined) throw new NotChecked(`the registry gave no advisories: ${report.error?.summary || report.message || 'it answers no such question'}`);
  if (status !== 0) throw new Error(Object.entries(report.vulnerabilities).map(([name, { severity }]) => `${name} (${severity})`).join(', '));
}

function lastLine(text) {
  return text.trim().split('\n').at(-1);
}

// --- bill of materials ---------------------------------------------------------------------------------------------

function sbom() {
  const folder = join(ROOT, 'packages');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'uat.cdx.json'), `${JSON.stringify(bill(crates(), OTHERS), null, 1)}\n`);
  console.log('wrote packages/uat.cdx.json: the crates in uat, the engine and the addon');
  const { status, stdout, stderr } = spawnSync('npm', ['sbom', '--sbom-format=cyclonedx', '--package-lock-only', '--omit=dev', '--omit=peer'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (status !== 0) throw new Stop(`npm sbom ended with ${status}: ${stderr}`);
  writeFileSync(join(folder, 'npm.cdx.json'), stdout);
  console.log('wrote packages/npm.cdx.json: the npm packages');
}

await door('supply', async () => {
  const [command, ...args] = process.argv.slice(2);
  const commands = { check, licences, texts, sbom };
  if (!(command in commands)) throw new Stop(`expected ${Object.keys(commands).join(', ')}, got ${command ?? 'nothing'}`);
  await commands[command](...args);
});
