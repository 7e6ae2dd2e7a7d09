/**
 * Which pods are proxies and nothing else. pilot-agent takes its part from its arguments (`proxy router`, `proxy sidecar`), and istiod serves Gateways
 * to routers alone, whatever labels a Gateway selects: istio/istio, pilot/cmd/pilot-agent/app/cmd.go and pilot/pkg/model/push_context.go.
 */
import type { Resource } from "../resources/resource.ts";
import { refusalOf } from "./injection.ts";
import type { Labels, Mesh, Workload } from "./mesh.ts";
import { matchesLabels } from "./selector.ts";
import { podOf } from "./written-pod.ts";

type Json = Readonly<Record<string, unknown>>;
type Gateways = Mesh["gateways"];

/** By what the pod says of itself. */
export function roleOf(labels: Labels, annotations: Labels, podSpec: Json): Workload["role"] {
  if (labels["gateway.istio.io/managed"] === "istio.io-mesh-controller") return "waypoint";
  const injected = annotations["inject.istio.io/templates"]?.split(",").includes("gateway") === true;
  return injected ||
    labels["gateway.networking.k8s.io/gateway-name"] !== undefined ||
    runsProxyAs("router", podSpec)
    ? "gateway"
    : "application";
}

const RUNS = { router: /(^|\s)proxy\s+router(\s|$)/, sidecar: /(^|\s)proxy\s+sidecar(\s|$)/ } as const;

/** As `istioctl install` and charts before 1.15 write gateways out, and as every pod with a proxy stands in a cluster. */
export function runsProxyAs(part: "router" | "sidecar", podSpec: Json): boolean {
  return containersOf(podSpec).some(({ command, args }) =>
    RUNS[part].test([...list(command), ...list(args)].join(" ")),
  );
}

/** A pod that has no application of its own and that a Gateway selects is a gateway, whatever template it was made from. */
export function markGateway(workload: Workload, gateways: Gateways): Workload {
  if (workload.role !== "application" || !hasNoApplication(workload)) return workload;
  if (!gateways.some((gateway) => selects(gateway, workload))) return workload;
  const { unproxied: _unproxied, ...rest } = workload;
  // As with a gateway's own template: it is a proxy, unless it says itself that none is injected.
  const isProxy = workload.dataplane === "none" && !workload.hostNetwork && refusalOf(workload) === undefined;
  return isProxy
    ? {
        ...rest,
        role: "gateway",
        dataplane: "sidecar",
        tlsMode: rest.addresses.length > 0 ? rest.tlsMode : "istio",
      }
    : { ...workload, role: "gateway" };
}

/** No ports, or none but its proxy's. */
function hasNoApplication({ ports, resource }: Workload): boolean {
  const containers = containersOf(podSpecOf(resource));
  const isProxy = containers.length > 0 && containers.every(({ name }) => name === "istio-proxy");
  return ports.length === 0 || (isProxy && !runsProxyAs("sidecar", podSpecOf(resource)));
}

export interface PerhapsGateway {
  readonly workload: Workload;
  /** The Gateways that select its pods. */
  readonly gateways: readonly Resource[];
}

/**
 * Workloads that are taken for applications, and that may be gateways all the same: Gateways select their pods, and nothing in the files says what these
 * run. Who proves something must not count on either.
 */
export function perhapsGateways(mesh: Mesh): readonly PerhapsGateway[] {
  return mesh.workloads.flatMap((workload) => {
    if (workload.role !== "application" || runsProxyAs("sidecar", podSpecOf(workload.resource))) return [];
    const gateways = gatewaysSelecting(mesh, workload);
    return gateways.length === 0 ? [] : [{ workload, gateways }];
  });
}

/** Of Istio's own kind, by their labels; whether its pods are gateways is another question. */
export function gatewaysSelecting({ gateways }: Mesh, workload: Workload): readonly Resource[] {
  return gateways.filter((gateway) => selects(gateway, workload));
}

/** One without a selector is for all gateways, and makes none. */
function selects({ spec: { selector = {} } }: Gateways[number], { labels }: Workload): boolean {
  return Object.keys(selector).length > 0 && matchesLabels(selector, labels);
}

function podSpecOf(resource: Resource): Json {
  return record(podOf(resource)?.pod.spec);
}

function containersOf({ containers }: Json): readonly Json[] {
  return list(containers).map(record);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
