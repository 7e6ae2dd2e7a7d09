/**
 * Built-in invariants that the network alone can keep: a sidecar can be gone past by whoever is in its pod, and the control plane has none. What
 * counts are NetworkPolicies, AdminNetworkPolicies and the BaselineAdminNetworkPolicy, over all connections.
 * @see https://istio.io/latest/docs/tasks/traffic-management/egress/egress-gateway/ (additional security considerations)
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { decide } from "../../policy/decide.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { formatAddress, formatRange } from "../../policy/network/address-range.ts";
import type { ConnectionSet } from "../../policy/network/connection-set.ts";
import { NetworkMap } from "../../policy/network/network-map.ts";
import { networkPod } from "../../policy/network/network-pod.ts";
import { networkPolicies } from "../../policy/network/network-policies.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import type { Invariant } from "./invariant.ts";
import { unreadFindings } from "./unread-findings.ts";
import type { Finding, InvariantResult } from "./verify-access.ts";

export interface NetworkBuiltIn {
  readonly name: string;
  readonly summary: string;
  /** Whether the mesh has what it is about. */
  readonly concerns: (mesh: Mesh) => boolean;
  readonly judge: (mesh: Mesh, semantics: Semantics) => Promise<InvariantResult>;
}

/** Where proxies get certificates and configuration, and where the API server asks its webhooks. */
const XDS_PORT = 15_012;
const WEBHOOK_PORT = 15_017;

export const NETWORK_BUILT_INS: readonly NetworkBuiltIn[] = [
  {
    name: "egress-by-gateway",
    summary: "network policies let nothing but gateways connect to addresses outside",
    concerns: ({ workloads }) => workloads.some(({ role }) => role === "gateway"),
    judge: (mesh, semantics) => judgeAll(mesh, semantics, "egress-by-gateway", isClient, egressOf),
  },
  {
    name: "control-plane",
    summary: `network policies let pods with a proxy reach istiod at ${XDS_PORT} and the outside at ${WEBHOOK_PORT}, and nothing else but its own namespace`,
    concerns: ({ workloads }) => workloads.some(isControlPlane),
    judge: (mesh, semantics) => judgeAll(mesh, semantics, "control-plane", isControlPlane, callersOf),
  },
];

function isControlPlane({ kind, labels }: Workload): boolean {
  return kind !== "WorkloadEntry" && (labels.app === "istiod" || labels.istio === "pilot");
}

/** Virtual machines are in no cluster's network; istiod has to ask the API server. */
function isClient(workload: Workload): boolean {
  return workload.role === "application" && workload.kind !== "WorkloadEntry" && !isControlPlane(workload);
}

/** A way that is not to be, and who is at its ends. */
interface OpenWay {
  readonly text: string;
  /** Undefined where it is none of TCP, of which `can` asks nothing. */
  readonly request: AccessRequest | undefined;
}

interface Network {
  readonly mesh: Mesh;
  readonly pods: readonly Workload[];
  readonly map: NetworkMap;
}

async function judgeAll(
  mesh: Mesh,
  semantics: Semantics,
  name: string,
  selects: Invariant["selects"],
  open: (network: Network, at: number) => OpenWay | undefined,
): Promise<InvariantResult> {
  const pods = mesh.workloads.filter(({ kind }) => kind !== "WorkloadEntry");
  const map = new NetworkMap(
    networkPolicies(mesh),
    pods.map((workload) => networkPod(mesh, workload)),
    { blocks: "outside", families: [4, 6] },
  );
  const proven: string[] = [];
  const findings: Finding[] = [];
  for (const [at, workload] of pods.entries()) {
    if (!selects(workload)) continue;
    const finding = await findingOf(mesh, semantics, workload, open({ mesh, pods, map }, at));
    if (finding === undefined) proven.push(workload.key);
    else findings.push(finding);
  }
  findings.push(...unreadFindings(mesh, {}));
  if (proven.length + findings.length === 0) findings.push(NOBODY);
  const invariant: Invariant = {
    name: `built-in ${name}`,
    claim: "never",
    rules: [],
    namespace: mesh.config.rootNamespace,
    selects,
  };
  const isViolated = findings.some(({ outcome }) => outcome === "violated");
  const outcome = isViolated ? "violated" : findings.length > 0 ? "unclear" : "proven";
  return { invariant, outcome, proven, vacuous: [], findings: joined(findings) };
}

