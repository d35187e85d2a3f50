/** The version of this package, of the native parts that fit it and of the engine's socket; a test holds them together. */
export const VERSION = '0.1.0';
