import { invalidInput, UniversalAiError } from '../errors.js';

/**
 * Which commands `command()` lets through. Connections are shared by all callers, so that whatever changes the state of
 * one is refused; whatever waits for others gets a connection of its own.
 */

/** What would change a shared connection or never answer, and what to use instead. */
const REFUSED: Record<string, string> = {
  SUBSCRIBE: 'subscribe()', PSUBSCRIBE: 'subscribe() with pattern: true', SSUBSCRIBE: 'subscribe()',
  UNSUBSCRIBE: 'leave the loop over subscribe()', PUNSUBSCRIBE: 'leave the loop over subscribe()', SUNSUBSCRIBE: 'leave the loop over subscribe()',
  MONITOR: 'redis-cli monitor', SYNC: 'redis-cli --rdb', PSYNC: 'redis-cli --rdb',
  SELECT: 'the database in the url of initialize()', AUTH: 'the user and password in the url of initialize()', HELLO: 'the user and password in the url of initialize()',
  QUIT: 'close()', RESET: 'close() and initialize()',
  MULTI: 'a script with EVAL', EXEC: 'a script with EVAL', DISCARD: 'a script with EVAL', WATCH: 'a script with EVAL', UNWATCH: 'a script with EVAL',
  ASKING: 'redis+cluster:// in the url of initialize()', READONLY: 'redis+cluster:// in the url of initialize()', READWRITE: 'redis+cluster:// in the url of initialize()',
};
/** Subcommands of CLIENT that change the connection. */
const REFUSED_CLIENT = ['REPLY', 'TRACKING', 'CACHING', 'SETNAME', 'SETINFO', 'NO-EVICT', 'NO-TOUCH'];

const BLOCKING = new Set(['BLPOP', 'BRPOP', 'BLMOVE', 'BRPOPLPUSH', 'BLMPOP', 'BZPOPMIN', 'BZPOPMAX', 'BZMPOP', 'WAIT', 'WAITAOF']);

export interface CheckedCommand {
  /** In capitals. */
  name: string;
  args: (string | Uint8Array)[];
  blocking: boolean;
}

export function checkCommand(given: unknown, args: unknown[]): CheckedCommand {
  if (typeof given !== 'string' || !/^[\w.-]{1,64}$/.test(given)) throw invalidInput('name', 'the name of a Redis command such as HGETALL', given);
  const name = given.toUpperCase();
  const checked = args.map((arg, index) => {
    if (typeof arg === 'string' || arg instanceof Uint8Array) return arg;
    if (typeof arg === 'number' && Number.isFinite(arg)) return String(arg);
    throw invalidInput(`args[${index}]`, 'a string, a finite number or a Uint8Array', arg);
  });
  const instead = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
  if (instead !== undefined) throw refused(name, instead);
  const first = textOf(checked[0]);
  if (name === 'CLIENT' && REFUSED_CLIENT.includes(first)) throw refused(`CLIENT ${first}`, 'a client of your own');
  if (name === 'SCRIPT' && first === 'DEBUG') throw refused('SCRIPT DEBUG', 'redis-cli --ldb');
  return { name, args: checked, blocking: isBlocking(name, checked) };
}

function isBlocking(name: string, args: (string | Uint8Array)[]): boolean {
  if (BLOCKING.has(name)) return true;
  if (name !== 'XREAD' && name !== 'XREADGROUP') return false;
  // Options stand before STREAMS; behind it a key may be called BLOCK.
  for (const arg of args) {
    const word = textOf(arg);
    if (word === 'STREAMS') return false;
    if (word === 'BLOCK') return true;
  }
  return false;
}

function textOf(arg: string | Uint8Array | undefined): string {
  return (typeof arg === 'string' ? arg : arg === undefined ? '' : Buffer.from(arg).toString('latin1')).toUpperCase();
}

function refused(name: string, instead: string): UniversalAiError {
  return new UniversalAiError('UAT_INVALID_INPUT', `command: ${name} would change a connection that all callers share; use ${instead}`, { details: { field: 'name', got: name, instead } });
}
