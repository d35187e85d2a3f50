import { describe, expect, it } from 'vitest';

import { Detector, segments } from '../../src/fallback/voice-processing/detector.js';
import { languageCode } from '../../src/fallback/voice-processing/language.js';
import { tensors } from '../../src/fallback/voice-processing/onnx.js';
import { Resampler } from '../../src/fallback/voice-processing/resample.js';
import { shortest } from '../../src/fallback/voice-processing/silero.js';
import { Utterances } from '../../src/fallback/voice-processing/utterances.js';
import { containerOf } from '../../src/services/voice-processing-container.js';
import { thrownBy } from '../support/errors.js';
import { seeded } from '../support/random.js';

const [SECOND, WINDOW] = [16_000, 512];

/** The level in dB of what becomes of a sine of full scale at `rate`, without the ends, where it begins and stops. */
function levelDb(rate: number, hz: number): number {
  const resampler = new Resampler(rate);
  const sine = Float32Array.from({ length: rate / 4 }, (_, at) => Math.sin(2 * Math.PI * hz * at / rate));
  const out = [...resampler.push(sine), ...resampler.flush()];
  expect(out.length).toBe(SECOND / 4);
  const steady = out.slice(400, -400);
  return 10 * Math.log10(2 * steady.reduce((sum, sample) => sum + sample ** 2, 0) / steady.length + 1e-30);
}

describe('resampling', () => {
  // At 48 kHz from 8 kHz on; at other rates the filter, which is rubato's, ends as much higher as it is shorter for the rate.
  it.each([[44_100, 8_900], [44_100, 15_000], [44_100, 22_000], [48_000, 8_003], [48_000, 9_500], [48_000, 16_000], [48_000, 23_900], [32_000, 8_700], [96_000, 10_200], [96_000, 40_000]])('at %i Hz leaves nothing of %i Hz that would alias', (rate, hz) => {
    expect(levelDb(rate, hz)).toBeLessThan(-80);
  });

  it.each([[8_000, 3_400], [22_050, 6_000], [44_100, 1_000], [44_100, 6_500], [48_000, 300], [48_000, 7_000]])('at %i Hz lets %i Hz pass unchanged', (rate, hz) => {
    expect(Math.abs(levelDb(rate, hz))).toBeLessThan(0.01);
  });

  it.each([8_000, 11_025, 16_000, 44_100, 48_000])('at %i Hz gives the same whatever the pieces, and all of the signal', rate => {
    const random = seeded(7);
    const samples = Float32Array.from({ length: 10_000 }, () => random() - 0.5);
    const [whole, pieces] = [new Resampler(rate), new Resampler(rate)];
    const expected = [...whole.push(samples), ...whole.flush()];
    const found: number[] = [];
    for (let at = 0; at < samples.length;) {
      const length = Math.floor(random() * 700);
      found.push(...pieces.push(samples.subarray(at, at + length)));
      at += length;
    }
    found.push(...pieces.flush());
    expect(found).toEqual(expected);
    expect(found.length).toBe(Math.ceil(samples.length * SECOND / rate));
  });
});

describe('segments', () => {
  /** A probability for each window. */
  const found = (text: string, threshold = 0.5): number[][] => {
    const levels = Float32Array.from(text, letter => Number(letter) / 10);
    return segments(levels, levels.length * WINDOW, threshold).map(({ start, end }) => [start / WINDOW, end / WINDOW]);
  };
  it('begin 300 ms before speech and end 100 ms after it', () => {
    expect(found(`${'0'.repeat(20)}${'9'.repeat(10)}${'0'.repeat(20)}`)).toEqual([[20 - 9.375, 30 + 3.125]]);
  });
  it('are not of a click, nor ended by a moment', () => {
    expect(found('000000999000000')).toEqual([]);
    expect(found(`${'9'.repeat(10)}00${'9'.repeat(10)}`)).toEqual([[0, 22]]);
  });
  it('go on between the threshold and 0.15 below', () => {
    expect(found(`${'9'.repeat(10)}${'4'.repeat(10)}`)).toEqual([[0, 20]]);
    expect(found(`${'9'.repeat(10)}${'4'.repeat(10)}`, 0.8)).toEqual([[0, 10 + 3.125]]);
  });
  it('do not overlap', () => {
    const [first, second] = found(`${'9'.repeat(10)}${'0'.repeat(5)}${'9'.repeat(10)}`);
    expect(second![0]).toBeGreaterThanOrEqual(first![1]!);
  });
});