const NOBODY: Finding = {
  workloads: [],
  outcome: "unclear",
  why: "there are no pods that it is about: nothing was proven",
};

/** Undefined: it is proven. */
async function findingOf(
  mesh: Mesh,
  semantics: Semantics,
  { key, hostNetwork }: Workload,
  way: OpenWay | undefined,
): Promise<Finding | undefined> {
  const workloads = [key];
  if (hostNetwork)
    return { workloads, outcome: "unclear", why: "it is on its host's network, where policies may not hold" };
  if (way === undefined) return undefined;
  const why = `network policies let through ${way.text}`;
  if (way.request === undefined) return { workloads, outcome: "violated", why };
  const { allowed, policy, rule, cause } = await decide(mesh, way.request, {
    semantics,
    compareModes: false,
  });
  const { request } = way;
  if (allowed)
    return { workloads, outcome: "violated", why, witness: { request, allowed, policy, rule, cause } };
  return {
    workloads,
    outcome: "unclear",
    why: `${why}; its own proxy alone refuses it, which its pod can go past (${cause})`,
  };
}

/** Of pods for which the same is to be said, one is the example. */
function joined(findings: readonly Finding[]): readonly Finding[] {
  return [...Map.groupBy(findings, ({ outcome, why }) => `${outcome} ${why}`).values()].flatMap((alike) => {
    const [first] = alike;
    return first === undefined ? [] : [{ ...first, workloads: alike.flatMap(({ workloads }) => workloads) }];
  });
}

function egressOf({ pods, map }: Network, at: number): OpenWay | undefined {
  for (const { to, connections } of map.toOutside(at)) {
    if (typeof to === "number") continue;
    const ip = formatAddress(to.family, to.first);
    const port = connections.ports.TCP[0];
    return {
      text: `${connections.text} to ${formatRange(to)}`,
      request:
        port === undefined
          ? undefined
          : { from: { workload: pods[at]?.key ?? "" }, to: { host: ip, port, ip }, protocol: "tcp" },
    };
  }
  return undefined;
}

function callersOf(network: Network, at: number): OpenWay | undefined {
  const { pods, map } = network;
  const workload = pods[at]?.key ?? "";
  const way = (from: AccessRequest["from"], who: string, connections: ConnectionSet): OpenWay => {
    const port = connections.ports.TCP[0];
    return {
      text: `${connections.text} from ${who}`,
      request:
        port === undefined
          ? undefined
          : { ...(from === undefined ? {} : { from }), to: { workload, port }, protocol: "tcp" },
    };
  };
  for (const { from, connections } of map.fromOutside(at)) {
    const left = map.algebra.subtract(connections, map.algebra.of({ TCP: [WEBHOOK_PORT, WEBHOOK_PORT] }));
    if (left === map.algebra.none || typeof from === "number") continue;
    return way({ principal: null, ip: formatAddress(from.family, from.first) }, formatRange(from), left);
  }
  for (const [other, caller] of pods.entries()) {
    if (other === at || caller.namespace === pods[at]?.namespace) continue;
    const granted =
      caller.dataplane === "none" ? map.algebra.none : map.algebra.of({ TCP: [XDS_PORT, XDS_PORT] });
    const left = map.algebra.subtract(map.between(other, at), granted);
    if (left !== map.algebra.none) return way({ workload: caller.key }, caller.key, left);
  }
  return undefined;
}
