import { UniversalAiError } from '../../errors.js';

/** What Redis answers, as our errors and as JavaScript values. */

/** Refusals that pass: Redis is there, but takes nothing for now. */
const PASSING = new Set(['OOM', 'READONLY', 'LOADING', 'BUSY', 'MISCONF', 'CLUSTERDOWN', 'MASTERDOWN', 'TRYAGAIN', 'NOREPLICAS', 'MOVED', 'ASK']);
const LOGIN = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM']);

/** Whether Redis itself said it; any other error of ioredis means that the connection is gone. */
export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** The word in capitals that an error reply begins with. */
export function replyCode(error: Error): string {
  return /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR';
}

/** @param key Named where the error is about one key. */
export function fromReply(error: Error, key?: string): UniversalAiError {
  const reply = error.message;
  const code = replyCode(error);
  const details = { reply, ...(key === undefined ? {} : { key }) };
  if (LOGIN.has(code)) return new UniversalAiError('UAT_UNAUTHORIZED', `Redis refuses it to this user: ${reply}`, { details, cause: error });
  if (PASSING.has(code)) return new UniversalAiError('UAT_STORAGE', `Redis does not take it now: ${reply}`, { retryable: true, details, cause: error });
  if (code === 'WRONGTYPE') return new UniversalAiError('UAT_CONFLICT', `${key === undefined ? 'the key' : JSON.stringify(key)} holds something other than a value: ${reply}`, { details, cause: error });
  return new UniversalAiError('UAT_UPSTREAM', `Redis refused it: ${reply}`, { details, cause: error });
}

/** Whether a cache read that got this is a miss. */
export function isPassing(error: UniversalAiError): boolean {
  return error.code === 'UAT_STORAGE';
}

export function away(lastError: string | undefined): UniversalAiError {
  return new UniversalAiError('UAT_STORAGE', `Redis is away${lastError === undefined ? '' : ` (${lastError})`}; try again when status().mode is redis`, { retryable: true });
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A reply as `command()` gives it: bulk strings as strings if they are UTF-8, else as bytes. */
export function replyValue(reply: unknown): unknown {
  if (reply instanceof Uint8Array) {
    try {
      return UTF8.decode(reply);
    } catch {
      return Uint8Array.from(reply);
    }
  }
  if (Array.isArray(reply)) return reply.map(replyValue);
  if (reply instanceof Error) return fromReply(reply);
  if (typeof reply === 'object' && reply !== null) return Object.fromEntries(Object.entries(reply).map(([key, value]) => [key, replyValue(value)]));
  return reply;
}
