// npm run validate:rust [-- SERVICE ...] [--json]: every case of the contract, and every recorded vector, on both backends; a table of them side
// by side, and exit code 1 where they disagree. What is missing is set up first.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import { built, ROOT, SET_UP, TEST_MODELS } from './front-door/build.mjs';
import { door, inOrder, run, Stop } from './front-door/terminal.mjs';
import { compared, disagreements, SERVICES } from './validate/compared.mjs';
import { table } from './validate/table.mjs';

const asked = process.argv.slice(2).filter(word => word !== '--json');
const isForPrograms = process.argv.includes('--json');

await door('validate', async () => {
  const unknown = asked.find(service => !Object.keys(SERVICES).includes(service));
  if (unknown !== undefined) throw new Stop(`there is no service ${unknown}; expected ${Object.keys(SERVICES).join(', ')}, or nothing for all`);
  const folder = mkdtempSync(join(tmpdir(), 'uat-validate-'));
  try {
    const report = join(folder, 'report.json');
    await inOrder([...SET_UP, ...TEST_MODELS, { title: 'Every case of the contract, on both backends', run: () => contract(asked, report) }]);
    const services = compared(JSON.parse(readFileSync(report, 'utf8')));
    if (services.length === 0) throw new Stop('no case was run');
    console.log(isForPrograms ? JSON.stringify(services, null, 1) : `\n${table(services)}`);
    const wrong = disagreements(services);
    for (const line of wrong) console.error(line);
    if (wrong.length > 0) throw new Stop(`${wrong.length} ${wrong.length === 1 ? 'case fails' : 'cases fail'}, or the backends disagree`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** What fails is in the report; whoever waits sees how far it is. */
async function contract(services, report) {
  const files = services.map(service => `test/contract/${service}`);
  const args = ['vitest', 'run', '--project', 'contract', ...(files.length === 0 ? ['test/contract/'] : files), '--reporter=dot', '--reporter=json', `--outputFile.json=${report}`];
  await run('npx', args, { cwd: ROOT, env: { UAT_ENGINE_PATH: built('uat-engine'), UAT_TEST_BACKENDS: 'native,typescript' } }).catch(error => {
    if (!(error instanceof Stop)) throw error;
  });
}
