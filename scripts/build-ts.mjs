#!/usr/bin/env node
// npm run build:ts: `src/` becomes `dist/`. Types come from tsc, one file for each source file; code is put together into few files,
// because Node takes about half a millisecond for each module that it loads, and there are two hundred.

import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { rolldown } from 'rolldown';

import { ROOT } from './front-door/build.mjs';
import { run } from './front-door/terminal.mjs';

const source = path.join(ROOT, 'src');
const out = path.join(ROOT, 'dist');

/** What package.json exports: each is a file of its own, as it is named there. */
const entries = ['index', 'bin/uat', ...inFolder('services', name => name.endsWith('-rust')), ...inFolder('adapters', () => true)];

rmSync(out, { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries(entries.map(entry => [entry, path.join(source, `${entry}.ts`)])),
  platform: 'node',
  // Whatever is not ours is loaded from node_modules.
  external: /^[^./]/,
});
// The loader looks for the addon two folders above its own file, in `src/native` as here.
await bundle.write({ dir: out, format: 'esm', chunkFileNames: 'shared/[name].js' });
await bundle.close();
await run('npx', ['tsc', '-p', 'tsconfig.build.json'], { cwd: ROOT });

function inFolder(folder, wanted) {
  const names = readdirSync(path.join(source, folder)).map(file => path.basename(file, '.ts'));
  return names.filter(wanted).map(name => `${folder}/${name}`);
}
