// The code of the guide as it stands there, for whoever writes TypeScript for a bundler, tsx or vitest; its `audioBuffer` is three
// seconds of a reader. In plain Node the path is `universal-ai-tools/services/voice-processing-rust`. The TypeScript backend needs a
// server that writes down: `initialize({ transcriber: { kind: 'openai', ... } })`.

import { audioBuffer } from './audio-buffer';
import { VoiceProcessingService } from './services/voice-processing-rust';

const service = new VoiceProcessingService();
await service.initialize();

// Process audio
const result = await service.processAudio(audioBuffer, {
  enableVAD: true,
  sampleRate: 16000,
  channels: 1
});

export { result, service };