describe('utterances', () => {
  /** The utterances of a signal in which somebody speaks in these seconds, as seconds; those of the core's own tests. */
  const of = (seconds: number, speech: [number, number][], unlikely?: number): number[][] => {
    const detector = new Detector(0.5);
    const utterances = new Utterances(false);
    const length = seconds * SECOND;
    const found = [];
    for (let window = 0; window < length / WINDOW; window++) {
      const at = window * WINDOW / SECOND;
      const speaks = speech.some(([from, to]) => at >= from && at < to);
      const probability = unlikely !== undefined && Math.abs(unlikely - at) < 0.02 ? 0.4 : speaks ? 0.95 : 0.05;
      found.push(utterances.push(probability, detector.push(probability)));
    }
    found.push(utterances.finish(length, detector.finish(length)));
    return found.filter(one => one !== undefined).map(({ start, end }) => [start, end].map(at => Math.round(at / SECOND * 10) / 10));
  };
  it('hold sentences with short pauses, and end at long ones', () => {
    expect(of(10, [[1, 3], [4, 6]])).toEqual([[0.7, 6.1]]);
    expect(of(12, [[1, 3], [6, 8]])).toEqual([[0.7, 3.1], [5.7, 8.1]]);
    expect(of(100, [])).toEqual([]);
  });
  it('end at the longest silence where they become too long', () => {
    expect(of(41, [[1, 10], [11, 19], [20.5, 40]])).toEqual([[0.7, 19.1], [20.2, 40.1]]);
  });
  it('end where speech is least likely where nobody pauses', () => {
    expect(of(50, [[0, 50]], 20)).toEqual([[0, 20], [20, 34], [34, 50]]);
  });
});

describe('a container', () => {
  it('is told by its first bytes, and one MPEG header is not enough', () => {
    const file = new Uint8Array(1_000);
    file.set([0xff, 0xfb, 0x90, 0x00]);
    expect(containerOf(file)).toBeUndefined();
    file.set([0xff, 0xfb, 0x90, 0x00], 417);
    expect(containerOf(file)).toBe('mp3');
    expect(containerOf(file.subarray(0, 417))).toBe('mp3');
    for (let length = 0; length < 12; length++) expect(containerOf(Buffer.from('RIFF....WAVE').subarray(0, length))).toBeUndefined();
    expect(containerOf(Buffer.from('RIFF....WAVE'))).toBe('wav');
  });
});

describe('an ONNX file', () => {
  /** A model with one tensor of the shape 2 x 1, its dimensions packed or not. */
  const model = (isPacked: boolean): Uint8Array => {
    const tensor = [...isPacked ? [0x0a, 2, 2, 1] : [8, 2, 8, 1], 0x10, 1, 0x42, 1, 0x77, 0x4a, 8, ...new Uint8Array(Float32Array.of(1.5, -2).buffer)];
    const graph = [0x2a, tensor.length, ...tensor];
    return Buffer.from([8, 9, 0x3a, graph.length, ...graph]);
  };
  it.each([true, false])('has its tensors, dimensions packed: %s', isPacked => {
    expect(Object.fromEntries(tensors(model(isPacked)))).toEqual({ w: { dims: [2, 1], data: Float32Array.of(1.5, -2) } });
  });
  it('that ends early is refused with the place', () => {
    const file = model(false);
    for (let length = 3; length < file.length; length++) {
      expect(thrownBy(() => tensors(file.subarray(0, length)))).toMatchObject({ code: 'UAT_CORRUPT_VALUE', message: expect.stringMatching(/at byte \d+/) as string });
    }
  });
});

describe('words', () => {
  it('for languages become codes', () => {
    expect(['english', 'German', 'haitian creole', 'luxembourgish', 'cantonese', 'en', 'Klingon', ''].map(languageCode)).toEqual(['en', 'de', 'ht', 'lb', 'yue', 'en', 'Klingon', '']);
  });
  it('for numbers of 32 bits are as short as the core\'s', () => {
    expect([0.1, 1_000, -2.5, 16_777_216, NaN, Infinity, -Infinity].map(number => shortest(Math.fround(number)))).toEqual(['0.1', '1000', '-2.5', '16777216', 'NaN', 'inf', '-inf']);
  });
});
