#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

import { platformFolder, platformPackage } from '../native/loader.js';
import { VERSION } from '../version.js';

/** Signals that a terminal or a supervisor sends to whoever is in front; `uat` drains on them. */
const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

const folder = platformFolder();
const program = folder === undefined ? undefined : join(folder, 'bin', 'uat');

if (program === undefined || !existsSync(program)) {
  const name = platformPackage();
  const remedy = name === undefined ? `there is no native package for ${process.platform}-${process.arch} yet` : `install ${name}@${VERSION}, or install without --omit=optional`;
  console.error(`uat: the program is not here (${program ?? 'no platform package'}); ${remedy}`);
  process.exitCode = 1;
} else {
  const child = spawn(program, process.argv.slice(2), { stdio: 'inherit' });
  // Kept until the child ends: the default action would end this process and leave the child behind.
  for (const signal of PASSED_ON) process.on(signal, () => child.kill(signal));
  child.on('error', error => {
    console.error(`uat: ${program} could not be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    // As a shell reports it.
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
    for (const passed of PASSED_ON) process.removeAllListeners(passed);
  });
}
