export * from './services/fast-llm-coordinator-rust.js';
export * from './services/redis-service-rust.js';
export * from './services/llm-router-rust.js';
export * from './services/parameter-analytics-rust.js';
export * from './services/vision-resource-manager-rust.js';
export * from './services/voice-processing-rust.js';
