/**
 * Which implementation answers, and why. Never silent: `UAT_BACKEND=native|typescript` forces one, and a service whose
 * native part is missing says so here and in one process warning.
 */
export interface BackendInfo {
  kind: 'native' | 'typescript';
  /** One sentence for people, for example the package that is missing. */
  reason: string;
}
