export * from '../../../src/services/vision-resource-manager-rust.js';
