export * from '../../../src/services/voice-processing-rust.js';
