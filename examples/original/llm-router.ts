// The code of the guide as it stands there, for whoever writes TypeScript for a bundler, tsx or vitest; its `messages` are a question. In
// plain Node the path is `universal-ai-tools/services/llm-router-rust`. `UAT_CONFIG=examples/original/uat.toml` has a model for
// `expert-reasoning`.

import { messages } from './messages';
import { llmRouter } from './services/llm-router-rust';

const response = await llmRouter.generateResponse(
  'expert-reasoning',
  messages,
  {
    temperature: 0.3,
    maxTokens: 8000,
    capabilities: ['deep_reasoning']
  }
);

export { llmRouter, response };
