// npm test: sets up what is missing and runs every test. `npm test -- rust|node|e2e` runs a part; `npm run test:soak` what takes long.

import { built, cargoEnv, ROOT, SET_UP, TEST_MODELS } from './front-door/build.mjs';
import { installSystemPackages, NEEDED_FOR_TESTS } from './front-door/system-packages.mjs';
import { door, inOrder, run, Stop } from './front-door/terminal.mjs';

const cargo = (...args) => () => run('cargo', args, { cwd: ROOT, env: cargoEnv() });
const npm = (...args) => () => run('npm', ['run', '--silent', ...args], { cwd: ROOT, env: { UAT_ENGINE_PATH: built('uat-engine') } });

/** Where there is none to be had, the tests of the demo page say that they were left out. */
async function browser() {
  try {
    return await installSystemPackages(NEEDED_FOR_TESTS);
  } catch (error) {
    if (process.env['UAT_NO_INSTALL'] === '1') throw error;
    return `none to be had (${error.message.split('\n')[0]}): what needs it is left out`;
  }
}

const PARTS = {
  rust: [
    ...TEST_MODELS,
    { title: 'Rust: formatting', run: cargo('fmt', '--all', '--check') },
    { title: 'Rust: lints', run: cargo('clippy', '--release', '--workspace', '--all-targets', '--all-features', '--locked', '--', '--deny', 'warnings') },
    { title: 'Rust: tests', run: cargo('test', '--release', '--workspace', '--locked') },
  ],
  node: [
    ...TEST_MODELS,
    { title: 'TypeScript: types', run: npm('typecheck') },
    { title: 'TypeScript: lints', run: npm('lint') },
    { title: 'The contract, on both backends', run: npm('test:ts:contract') },
  ],
  e2e: [
    { title: 'A browser without a window', run: browser },
    { title: 'Real clients against the real server and model', run: npm('test:e2e') },
    { title: 'The tarballs, installed into an empty project', run: npm('test:packaging') },
  ],
};

/** Long repetitions of what `npm test` samples; not among all parts. */
const SOAK = [
  { title: 'A thousand workers of a study, killed at random moments', run: () => run('cargo', ['test', '--release', '--locked', '--package', 'parameter-analytics-service', '--test', 'kill'], { cwd: ROOT, env: { ...cargoEnv(), UAT_TEST_KILLS: '1000' } }) },
  { title: 'Reads of the cache through 1,000 killed connections', run: () => run('cargo', ['test', '--release', '--locked', '--package', 'redis-service', '--test', 'redis', 'coherence'], { cwd: ROOT, env: { ...cargoEnv(), UAT_SOAK: '1' } }) },
  { title: 'A hundred million operations on GPU memory, with crashes', run: () => run('cargo', ['test', '--release', '--locked', '--package', 'vision-resource-manager', '--test', 'properties', '--', '--nocapture', 'a_million'], { cwd: ROOT, env: { ...cargoEnv(), UAT_TEST_OPERATIONS: '100000000' } }) },
  { title: 'A million requests to the gateway, with cancels and faults', run: cargo('test', '--release', '--locked', '--package', 'http-api', '--test', 'soak', '--', '--ignored', '--nocapture') },
];

await door('test', async () => {
  const asked = process.argv.slice(2);
  if (asked.length === 1 && asked[0] === 'soak') return await inOrder([...SET_UP, ...SOAK]);
  const unknown = asked.find(part => !(part in PARTS));
  if (unknown !== undefined) throw new Stop(`there is no part ${unknown}; expected ${Object.keys(PARTS).join(', ')}, or nothing for all`);
  const parts = asked.length === 0 ? Object.keys(PARTS) : asked;
  // Two parts may begin with the same steps.
  await inOrder([...new Set([...SET_UP, ...parts.flatMap(part => PARTS[part])])]);
});
