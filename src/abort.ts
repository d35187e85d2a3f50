import { setMaxListeners } from 'node:events';

/**
 * Calls `listener` once when the signal aborts, at once if it has. One signal may end any number of calls, so that
 * Node's warning about more than ten listeners, which is meant for leaks, is switched off as `fetch` does.
 *
 * @returns Lets go of the signal, which may outlive many calls.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  // A signal of another realm or a polyfill has no such limit.
  if (signal instanceof EventTarget) setMaxListeners(Infinity, signal);
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
