import type { Assignments } from "../substrate/assignment.ts";
import { type EchoListener, EchoSet, podEchoes, standInEchoes } from "../substrate/echo/echo-server.ts";
import { openStandInAuthority } from "../substrate/stand-in-authority.ts";
import { liveAsChild, warn } from "./child-life.ts";
import { readAssignments } from "./configuration-keeper.ts";
import { ControlLink, connectAdmin } from "./control-link.ts";
import { ListeningReport } from "./listening-report.ts";
import type { ControlEvent } from "./messages.ts";
import { stateFolderAt } from "./state-folder.ts";

export interface EchoProcessOptions {
  readonly statePath: string;
  /** `apps`: the built-in applications of the mesh's workloads. `externals`: the stand-ins for hosts outside of it. */
  readonly part: "apps" | "externals";
  /** Workloads (`namespace/name`) with an application of the user's. */
  readonly except: readonly string[];
}

/** Runs all echoes of one kind, and follows the assignments as control changes them. */
export async function runEchoProcess(options: EchoProcessOptions): Promise<void> {
  const state = stateFolderAt(options.statePath);
  const report = new ListeningReport(options.part);
  let version: number | undefined;
  const echoes = new EchoSet({
    authority: openStandInAuthority(state.standInFolder),
    onWarning: warn,
    onListening: () => report.listens(version),
  });
  const apply = (assignments: Assignments) => {
    ({ version } = assignments);
    report.pauses();
    return echoes.apply(listenersOf(assignments, options));
  };
  const link = new ControlLink({
    connect: async () => {
      const peer = await connectAdmin(state, {
        event: (event) => {
          const told = event as ControlEvent;
          if (told.kind === "assignments") void apply(told.assignments);
        },
      });
      const assignments = (await peer.request("subscribe", {}, 10_000)) as Assignments | null;
      if (assignments !== null) await apply(assignments);
      report.connected(peer);
      return peer;
    },
  });
  liveAsChild(state, async () => {
    link.close();
    echoes.close();
  });
  // Control may be away when this process is started again: what it last wrote is what it last said.
  await apply(readAssignments(state));
}

function listenersOf(assignments: Assignments, options: EchoProcessOptions): readonly EchoListener[] {
  if (options.part === "externals") {
    return assignments.standIns.flatMap((standIn) =>
      standInEchoes(standIn, assignments.privilegedPortOffset),
    );
  }
  return assignments.pods.filter(({ workload }) => !options.except.includes(workload)).flatMap(podEchoes);
}
