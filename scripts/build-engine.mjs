// Builds the engine, and where asked a plug-in with which ggml computes on a GPU.
//
//   npm run build:engine               the engine alone
//   npm run build:engine -- --vulkan   and ggml's Vulkan plug-in
//   npm run build:engine -- --cuda     and ggml's CUDA plug-in; needs NVIDIA's compiler
//
// A plug-in is built from the sources, with the options and against the library that the crate llama-cpp-sys-2 has built,
// and laid beside its CPU plug-ins: the engine's build script takes all of them from there. docs/gpu.md says more.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

import { built, cargoEnv, ROOT } from './front-door/build.mjs';
import { installSystemPackages, NEEDED, NEEDED_FOR_VULKAN } from './front-door/system-packages.mjs';
import { door, inOrder, run, Stop } from './front-door/terminal.mjs';

const BACKENDS = {
  vulkan: { title: 'The Vulkan plug-in (the first time about nine minutes on two cores: 1,100 shaders)', packages: NEEDED_FOR_VULKAN, options: () => [] },
  cuda: { title: 'The CUDA plug-in', packages: [], options: () => [`-DCMAKE_CUDA_COMPILER=${nvcc()}`, `-DCMAKE_CUDA_ARCHITECTURES=${process.env['CUDAARCHS'] ?? 'native'}`] },
};

await door('build:engine', async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.find(flag => !flag.startsWith('--') || !Object.hasOwn(BACKENDS, flag.slice(2)));
  if (unknown !== undefined) throw new Stop(`expected --vulkan, --cuda or nothing, got ${unknown}`);
  const backends = asked.map(flag => flag.slice(2));
  // What cannot be built is said before anything else is.
  if (backends.includes('cuda')) nvcc();
  let llama;
  await inOrder([
    { title: 'Debian packages', run: () => installSystemPackages([...NEEDED, ...backends.flatMap(backend => BACKENDS[backend].packages)]) },
    { title: 'The engine (the first time llama.cpp too: about ten minutes on two cores)', run: () => { llama = buildEngine(); } },
    ...backends.map(backend => ({ title: BACKENDS[backend].title, run: () => buildPlugin(backend, llama) })),
    ...(backends.length === 0 ? [] : [{ title: 'The engine beside its plug-ins', run: () => { buildEngine(); } }]),
  ]);
});

/** Builds `uat-engine` and says where its llama.cpp was built: `{ out, source }`. */
function buildEngine() {
  // Of the whole workspace only this binary: another choice of packages gives shared crates other features, and llama.cpp is built again.
  const args = ['build', '--release', '--workspace', '--bin', 'uat-engine', '--locked', '--message-format', 'json-render-diagnostics'];
  const { status, error, stdout } = spawnSync('cargo', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...cargoEnv() }, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (error !== undefined) throw new Stop(`cargo could not be started: ${error.message}`);
  if (status !== 0) throw new Stop(`cargo ${args.join(' ')} ended with status ${status}`);
  const messages = stdout.split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line));
  const script = messages.find(({ reason, package_id: id }) => reason === 'build-script-executed' && /\bllama-cpp-sys-2[@#]/.test(id));
  if (script === undefined) throw new Error('cargo did not say where it has built llama-cpp-sys-2');
  const build = join(script.out_dir, 'build');
  const source = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.+)$/m.exec(readFileSync(join(build, 'CMakeCache.txt'), 'utf8'))?.[1];
  if (source === undefined) throw new Error(`${build}/CMakeCache.txt does not name its sources`);
  return { out: script.out_dir, build, source };
}

async function buildPlugin(backend, { out, build, source }) {
  const folder = built(`ggml-${backend}`);
  const settings = { BACKEND: backend, GGML_SOURCE: join(source, 'ggml'), GGML_BUILD: build, GGML_BASE: join(out, 'lib', 'libggml-base.so') };
  const defines = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`);
  await run('cmake', ['-S', join(ROOT, 'scripts', 'engine-plugin'), '-B', folder, ...defines, ...BACKENDS[backend].options()], { env: cargoEnv() });
  await run('cmake', ['--build', folder, '--target', `ggml-${backend}`, '--parallel'], { env: cargoEnv() });
  const name = `libggml-${backend}.so`;
  const place = join(out, 'backends', name);
  copyFileSync(join(folder, name), `${place}.new`);
  renameSync(`${place}.new`, place);
}

/** The path of NVIDIA's compiler. */
function nvcc() {
  const places = [process.env['CUDACXX'], ...(process.env['PATH'] ?? '').split(':').map(folder => join(folder, 'nvcc')), '/usr/local/cuda/bin/nvcc'];
  const found = places.find(place => place !== undefined && existsSync(place));
  if (found !== undefined) return found;
  throw new Stop("NVIDIA's compiler nvcc is neither what CUDACXX names, nor on the PATH, nor in /usr/local/cuda/bin: install the CUDA toolkit, version 12 or newer, from https://developer.nvidia.com/cuda-downloads, and run this again");
}
