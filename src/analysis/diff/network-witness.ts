/** Requests for `can` that show what a change of network policies gives or takes. */
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh, Workload } from "../../model/mesh.ts";
import { decide } from "../../policy/decide.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { AccessDestination, AccessRequest, AccessSource } from "../../policy/path/access-request.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import type { NetworkChange, NetworkConnection } from "./network-changes.ts";

/** Each with a request where its connection is of TCP: the first that is answered differently before and after, if any is. */
export async function withWitnesses(
  meshes: readonly [before: Mesh, after: Mesh],
  semantics: Semantics,
  changes: readonly NetworkChange[],
): Promise<readonly NetworkChange[]> {
  const witnessed: NetworkChange[] = [];
  for (const change of changes) {
    const requests = change.connection.protocol === "TCP" ? requestsFor(meshes[1], change.connection) : [];
    const flipping = await firstFlipping(meshes, semantics, change.change, requests);
    const witness = flipping ?? requests[0];
    witnessed.push({
      ...change,
      ...(witness === undefined ? {} : { witness }),
      ...(flipping === undefined ? { heldBack: true } : {}),
    });
  }
  return witnessed;
}

async function firstFlipping(
  meshes: readonly [before: Mesh, after: Mesh],
  semantics: Semantics,
  change: NetworkChange["change"],
  requests: readonly AccessRequest[],
): Promise<AccessRequest | undefined> {
  const [lacks, has] = change === "widened" ? meshes : meshes.toReversed();
  if (lacks === undefined || has === undefined) return undefined;
  const options = { semantics, compareModes: false };
  for (const request of requests) {
    if (!(await decide(has, request, options)).allowed) continue;
    const refused = await decide(lacks, request, options);
    // What is not known is no refusal.
    if (!refused.allowed && refused.reason !== "unknown") return request;
  }
  return undefined;
}

/** Bytes, and HTTP for servers that take no others; to the pod alone, whose own policies are asked, then by names that the client's are asked about, too. */
function requestsFor(mesh: Mesh, { from, to, port }: NetworkConnection): readonly AccessRequest[] {
  const { workloads } = meshDirectory(mesh);
  const source: AccessSource = workloads.has(from) ? { workload: from } : { principal: null, ip: from };
  const server = workloads.get(to);
  const destinations: readonly AccessDestination[] =
    server === undefined
      ? [{ host: to, port, ip: to }]
      : [{ workload: to, port }, ...byName(mesh, server, port)];
  return destinations.flatMap((own): AccessRequest[] => [
    { from: source, to: own, protocol: "tcp" },
    { from: source, to: own, protocol: "http", method: "GET", path: "/" },
  ]);
}

function byName({ services }: Mesh, server: Workload, port: number): readonly AccessDestination[] {
  const named = services.flatMap(({ hostname, ports, endpoints }) => {
    if (!endpoints.some(({ workload }) => workload === server)) return [];
    const own = ports.find((each) => resolveTargetPort(each, server) === port);
    return own === undefined ? [] : [{ host: hostname, port: own.port }];
  });
  return [...named.slice(0, 1), ...server.addresses.slice(0, 1).map((ip) => ({ host: ip, port, ip }))];
}
