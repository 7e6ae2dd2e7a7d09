import type { Mesh, Workload } from "../../model/mesh.ts";
import type { OutboundPolicy, Semantics } from "./types.ts";

/** Compiles the client's side of one workload. Parts that several workloads of one mesh share are compiled once. */
export function compileOutbound(
  _mesh: Mesh,
  _workload: Workload,
  _options: { readonly semantics?: Semantics } = {},
): OutboundPolicy {
  throw new Error("BUG: not compiled yet");
}
