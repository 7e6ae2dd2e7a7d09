import type { CurrentConfiguration } from "../../control/configuration-keeper.ts";

/** What a person must know about a mesh that has just been read: what is not acted on, what was added, what is not run. */
export function startNotes({ assignments, stockGateways }: CurrentConfiguration): readonly string[] {
  return [
    ...stockGateways.map(
      ({ workload, selectedBy }) =>
        `${workload} is provided as \`istioctl install\` would, for ${selectedBy.join(", ")}`,
    ),
    ...assignments.skipped.map(({ kind, workload, why }) => `${kind} ${workload} is not run: ${why}`),
    ...(assignments.privilegedPortOffset === 0
      ? []
      : [
          `ports below 1024 need a right that is missing: they are at port + ${assignments.privilegedPortOffset} on this machine`,
        ]),
  ];
}
