import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { Cookie } from 'express-session';
import ts from 'typescript';
import { expect } from 'vitest';

/** The lifecycle test that connect-redis 9 publishes in its package (`index_test.ts`), made to run over another store. */

/**
 * What is not asked as published, word for word, and what is asked instead. All but the last follow from one decision:
 * ids are stored as their SHA-256, so that a dump of Redis logs nobody in.
 */
export const CHANGED: { published: string; instead: string; why: string }[] = [
  {
    published: 'res = await store.ids()\n  res.sort()\n  expect(res).toEqual(["123", "456"])',
    instead: 'expect("ids" in store).toBe(false)',
    why: 'no store of ours can say the ids; express-session knows no such method',
  },
  {
    published: 'res.sort((a: any, b: any) => (a.id > b.id ? 1 : -1))',
    instead: 'res.sort((a: any, b: any) => ("foo" in a ? -1 : 1))',
    why: 'the sessions that all() gives carry no ids',
  },
  { published: '{id: "123", foo: "bar",', instead: '{foo: "bar",', why: 'as above' },
  { published: '{id: "456", cookie:', instead: '{cookie:', why: 'as above' },
  {
    published: 'new Date(Date.now() + 1000)',
    instead: 'new Date(Date.now() + 60_000)',
    why: '1,000 saves one after the other, each gone after a second and then counted, measure how busy the machine is',
  },
];

/** The raw reads of the test, `client.ttl('sess:123')`. */
export interface RawClient {
  ttl(key: string): Promise<number>;
}

/** @param ttl Seconds that are left of the session with this id, wherever we keep it. */
export function rawClient(ttl: (id: string) => Promise<number>): RawClient {
  return {
    ttl: key => {
      const id = /^sess:(.+)$/.exec(key)?.[1];
      if (id === undefined) throw new Error(`the published test reads the key ${key}, which is no session's`);
      return ttl(id);
    },
  };
}

export type Lifecycle = (store: object, client: RawClient) => Promise<void>;

/** Fails if connect-redis publishes another test than the one that was read. */
export function publishedLifecycleTest(): Lifecycle {
  const file = createRequire(import.meta.url).resolve('connect-redis').replace(/dist\/[^/]+$/, 'index_test.ts');
  const whole = readFileSync(file, 'utf8');
  const from = whole.indexOf('async function lifecycleTest(');
  if (from === -1) throw new Error(`${file} has no lifecycleTest any more`);
  let text = whole.slice(from);
  for (const { published, instead } of CHANGED) {
    if (text.split(published).length !== 2) throw new Error(`${file} says this not exactly once any more: ${published}`);
    text = text.replace(published, instead);
  }
  const { outputText } = ts.transpileModule(text, { compilerOptions: { target: ts.ScriptTarget.ES2022 } });
  return new Function('expect', 'Cookie', `${outputText}\nreturn lifecycleTest;`)(expect, Cookie) as Lifecycle;
}
