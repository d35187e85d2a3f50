import { UniversalAiError } from '../errors.js';
import type { News, PreparedManager, VisionResourceManagerBackend } from '../services/vision-resource-manager-backend.js';
import type { NativeBinding } from './loader.js';

export function openNativeVisionResourceManager(_binding: NativeBinding, _prepared: PreparedManager, _tell: (news: News) => void): VisionResourceManagerBackend {
  throw new UniversalAiError('UAT_UNSUPPORTED', 'VisionResourceManager: the native addon has it not yet; set UAT_BACKEND=typescript');
}
