/** What every command ends with. Stable: scripts branch on it. */
export const EXIT = {
  ok: 0,
  /** Bulwark, or the machine, failed. */
  failed: 1,
  /** It worked, and the answer is no: a call was refused, an attack succeeded. */
  denied: 2,
  /** The mesh's files, the arguments or another input are not valid. */
  invalid: 3,
  /** Ctrl-C, or another signal, before it was done (128 + SIGINT, as shells have it). */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
