// The code of the guide as it stands there, for whoever writes TypeScript for a bundler, tsx or vitest. In plain Node the path is
// `universal-ai-tools/services/parameter-analytics-rust`.

import { ParameterAnalytics } from './services/parameter-analytics-rust';

const analytics = new ParameterAnalytics();
const optimalParams = await analytics.optimize({
  model: 'gpt-4',
  taskType: 'code-generation',
  constraints: { maxLatency: 1000 }
});

export { analytics, optimalParams };
