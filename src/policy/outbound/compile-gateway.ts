import type { Mesh, Workload } from "../../model/mesh.ts";
import type { GatewayPolicy, Semantics } from "./types.ts";

/** Compiles the listeners and routes of one gateway. */
export function compileGateway(
  _mesh: Mesh,
  _gateway: Workload,
  _options: { readonly semantics?: Semantics } = {},
): GatewayPolicy {
  throw new Error("BUG: not compiled yet");
}
