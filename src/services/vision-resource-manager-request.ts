import { fields, oneOf, optionalSignal, text, whole } from '../check.js';
import { invalidInput, UniversalAiError } from '../errors.js';
import { daemonSocket } from '../gpu-daemon/place.js';
import { LONGEST_TIMER_MS } from '../timers.js';
import type { PreparedAllocation, PreparedEstimate, PreparedManager, PreparedModel } from './vision-resource-manager-backend.js';
import type { Priority, UseOptions, WarmModel } from './vision-resource-manager-types.js';

/** The checks of `VisionResourceManager`'s arguments, made once for both backends. What depends on the GPUs the backends check. */

const MIB = 2 ** 20;
/** 8 PiB: sizes stay whole numbers below 2^53 in bytes. */
const MOST_MIB = 2 ** 33;
/** 142,000 years; sums of two times stay whole numbers below 2^53. */
const MOST_MS = 2 ** 52;
/** More than any machine has. */
const MOST_GPUS = 1_024;

/** On whose account leases are that name nobody. */
export const DEFAULT_OWNER = 'default';
const DEFAULT_DURATION_MS = 60_000;
const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_GRACE_MS = 5_000;
/** Between a small model from memory and a large one from disk; the first load measures it. */
const DEFAULT_LOAD_MS = 5_000;
const DEFAULT_HEADROOM_MB = 256;
const DEFAULT_POLL_MS = 500;
/** As a consumer's card has. */
const DEFAULT_FAKE_MB = 24_576;

const PRIORITIES = ['low', 'normal', 'high', 'critical'] as const;
const DRIVERS = ['auto', 'nvml', 'fake', 'none'] as const;
const MODES = ['process', 'host', 'redis'] as const;
const KV_TYPES = ['f16', 'q8_0', 'q4_0'] as const;

const OPTIONS = new Set(['driver', 'nvmlPath', 'fakeGpus', 'mode', 'socketPath', 'redisUrl', 'headroomMb', 'pollMs']);
/** What a manager in this process is told of the GPUs, and a daemon by whoever starts it. */
const OF_GPUS = ['driver', 'nvmlPath', 'fakeGpus', 'headroomMb', 'pollMs'] as const;
const FAKE_GPU = new Set(['name', 'totalMb']);
const REQUEST = new Set(['vramRequired', 'priority', 'duration', 'gpus', 'waitMs', 'preemptible', 'graceMs', 'owner', 'model', 'devices', 'signal']);
const ESTIMATE = new Set(['contextTokens', 'kvType', 'batchTokens', 'flashAttention', 'gpuLayers', 'parallel']);
const MODEL = new Set(['name', 'vramMb', 'loadMs', 'load', 'unload', 'replicas']);
const USE = new Set(['priority', 'waitMs', 'signal']);
const OPTIMIZE = new Set(['targetFreeMb', 'device']);
const WATCH = new Set(['intervalMs', 'signal']);

export function prepareManager(given: unknown): PreparedManager {
  const options = fields('options', given ?? {}, OPTIONS);
  const { nvmlPath, fakeGpus, socketPath, redisUrl } = options;
  const mode = oneOf('options.mode', options['mode'] ?? 'process', MODES);
  if (mode === 'redis') throw new UniversalAiError('UAT_UNSUPPORTED', 'options.mode: redis is not supported yet; take host, whose leases all processes of this user on this machine share');
  if (redisUrl !== undefined) throw invalidInput('options.redisUrl', `nothing with mode ${mode}`, redisUrl);
  if (mode === 'host') return prepareHost(options);
  if (socketPath !== undefined) throw invalidInput('options.socketPath', 'nothing with mode process', socketPath);
  const driver = oneOf('options.driver', options['driver'] ?? (fakeGpus === undefined ? 'auto' : 'fake'), DRIVERS);
  if (fakeGpus !== undefined && driver !== 'fake') throw invalidInput('options.fakeGpus', `nothing with driver ${driver}`, fakeGpus);
  if (nvmlPath !== undefined && driver !== 'auto' && driver !== 'nvml') throw invalidInput('options.nvmlPath', `nothing with driver ${driver}`, nvmlPath);
  return {
    mode,
    socket: undefined,
    driver,
    ...(nvmlPath === undefined ? {} : { nvmlPath: text('options.nvmlPath', nvmlPath) }),
    fakeGpus: driver === 'fake' ? prepareFakeGpus(fakeGpus ?? [{ totalMb: DEFAULT_FAKE_MB }]) : [],
    headroom: Math.ceil(atLeast0('options.headroomMb', options['headroomMb'] ?? DEFAULT_HEADROOM_MB, MOST_MIB) * MIB),
    pollMs: whole('options.pollMs', options['pollMs'] ?? DEFAULT_POLL_MS, 1, LONGEST_TIMER_MS),
  };
}

