/** What there is in a mesh to aim at, and who may legitimately reach it. */

import { resolveTargetPort } from "../model/build-services.ts";
import type { AuthorizationPolicySpec, Workload } from "../model/mesh.ts";
import { socketPort } from "../model/placement.ts";
import { compileInbound, type InboundPolicy } from "../policy/inbound.ts";
import type { Verdict } from "../policy/verdict.ts";
import { type PodAssignment, toPlacement } from "../substrate/assignment.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { mayConnect } from "./network-reach.ts";
import { type AskedRequest, decideHttp } from "./promise.ts";

/** An HTTP port behind a sidecar. */
export interface HttpTarget {
  readonly pod: PodAssignment;
  readonly workload: Workload;
  readonly policy: InboundPolicy;
  /** The container's port, and the port of the socket that stands for it. */
  readonly port: number;
  readonly socketPort: number;
  readonly host: string;
}

/** A request that the configuration allows: the positive control of everything that is refused. */
export interface AllowedCall {
  readonly source: PodAssignment;
  readonly request: AskedRequest;
}

/** First replicas with a sidecar: who an attacker can be. */
export function attackers(mesh: MeshUnderAttack): readonly PodAssignment[] {
  return replicas(mesh).filter(({ replica }) => replica === 0);
}

function replicas(mesh: MeshUnderAttack): readonly PodAssignment[] {
  return mesh.assignments.pods.filter(({ proxied, role }) => proxied && role === "application");
}

export function workloadOf(mesh: MeshUnderAttack, pod: PodAssignment): Workload {
  const found = mesh.mesh.workloads.find(({ key }) => key === pod.workload);
  if (found === undefined) throw new Error(`BUG: no workload ${pod.workload}`);
  return found;
}

export function principalOf(pod: PodAssignment): string {
  return pod.spiffeId.slice("spiffe://".length);
}

/** Where to dial for a port of the model. */
export function addressOf(
  mesh: MeshUnderAttack,
  pod: PodAssignment,
  port: number,
): { host: string; port: number } {
  return { host: pod.address, port: socketPort(toPlacement(mesh.assignments), port) };
}

/** Every HTTP port behind a sidecar, one replica of each workload. */
export function httpTargets(mesh: MeshUnderAttack): readonly HttpTarget[] {
  return attackers(mesh).flatMap((pod) => {
    const workload = workloadOf(mesh, pod);
    const policy = compileInbound(mesh.mesh, workload, { semantics: "strict" });
    return pod.applicationPorts
      .filter(({ port }) => policy.ports.get(port) !== "tcp" && isCaptured(pod, port))
      .map(({ port }) => ({
        pod,
        workload,
        policy,
        port,
        socketPort: addressOf(mesh, pod, port).port,
        host: `${workload.name}.${workload.namespace}`,
      }));
  });
}

/** Whether what comes to a port of the pod comes by its sidecar. On the loopback substrate it does, whatever annotations say. */
export function isCaptured({ network }: PodAssignment, port: number): boolean {
  if (network === undefined) return true;
  if (network.interception === undefined) return false;
  const { includeInboundPorts: included, excludeInboundPorts } = network.interception;
  return included === "*" ? !excludeInboundPorts.includes(port) : included.includes(port);
}

/** The verdict on a mutually authenticated request of one workload to a target. */
export function decideFor(target: HttpTarget, source: PodAssignment, request: AskedRequest): Verdict {
  return decideHttp(
    target.policy,
    { tls: "mtls", principal: principalOf(source), sourceIp: source.address, port: target.port },
    request,
  );
}

/** A request that somebody may make; undefined when nobody may make any that could be found. */
export function allowedCall(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  sources: readonly PodAssignment[] = callers(mesh),
): AllowedCall | undefined {
  const reaching = sources.filter((candidate) => mayConnect(mesh, candidate, target.pod, target.port));
  for (const request of sampleRequests(mesh, target)) {
    const mayCall = (candidate: PodAssignment) => decideFor(target, candidate, request).allowed;
    // A workload that calls itself says little about who may call it.
    const source =
      reaching.find((candidate) => candidate.spiffeId !== target.pod.spiffeId && mayCall(candidate)) ??
      reaching.find((candidate) => candidate !== target.pod && mayCall(candidate)) ??
      reaching.find(mayCall);
    if (source !== undefined) return { source, request };
  }
  return undefined;
}

/** Where network policies part the others, another replica may be the only one that gets there. */
function callers(mesh: MeshUnderAttack): readonly PodAssignment[] {
  return mesh.assignments.substrate === "netns" ? replicas(mesh) : attackers(mesh);
}

/** The first target that somebody may call, with the call. */
export function callableTargets(
  mesh: MeshUnderAttack,
): readonly { readonly target: HttpTarget; readonly call: AllowedCall }[] {
  return httpTargets(mesh).flatMap((target) => {
    const call = allowedCall(mesh, target);
    return call === undefined ? [] : [{ target, call }];
  });
}

/** How clients name a target: host and port of a service that leads to it; undefined when none does. */
export function serviceAuthority(mesh: MeshUnderAttack, { workload, port }: HttpTarget): string | undefined {
  for (const { hostname, ports, endpoints } of mesh.mesh.services) {
    if (!endpoints.some((endpoint) => endpoint.workload?.key === workload.key)) continue;
    const found = ports.find((candidate) => resolveTargetPort(candidate, workload) === port);
    if (found !== undefined) return `${hostname}:${found.port}`;
  }
  return undefined;
}

/** Requests that say something about a target's policies: a plain one, and one for each path and method that policies name. */
export function sampleRequests(
  mesh: MeshUnderAttack,
  target: Pick<HttpTarget, "host">,
): readonly AskedRequest[] {
  const operations = mesh.mesh.authorizationPolicies.flatMap(({ spec }) => operationsOf(spec));
  const paths = new Set([
    "/",
    ...operations.flatMap(({ paths = [], notPaths = [] }) => [...paths, ...notPaths].map(samplePath)),
  ]);
  const named = operations.flatMap(({ methods = [] }) => methods).filter((method) => /^[A-Z]+$/.test(method));
  const methods = new Set(["GET", ...named]);
  return [...methods].flatMap((method) => [...paths].map((path) => ({ method, path, host: target.host })));
}

interface Operation {
  readonly paths?: readonly string[];
  readonly notPaths?: readonly string[];
  readonly methods?: readonly string[];
}

export function operationsOf(spec: AuthorizationPolicySpec): readonly Operation[] {
  return (spec.rules ?? []).flatMap(({ to }) =>
    (to ?? []).map(({ operation }) => (operation ?? {}) as Operation),
  );
}

/** One path that a pattern takes: `/accounts/*` → `/accounts/7`. */
export function samplePath(pattern: string): string {
  const path = pattern.replaceAll("{**}", "x/y").replaceAll("{*}", "x").replaceAll("*", "7");
  return path.startsWith("/") ? path : `/${path}`;
}
