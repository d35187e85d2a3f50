/** What a file is, told by its first bytes, as `crates/audio-input/src/container.rs` tells it. */
export type Container = 'wav' | 'flac' | 'mp3' | 'aac' | 'mp4' | 'ogg' | 'matroska';

/** Enough for the longest MPEG or ADTS frame and the header after it. */
export const LOOKED_AT = 8192 + 8;

/** Kilobits per second of layer III, MPEG 1, then MPEG 2 and 2.5. */
const BITRATES = [
  [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
] as const;

/** What `start`, the first {@link LOOKED_AT} bytes or all there are, belongs to; `undefined` where no container is recognised. */
export function containerOf(start: Uint8Array): Container | undefined {
  const says = (word: string, at = 0): boolean => start.length >= at + word.length && [...word].every((letter, index) => start[at + index] === letter.charCodeAt(0));
  if (says('RIFF') && says('WAVE', 8)) return 'wav';
  if (says('fLaC')) return 'flac';
  if (says('OggS')) return 'ogg';
  if (says('\x1aE\xdf\xa3')) return 'matroska';
  if (says('ftyp', 4)) return 'mp4';
  const [version = 0] = start.subarray(3, 4);
  if (says('ID3') && start.length >= 10 && version >= 2 && version <= 4 && start.subarray(6, 10).every(byte => byte < 0x80)) return 'mp3';
  if (twoFrames(start, mpegFrame)) return 'mp3';
  if (twoFrames(start, adtsFrame)) return 'aac';
  return undefined;
}

/** What has to stay the same from frame to frame, and the frame's length in bytes. */
type Frame = [kind: number, length: number];

/** Whether a frame's header stands at the start, and another of its kind where it ends: 11 bits alone are in any noise. */
function twoFrames(start: Uint8Array, frame: (header: number, bytes: Uint8Array) => Frame | undefined): boolean {
  const at = (offset: number): Frame | undefined => {
    const bytes = start.subarray(offset);
    return bytes.length < 4 ? undefined : frame(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), bytes);
  };
  const first = at(0);
  if (first === undefined) return false;
  const next = at(first[1]);
  // A file of a single frame is one too.
  return next === undefined ? start.length === first[1] : next[0] === first[0];
}

function mpegFrame(header: number): Frame | undefined {
  const field = (shift: number, bits: number): number => header >>> shift & (1 << bits) - 1;
  const [version, layer, bitrate, rate, padding] = [field(19, 2), field(17, 2), field(12, 4), field(10, 2), field(9, 1)];
  // Version 1 is reserved, layer 1 is layer III.
  if (field(21, 11) !== 0x7ff || version === 1 || layer !== 1 || rate === 3) return undefined;
  const kbps = BITRATES[version === 3 ? 0 : 1][bitrate - 1];
  if (kbps === undefined) return undefined;
  const hz = [44_100, 48_000, 32_000][rate]! >> [2, 0, 1, 0][version]!;
  const samplesPerBit = version === 3 ? 144_000 : 72_000;
  // Version, layer and rate stay.
  return [(header & 0xfffe_0c00) >>> 0, Math.floor(samplesPerBit * kbps / hz) + padding];
}

function adtsFrame(header: number, bytes: Uint8Array): Frame | undefined {
  // The sync word, and layer 0.
  if ((header & 0xfff6_0000) >>> 0 !== 0xfff0_0000 || bytes.length < 6) return undefined;
  const length = (bytes[3]! & 3) << 11 | bytes[4]! << 3 | bytes[5]! >> 5;
  // Version, profile and rate stay; 7 bytes are the header itself.
  return length > 7 ? [(header & 0xffff_fc00) >>> 0, length] : undefined;
}
