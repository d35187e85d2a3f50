// The code of the guide as it stands there, for whoever writes TypeScript for a bundler, tsx or vitest; its `messages` are a question. In
// plain Node the path is `universal-ai-tools/services/fast-llm-coordinator-rust`. `UAT_CONFIG=examples/original/uat.toml` says who
// `llama3.2:3b` is where there is no Ollama.

import { messages } from './messages';
import { FastLLMCoordinator } from './services/fast-llm-coordinator-rust';

const coordinator = new FastLLMCoordinator();
const response = await coordinator.route({
  model: 'llama3.2:3b',
  messages,
  temperature: 0.7
});

export { coordinator, response };
