/** Whether what a client was seen to send goes where it goes today. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { compileOutbound } from "../../policy/outbound/compile-outbound.ts";
import { findService, meshDirectory } from "../../policy/path/compiled-policies.ts";
import { compareWays, waysOf } from "../diff/client/ways.ts";
import type { ClientFlow } from "./flow-reading.ts";

/** The service of a name as a client of the namespace means it. */
export function serviceNamed(mesh: Mesh, host: string, namespace: string): Service | undefined {
  return findService(meshDirectory(mesh), host, namespace);
}

/** `old` and `now` are the same workload, before and after. */
export function isSameWay(
  before: Mesh,
  old: Workload,
  after: Mesh,
  now: Workload,
  { host: asked, port, protocol }: ClientFlow,
): boolean {
  // DNS knows short names; what is dialled is where they lead.
  const host = serviceNamed(before, asked, old.namespace)?.hostname ?? asked;
  const [was, is] = [compileOutbound(before, old), compileOutbound(after, now)].map((policy) => {
    const dialled = { host, port };
    if (protocol === "tcp") return waysOf(policy.routeTcp(dialled), host, port);
    if (protocol === "tls") return waysOf(policy.routeTls({ ...dialled, sni: asked }), host, port);
    const authority = port === 80 ? asked : `${asked}:${port}`;
    const request = { ...dialled, method: "GET", path: "/", headers: [], authority };
    return waysOf(policy.routeHttp(request), host, port);
  });
  return was !== undefined && is !== undefined && is.length > 0 && compareWays(was, is) === undefined;
}
