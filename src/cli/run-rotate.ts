import type { RotationProgress } from "../control/rotation/watch-rotation.ts";
import { watchRotation } from "../control/rotation/watch-rotation.ts";
import type { RotationKind } from "../identity/rotation/rotation.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { type StateOptions, stateOf } from "./options.ts";
import { namesOf, renderProgress } from "./render/rotation.ts";

export interface RotateOptions extends StateOptions {
  readonly format: string;
  readonly force?: boolean;
  /** Milliseconds. */
  readonly overlap?: number;
  readonly timeout?: number;
}

/** Has a key of the CA replaced and shows how it goes. Ctrl-C and the time-out end the showing alone. @throws {BulwarkError} */
export async function runRotate(kind: RotationKind, options: RotateOptions): Promise<ExitCode> {
  const stop = new AbortController();
  let interrupted = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      interrupted = true;
      stop.abort();
    });
  const timer = options.timeout === undefined ? undefined : setTimeout(() => stop.abort(), options.timeout);
  let waiting: Extract<RotationProgress, { event: "waiting" }> | undefined;
  try {
    const done = await watchRotation(stateOf(options), {
      kind,
      force: options.force === true,
      ...(options.overlap === undefined ? {} : { overlapMs: options.overlap }),
      signal: stop.signal,
      onProgress: (progress) => {
        if (progress.event === "waiting") waiting = progress;
        process.stdout.write(
          options.format === "json" ? `${JSON.stringify(progress)}\n` : renderProgress(progress),
        );
      },
    });
    if (done !== undefined) return EXIT.ok;
  } finally {
    clearTimeout(timer);
  }
  const on = waiting === undefined ? "" : `, waiting for ${namesOf(waiting.waitingFor)}`;
  process.stderr.write(
    `bulwark: the rotation goes on in the mesh${on}; \`bulwark ca rotate-${kind}\` shows it again\n`,
  );
  return interrupted ? EXIT.interrupted : EXIT.denied;
}
