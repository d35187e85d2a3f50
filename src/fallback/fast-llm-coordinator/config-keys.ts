import { describeValue } from '../../errors.js';
import { named, type Shape, shaped, type Wrong } from './config-shape.js';

const KEY: Shape = {
  name: 'text', hash: 'text', models: 'texts', rpm: 'count', tpm: 'count', budget_usd_per_day: 'number', admin: 'flag', expires: 'text', id: 'text', created: 'text',
};
const LIMITS: Shape = { on_outage: ['refuse', 'local'] };
const PRICE: Shape = { input: 'number', output: 'number', cached_input: 'number', long_prompt: 'table' };
const LONG_PROMPT: Shape = { above: 'whole', input: 'number', output: 'number', cached_input: 'number' };

/** What the server reads of the same file: checked here, used there. */
export function checkKeys(keys: unknown[], limits: unknown, wrong: Wrong): void {
  shaped(limits, LIMITS, 'limits', wrong);
  const names = new Set<string>();
  keys.forEach((table, index) => {
    const path = `keys[${index}]`;
    const key = shaped(table, KEY, path, wrong);
    const name = named(key, path, 'a key', wrong);
    if (names.has(name)) throw wrong(`${path}.name`, `two keys are named \`${name}\`: names must be unique`);
    names.add(name);
    if (!/^sha256:[0-9a-f]{64}$/i.test(String(key['hash']))) throw wrong(`${path}.hash`, 'expected "sha256:" and 64 hexadecimal digits, as `uat keys new` prints it');
    const budget = key['budget_usd_per_day'] as number | undefined;
    if (budget !== undefined && !(budget > 0)) throw wrong(`${path}.budget_usd_per_day`, `key \`${name}\`: \`budget_usd_per_day\`: expected USD above 0, got ${describeValue(budget)}`);
  });
}

/** The price of a model, which only the server counts with. */
export function checkPrice(price: unknown, path: string, wrong: Wrong): void {
  if (price === undefined) return;
  const { long_prompt: long, ...base } = shaped(price, PRICE, path, wrong);
  const parts: [string, Record<string, unknown>][] = [[path, base]];
  if (long !== undefined) parts.push([`${path}.long_prompt`, shaped(long, LONG_PROMPT, `${path}.long_prompt`, wrong)]);
  for (const [at, table] of parts) {
    for (const [field, value] of Object.entries(table)) {
      if (!((value as number) >= 0)) throw wrong(`${at}.${field}`, `\`${at}.${field}\`: expected USD per million tokens, from 0 on, got ${describeValue(value)}`);
    }
  }
}
