// The code of the guide as it stands there, for whoever writes TypeScript for a bundler, tsx or vitest. In plain Node the path is
// `universal-ai-tools/services/vision-resource-manager-rust`. Where there is no GPU, call `getInstance({ driver: 'fake' })` before.

import { VisionResourceManager } from './services/vision-resource-manager-rust';

const manager = VisionResourceManager.getInstance();
const allocation = await manager.allocateResources({
  vramRequired: 4096, // MB
  priority: 'high',
  duration: 30000 // ms
});

export { manager, allocation };