/** The GPUs are the daemon's: what is said of them here would not be heeded. */
function prepareHost(options: Record<string, unknown>): PreparedManager {
  for (const name of OF_GPUS) {
    if (options[name] !== undefined) throw invalidInput(`options.${name}`, 'nothing with mode host, since the daemon is told that', options[name]);
  }
  const { socketPath } = options;
  return { mode: 'host', socket: daemonSocket(socketPath === undefined ? undefined : text('options.socketPath', socketPath)), driver: 'none', fakeGpus: [], headroom: 0, pollMs: DEFAULT_POLL_MS };
}

function prepareFakeGpus(given: unknown): PreparedManager['fakeGpus'] {
  if (!Array.isArray(given)) throw invalidInput('options.fakeGpus', 'an array', given);
  return given.map((one: unknown, place) => {
    const field = `options.fakeGpus[${place}]`;
    const { name, totalMb } = fields(field, one, FAKE_GPU);
    return { ...(name === undefined ? {} : { name: text(`${field}.name`, name) }), total: mebibytes(`${field}.totalMb`, totalMb) };
  });
}

/**
 * The option that is given and differs from how the manager was made, if there is one. What is not given does not matter.
 *
 * @throws {UniversalAiError} As `prepareManager`.
 */
export function differingOption(given: unknown, made: PreparedManager): string | undefined {
  const wanted = prepareManager(given);
  const named = given as Record<string, unknown>;
  if (made.mode === 'host') {
    const ofGpus = OF_GPUS.find(option => named[option] !== undefined);
    if (ofGpus !== undefined) return ofGpus;
  }
  const means: [option: string, part: keyof PreparedManager][] = [['mode', 'mode'], ['socketPath', 'socket'], ['driver', 'driver'], ['nvmlPath', 'nvmlPath'], ['fakeGpus', 'fakeGpus'], ['headroomMb', 'headroom'], ['pollMs', 'pollMs']];
  return means.find(([option, part]) => named[option] !== undefined && JSON.stringify(wanted[part]) !== JSON.stringify(made[part]))?.[0];
}

/** Called for each lease: no copies of the request are made on the way. */
export function prepareAllocation(given: unknown): PreparedAllocation {
  const request = fields('request', given, REQUEST);
  const { gpus, duration, waitMs, preemptible, graceMs, owner, model, devices } = request;
  const bytes = mebibytes('request.vramRequired', request['vramRequired']);
  optionalSignal('request.signal', request['signal']);
  if (preemptible !== undefined) bool('request.preemptible', preemptible);
  return {
    bytes,
    gpus: gpus === undefined ? 1 : whole('request.gpus', gpus, 1, MOST_GPUS),
    devices: devices === undefined ? undefined : indices('request.devices', devices),
    priority: checkPriority('request.priority', request['priority']),
    durationMs: duration === undefined ? DEFAULT_DURATION_MS : checkDuration('request.duration', duration),
    waitMs: checkWait('request.waitMs', waitMs),
    preemptible: preemptible === true,
    graceMs: graceMs === undefined ? DEFAULT_GRACE_MS : Math.ceil(atLeast0('request.graceMs', graceMs, MOST_MS)),
    owner: owner === undefined ? DEFAULT_OWNER : text('request.owner', owner),
    model: model === undefined ? undefined : text('request.model', model),
  };
}

/** Ms, whole. */
export function checkDuration(field: string, value: unknown): number {
  // Written so that NaN fails.
  if (!(typeof value === 'number' && value > 0 && value <= MOST_MS)) throw invalidInput(field, 'a number of ms above 0', value);
  return Math.ceil(value);
}

function checkWait(field: string, value: unknown): number {
  return value === undefined ? DEFAULT_WAIT_MS : Math.ceil(atLeast0(field, value, MOST_MS));
}

function checkPriority(field: string, value: unknown): Priority {
  return value === undefined ? 'normal' : oneOf(field, value, PRIORITIES);
}

