import { readdirSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';

import { UniversalAiError } from '../../errors.js';

/** The network that finds speech, as the catalogue of `crates/model-store` has it. */
const VAD = { name: 'silero-vad-6', file: 'silero_vad_16k_op15.onnx', size: 1_289_603 } as const;

/**
 * The file of the network that finds speech: by its name where the core's store looks for it, or by a path.
 *
 * @throws {UniversalAiError} `UAT_MODEL_NOT_FOUND`: another name, or it was not pulled.
 */
export function vadFile(name: string, env: NodeJS.ProcessEnv = process.env): string {
  if (name === VAD.name) return pulled(env);
  if (!name.includes('/')) throw new UniversalAiError('UAT_MODEL_NOT_FOUND', `unknown model \`${name}\`; did you mean \`${VAD.name}\`?`, { details: { model: name, nearest: [VAD.name] } });
  const path = resolve(name);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) throw new UniversalAiError('UAT_MODEL_NOT_FOUND', `there is no file at ${path}: expected a model file (.gguf)`);
  return path;
}

function pulled(env: NodeJS.ProcessEnv): string {
  const { own, others } = folders(env);
  const places = [own, ...others.flatMap(folder => [folder, ...hubSnapshots(folder)])];
  const found = places.map(folder => join(folder, VAD.file)).find(hasSize);
  if (found !== undefined) return found;
  throw new UniversalAiError('UAT_MODEL_NOT_FOUND', `model "${VAD.name}" is not on this machine (looked in ${[own, ...others].join(', ')}): run \`uat models pull ${VAD.name}\``);
}

/**
 * Ours is `UAT_MODELS`, else `$XDG_CACHE_HOME/uat/models`, else `~/.cache/uat/models`. Read beside it: `LLAMA_CACHE`, `HF_HUB_CACHE`,
 * `$HF_HOME/hub`, and the defaults that `UAT_MODELS` put aside.
 */
function folders(env: NodeJS.ProcessEnv): { own: string; others: string[] } {
  const folder = (name: string, below = ''): string[] => env[name] ? [join(env[name], below)] : [];
  const xdg = folder('XDG_CACHE_HOME', 'uat/models').filter(path => isAbsolute(path));
  const [own, ...aside] = [...folder('UAT_MODELS'), ...xdg, ...folder('HOME', '.cache/uat/models')].map(path => resolve(path));
  if (own === undefined) throw new UniversalAiError('UAT_STORAGE', 'neither UAT_MODELS nor XDG_CACHE_HOME nor HOME says where models lie: set UAT_MODELS to a folder');
  const borrowed = [...folder('LLAMA_CACHE'), ...folder('HF_HUB_CACHE'), ...folder('HF_HOME', 'hub')].map(path => resolve(path));
  return { own, others: [...new Set([...borrowed, ...aside])].filter(path => path !== own) };
}

/** The snapshot folders of a Hugging Face hub cache: `models--ORG--REPO/snapshots/REVISION`. */
function hubSnapshots(hub: string): string[] {
  const repositories = subfolders(hub).filter(name => name.startsWith('models--')).map(name => join(hub, name, 'snapshots'));
  return repositories.flatMap(snapshots => subfolders(snapshots).map(revision => join(snapshots, revision))).sort();
}

/** One that does not exist or cannot be read holds nothing for us: it belongs to another program. */
function subfolders(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Nothing else is checked, as in the core: it costs nothing, and catches what a crash or a full disk leaves behind. */
function hasSize(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true && found.size === VAD.size;
}
