// What was said in a recording, and when:  node examples/voice.mjs talk.m4a
// Needs `npx uat models pull whisper-tiny.en` and `npx uat models pull silero-vad-6`. With TRANSCRIBER=http://127.0.0.1:8642 a server
// with OpenAI's /v1/audio/transcriptions writes it down, such as `npx uat serve`; then the TypeScript backend does, too.

import { VoiceProcessingService } from 'universal-ai-tools';

const [file] = process.argv.slice(2);
const server = process.env['TRANSCRIBER'];
const service = new VoiceProcessingService();
await service.initialize(server === undefined ? {} : { transcriber: { kind: 'openai', baseUrl: server, model: 'whisper-1' } });

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
const { segments, durationMs, timings } = await service.processAudio(file, {
  wordTimestamps: true,
  signal: stop.signal,
  onProgress: done => process.stderr.write(`\r${Math.round(100 * done)} %`),
});
process.stderr.write('\n');
for (const { startMs, endMs, text } of segments) console.log(`${(startMs / 1000).toFixed(1)} to ${(endMs / 1000).toFixed(1)} s: ${text}`);
console.log(`${(durationMs / 1000).toFixed(1)} s in ${(timings.totalMs / 1000).toFixed(1)} s`);
await service.close();
