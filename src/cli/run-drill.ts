import { runKeyLeakDrill } from "../attack/drill/key-leak-drill.ts";
import { connectAdmin } from "../control/control-link.ts";
import { keepVerdict } from "./closed-pipe.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { type StateOptions, stateOf } from "./options.ts";
import { renderDrill, renderStep, STEP_HEADING } from "./render/drill.ts";

export interface DrillOptions extends StateOptions {
  readonly format: string;
  readonly workload?: string;
}

/** Runs the drill on the running mesh and shows each step as it ends. @throws {BulwarkError} */
export async function runDrill(options: DrillOptions): Promise<ExitCode> {
  keepVerdict();
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
  const state = stateOf(options);
  const isText = options.format !== "json";
  const admin = await connectAdmin(state);
  try {
    let heading = STEP_HEADING;
    const report = await runKeyLeakDrill({
      state,
      admin,
      signal: stop.signal,
      ...(options.workload === undefined ? {} : { workload: options.workload }),
      onStep: (step) => {
        if (isText) process.stdout.write(`${heading}${renderStep(step)}`);
        heading = "";
      },
    });
    process.stdout.write(isText ? renderDrill(report) : `${JSON.stringify(report, undefined, 2)}\n`);
    if (stop.signal.aborted) return EXIT.interrupted;
    return report.passed ? EXIT.ok : EXIT.denied;
  } finally {
    admin.close();
  }
}