export function prepareEstimate(path: unknown, given: unknown): { path: string; options: PreparedEstimate } {
  const options = fields('options', given ?? {}, ESTIMATE);
  const { contextTokens, gpuLayers } = options;
  const [most, file] = [2 ** 32 - 1, text('path', path)];
  const kvType = oneOf('options.kvType', options['kvType'] ?? 'f16', KV_TYPES);
  const flashAttention = bool('options.flashAttention', options['flashAttention'] ?? true);
  if (kvType !== 'f16' && !flashAttention) throw invalidInput('options.kvType', 'f16 without flashAttention, since llama.cpp quantizes values with it only', kvType);
  return {
    path: file,
    options: {
      kvType,
      flashAttention,
      batchTokens: whole('options.batchTokens', options['batchTokens'] ?? 512, 1, most),
      parallel: whole('options.parallel', options['parallel'] ?? 1, 1, 256),
      ...(contextTokens === undefined ? {} : { contextTokens: whole('options.contextTokens', contextTokens, 1, most) }),
      ...(gpuLayers === undefined ? {} : { gpuLayers: whole('options.gpuLayers', gpuLayers, 0, most) }),
    },
  };
}

export function prepareModel(given: unknown): PreparedModel & Pick<WarmModel, 'load' | 'unload'> {
  const model = fields('model', given, MODEL);
  const { load, unload, loadMs, replicas = 1 } = model;
  return {
    name: text('model.name', model['name']),
    bytes: mebibytes('model.vramMb', model['vramMb']),
    loadMs: loadMs === undefined ? DEFAULT_LOAD_MS : Math.ceil(atLeast0('model.loadMs', loadMs, MOST_MS)),
    replicas: whole('model.replicas', replicas, 1, MOST_GPUS),
    // A second instance is of use only to those that would wait for the first.
    ...(replicas === 1 ? {} : { concurrency: 1 }),
    load: aFunction('model.load', load) as WarmModel['load'],
    unload: aFunction('model.unload', unload) as WarmModel['unload'],
  };
}

export function prepareUse(name: unknown, use: unknown, given: unknown): { name: string; priority: Priority; waitMs: number; signal: UseOptions['signal'] } {
  const options = fields('options', given ?? {}, USE);
  aFunction('use', use);
  return {
    name: text('name', name),
    priority: checkPriority('options.priority', options['priority']),
    waitMs: checkWait('options.waitMs', options['waitMs']),
    signal: optionalSignal('options.signal', options['signal']),
  };
}

export function prepareOptimizeMemory(given: unknown): { targetFree: number | undefined; device: number | undefined } {
  const { targetFreeMb, device } = fields('options', given ?? {}, OPTIMIZE);
  return {
    targetFree: targetFreeMb === undefined ? undefined : Math.ceil(atLeast0('options.targetFreeMb', targetFreeMb, MOST_MIB) * MIB),
    device: device === undefined ? undefined : whole('options.device', device, 0, MOST_GPUS),
  };
}

export function prepareWatch(given: unknown): { intervalMs: number; signal: AbortSignal | undefined } {
  const options = fields('options', given ?? {}, WATCH);
  return { intervalMs: whole('options.intervalMs', options['intervalMs'] ?? 1_000, 1, LONGEST_TIMER_MS), signal: optionalSignal('options.signal', options['signal']) };
}

export function aFunction(field: string, value: unknown): unknown {
  if (typeof value !== 'function') throw invalidInput(field, 'a function', value);
  return value;
}

/** Bytes; more than 0 of them. */
function mebibytes(field: string, value: unknown): number {
  // Written so that NaN fails.
  if (!(typeof value === 'number' && value > 0 && value <= MOST_MIB)) throw invalidInput(field, `a number of MiB above 0, at most ${MOST_MIB}`, value);
  return Math.ceil(value * MIB);
}

function indices(field: string, given: unknown): number[] {
  if (!Array.isArray(given) || given.length === 0) throw invalidInput(field, 'an array of at least one index; leave it out for any GPU', given);
  const checked = given.map((one, place) => whole(`${field}[${place}]`, one, 0, MOST_GPUS));
  const twice = checked.findIndex((one, place) => checked.indexOf(one) !== place);
  if (twice >= 0) throw invalidInput(`${field}[${twice}]`, 'each index once', checked[twice]);
  return checked;
}

function bool(field: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalidInput(field, 'true or false', value);
  return value;
}

function atLeast0(field: string, value: unknown, most: number): number {
  if (!(typeof value === 'number' && value >= 0 && value <= most)) throw invalidInput(field, `a number of at least 0 and at most ${most}`, value);
  return value;
}
