/** What to ask of a port, where nobody says what: a request for each operation that the workload's policies name, and one that none names. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { AuthorizationSpec, OperationSpec, RuleSpec } from "../authorization-spec.ts";
import { isPathTemplate } from "../path-template.ts";
import { attachedPolicies, waypointPolicies } from "../policy-attachment.ts";
import { serviceTargets } from "../port-protocol.ts";
import { waypointOfService } from "../waypoint/waypoints.ts";
import type { AccessRequest } from "./access-request.ts";

/** What is asked, apart from who asks whom. */
export type RequestTemplate = Omit<AccessRequest, "id" | "from" | "to" | "via">;

/** More are not asked of one port: the first ones by the policies' age. */
const MAX_REQUESTS = 12;
/** Where a policy names many of one kind, one of them stands for all. */
const SEGMENT = "x";

export function representativeRequests(
  mesh: Mesh,
  workload: Workload,
  port: number,
  http: boolean,
): readonly RequestTemplate[] {
  if (!http) return [{ protocol: "tcp" }];
  const { rootNamespace } = mesh.config;
  const own = attachedPolicies(mesh.authorizationPolicies, workload, rootNamespace);
  const asked = [...atWaypoints(mesh, workload, port), ...own.map((policy) => ({ policy, port }))];
  const found = new Map<string, RequestTemplate>();
  const add = (request: RequestTemplate): void => {
    const key = JSON.stringify(request);
    if (found.size < MAX_REQUESTS && !found.has(key)) found.set(key, request);
  };
  add({ protocol: "http", method: "GET", path: "/" });
  for (const { policy, port: own } of asked)
    for (const rule of ((policy.spec ?? {}) as AuthorizationSpec).rules ?? [])
      for (const request of requestsOf(rule, own)) add(request);
  return [...found.values()];
}

interface AskedPolicy {
  readonly policy: Mesh["authorizationPolicies"][number];
  /** As the policy's proxy counts ports: a waypoint by the service's, others by the container's. */
  readonly port: number;
}

/** Those of the waypoints by which services lead to the port. */
function atWaypoints(mesh: Mesh, workload: Workload, port: number): readonly AskedPolicy[] {
  return serviceTargets(mesh, workload)
    .filter(({ target }) => target === port)
    .flatMap(({ service, port: servicePort }) => {
      const binding = waypointOfService(mesh, service);
      const proxy = binding.kind === "bound" ? binding.waypoint.workload : undefined;
      if (proxy === undefined) return [];
      const policies = waypointPolicies(
        mesh.authorizationPolicies,
        proxy,
        service,
        mesh.config.rootNamespace,
      );
      return policies.map((policy) => ({ policy, port: servicePort.port }));
    });
}

function requestsOf({ to = [], when = [] }: RuleSpec, port: number): readonly RequestTemplate[] {
  const headers = when.flatMap(({ key, values = [] }): (readonly [string, string])[] => {
    const [, name] = /^request\.headers\[(.+)\]$/.exec(key) ?? [];
    const [value] = values;
    return name === undefined || value === undefined ? [] : [[name, textFor(value)]];
  });
  const operations = to.length === 0 ? [{}] : to.map(({ operation = {} }) => operation);
  return operations
    .filter(({ ports = [] }: OperationSpec) => ports.length === 0 || ports.includes(String(port)))
    .flatMap((operation) => requestsOfOperation(operation))
    .map((request) => (headers.length === 0 ? request : { ...request, headers }));
}

function requestsOfOperation({ methods = [], paths = [], hosts = [] }: OperationSpec): RequestTemplate[] {
  const [host] = hosts;
  return (paths.length === 0 ? ["/"] : paths).flatMap((path) =>
    (methods.length === 0 ? ["GET"] : methods).map((method) => ({
      protocol: "http" as const,
      method: method === "*" ? "GET" : textFor(method),
      path: pathFor(path),
      ...(host === undefined || host === "*" ? {} : { host: textFor(host) }),
    })),
  );
}

/** A path that the pattern matches. */
function pathFor(pattern: string): string {
  if (isPathTemplate(pattern)) return pattern.replaceAll("{**}", SEGMENT).replaceAll("{*}", SEGMENT);
  const text = pattern === "*" ? "/" : textFor(pattern);
  return text.startsWith("/") ? text : `/${text}`;
}

function textFor(pattern: string): string {
  if (pattern.startsWith("*")) return `${SEGMENT}${pattern.slice(1)}`;
  return pattern.endsWith("*") ? `${pattern.slice(0, -1)}${SEGMENT}` : pattern;
}
