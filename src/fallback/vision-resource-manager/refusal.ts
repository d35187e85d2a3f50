/** What refusals are as errors, to the word as the Rust core says them. `vision-resource-manager/src/service/error.rs`. */

import { UniversalAiError } from '../../errors.js';
import type { Ended, Refusal } from './manager/decision.js';

const MIB = 2 ** 20;

export function noGpu(tried: string): UniversalAiError {
  return new UniversalAiError('UAT_NO_GPU', `there is no GPU: ${tried}`);
}

/** What a refused request is told. */
export function ofRequest(refusal: Refusal): UniversalAiError {
  switch (refusal.why) {
    case 'queue_full': return new UniversalAiError('UAT_OVERLOADED', `${refusal.waiting} requests wait for GPU memory already: try again later, or ask for less at a time`, { retryable: true, details: { waiting: refusal.waiting } });
    case 'invalid': return new UniversalAiError('UAT_INVALID_INPUT', refusal.problem);
    case 'load_failed': return new UniversalAiError('UAT_ENGINE_UNAVAILABLE', 'the model could not be loaded; it is loaded again for the next that wants to use it', { retryable: true });
    case 'cancelled': return new UniversalAiError('UAT_CANCELLED', 'the request was cancelled');
    default: return new UniversalAiError('UAT_INSUFFICIENT_VRAM', insufficient(refusal), { retryable: !(refusal.why === 'insufficient' && !refusal.can_ever_fit), details: detailsOf(refusal) });
  }
}

/** What somebody is told whose lease is not as it thought. */
export function ofLease(lease: number, ended: Ended | undefined): UniversalAiError {
  return ended === 'preempted'
    ? new UniversalAiError('UAT_PREEMPTED', `lease ${lease} was taken back for a request of higher priority`, { retryable: true, details: { lease } })
    : new UniversalAiError('UAT_LEASE_EXPIRED', `lease ${lease} has ended: its time was over, or it was released; allocate anew`, { retryable: true, details: { lease } });
}

function detailsOf(refusal: Refusal): Record<string, unknown> {
  switch (refusal.why) {
    case 'insufficient': return { askedMb: refusal.asked / MIB, largestFreeMb: refusal.largest_free / MIB, ...(refusal.device === undefined ? {} : { device: refusal.device }), leasedMb: refusal.leased / MIB, externalMb: refusal.external / MIB, lost: refusal.lost ?? 0, canEverFit: refusal.can_ever_fit, ...(refusal.expected_wait_ms === undefined ? {} : { expectedWaitMs: refusal.expected_wait_ms }) };
    case 'overuse': return { device: refusal.device, leasedMb: refusal.leased / MIB, usedMb: refusal.used / MIB };
    case 'quota': return { quotaMb: refusal.quota / MIB, leasedMb: refusal.leased / MIB };
    default: return {};
  }
}

function insufficient(refusal: Refusal): string {
  const mib = (bytes: number): number => Math.floor(bytes / MIB);
  switch (refusal.why) {
    case 'insufficient': {
      const at = refusal.device === undefined ? '' : ` (on GPU ${refusal.device})`;
      const { lost = 0 } = refusal;
      const gone = lost === 0 ? '' : lost === 1 ? '; a GPU has vanished' : `; ${lost} GPUs have vanished`;
      const { expected_wait_ms: expected = 0 } = refusal;
      const until = expected === 0 ? '' : `; what is in its way is expected to end within ${Math.ceil(expected / 1_000)} s, unless it is renewed`;
      const then = !refusal.can_ever_fit ? 'it would not fit if nothing else were there: ask for less, or for fewer GPUs'
        : refusal.leased + refusal.external === 0 ? 'wait until it is there again, or ask for less'
        : refusal.leased === 0 ? 'other programs have the rest: wait until they end, or ask for less'
        : 'wait longer, ask for less, or release leases';
      return `${mib(refusal.asked)} MiB were asked for, the largest free block has ${mib(refusal.largest_free)} MiB${at}; leases hold ${mib(refusal.leased)} MiB, other programs ${mib(refusal.external)} MiB${gone}${until}; ${then}`;
    }
    case 'overuse': return `this process uses ${mib(refusal.used)} MiB of GPU ${refusal.device} and has leased ${mib(refusal.leased)} MiB there: nothing more is leased to it until the driver says that it uses less`;
    case 'quota': return `the owner may lease ${mib(refusal.quota)} MiB at once and has, or was promised, ${mib(refusal.leased)} MiB: release some, or raise its quota`;
    default: return 'the request was refused';
  }
}
