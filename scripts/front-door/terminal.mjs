// How the front door speaks: numbered steps with their time, and the output of what they run.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const started = performance.now();
const dim = process.stdout.isTTY ? text => `\x1b[2m${text}\x1b[0m` : text => text;
const bold = process.stdout.isTTY ? text => `\x1b[1m${text}\x1b[0m` : text => text;

/** A failure that the person in front of the terminal can mend: its message is all that is shown. */
export class Stop extends Error {}

/**
 * Runs the steps in order, each under its number, and says how long it took.
 * @param {{ title: string, run: () => Promise<string | void> }[]} steps What a step returns is shown beside its time.
 */
export async function inOrder(steps) {
  for (const [index, { title, run }] of steps.entries()) {
    console.log(`${bold(`[${index + 1}/${steps.length}] ${title}`)}`);
    const from = performance.now();
    const note = await run();
    console.log(dim(`      ${note ?? 'done'} (${seconds(performance.now() - from)})`));
  }
}

/** Runs a program, its output going through as it comes. Rejects unless it ends with 0. */
export async function run(command, args, { env = {}, cwd, quiet = false } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', quiet ? 'ignore' : 'inherit', 'inherit'] });
  // Ctrl-C goes to the whole process group; the child ends by itself, and we with it.
  const ignore = () => {};
  process.on('SIGINT', ignore);
  try {
    const [code, signal] = await Promise.race([once(child, 'exit'), once(child, 'error').then(([error]) => { throw new Stop(`${command} could not be started: ${error.message}`); })]);
    if (signal === 'SIGINT' || code === 130) process.exit(130);
    if (code !== 0) throw new Stop(`${command} ${args.join(' ')} ended with ${signal ?? `status ${code}`}`);
  } finally {
    process.off('SIGINT', ignore);
  }
}

/** Runs `main` and turns a failure into one readable line and exit code 1. */
export async function door(name, main) {
  try {
    await main();
    console.log(dim(`\n${name}: ${seconds(performance.now() - started)} in all`));
  } catch (error) {
    console.error(error instanceof Stop ? `\n${name}: ${error.message}` : error);
    process.exitCode = 1;
  }
}

function seconds(ms) {
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}
