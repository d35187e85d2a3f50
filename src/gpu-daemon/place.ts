import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { invalidInput, UniversalAiError } from '../errors.js';
import { LONGEST_SOCKET_PATH, privateFolder, whyNotPrivate } from '../private-folder.js';

/**
 * The daemon's socket: as given, else `UAT_GPU_SOCKET`, else where `uat gpu daemon` listens without being told.
 *
 * @throws {UniversalAiError} `UAT_INVALID_INPUT`: the path is too long; `UAT_UNSUPPORTED`: a system without Unix sockets.
 */
export function daemonSocket(given: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  const named = given ?? (env['UAT_GPU_SOCKET'] || undefined);
  const socket = named ?? join(privateFolder(env, userId()), 'gpu.sock');
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
    throw invalidInput(given === undefined ? named === undefined ? 'XDG_RUNTIME_DIR' : 'UAT_GPU_SOCKET' : 'options.socketPath', `a path of at most ${LONGEST_SOCKET_PATH} bytes, as many as a Unix socket's may have`, socket);
  }
  return socket;
}

/**
 * Before anything is said to a socket: whether it is this user's. Node cannot ask a connection for its peer, so that the file has to tell,
 * and, in the folder that only this user is to enter, that folder.
 *
 * @throws {UniversalAiError} `UAT_FORBIDDEN`.
 */
export function checkSocket(socket: string, env: NodeJS.ProcessEnv = process.env): void {
  const user = userId();
  const meta = statSync(socket, { throwIfNoEntry: false });
  // That nobody listens there is said by whoever connects.
  if (meta === undefined) return;
  if (meta.uid !== user) throw new UniversalAiError('UAT_FORBIDDEN', `the socket ${socket} belongs to user ${meta.uid}, expected ${user}: nothing is said to it`, { details: { socket } });
  const folder = dirname(socket);
  if (folder !== privateFolder(env, user)) return;
  const why = whyNotPrivate(folder, user, 'the GPU daemon');
  if (why !== undefined) throw new UniversalAiError('UAT_FORBIDDEN', `${folder} cannot hold the GPU daemon's socket: ${why.problem}; ${why.remedy}`, { details: { socket } });
}

function userId(): number {
  const id = process.geteuid?.();
  if (id === undefined) throw new UniversalAiError('UAT_UNSUPPORTED', 'options.mode: host needs Unix sockets, which this system does not have; take process');
  return id;
}
