import { suggestion } from "../resources/did-you-mean.ts";
import type { FlowFilter } from "../telemetry/flow-filter.ts";

/** `namespace/name`; hosts, addresses and identities have none or more than one slash. */
const WORKLOAD = /^[^/*]+\/[^/*]+$/;

/** One line for each workload that flows are asked for and the mesh does not have: a slip, or one that is gone. */
export function unknownWorkloads(filter: FlowFilter, known: ReadonlySet<string>): readonly string[] {
  const asked = new Set([...(filter.from ?? []), ...(filter.to ?? []), ...(filter.reporter ?? [])]);
  return [...asked]
    .filter((name) => WORKLOAD.test(name) && !known.has(name))
    .map((name) => {
      const help = suggestion(name, known);
      return `no workload \`${name}\` runs in this mesh${help === "" ? "" : `; ${help}`}`;
    });
}
