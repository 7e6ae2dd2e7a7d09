/** Network policies on the way of a request: asked about each connection as it is on the wire, before the server's proxy has a say. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { addressRange } from "../network/address-range.ts";
import { decideNetwork, type NetworkEnd, type NetworkQuestion } from "../network/decide-network.ts";
import { explainNetwork } from "../network/explain-network.ts";
import { type NetworkPod, networkPod, selects } from "../network/network-pod.ts";
import {
  hasNetworkPolicies,
  type NetworkDirection,
  type NetworkPolicies,
  networkPolicies,
} from "../network/network-policies.ts";
import type { AccessRequest } from "./access-request.ts";
import {
  type Arrival,
  type End,
  type Flight,
  type Onward,
  type OnwardEnds,
  type Sender,
  type Step,
  speaksHttp,
} from "./journey.ts";

/** Where ztunnels and waypoints take HBONE: what network policies see of a connection in ambient mode. */
export const HBONE_PORT = 15_008;

/** Who sends: a workload's pod, or an address; `anybody` where an identity is all that is known. */
export type NetworkSource = Workload | { readonly address?: string } | { readonly anybody: true };

/**
 * @param serverOnly leaves the source's own policies out.
 * @returns the verdicts at both ends of the connection, as far as it comes; empty where no policy has a say.
 */
export function networkSteps(
  mesh: Mesh,
  flight: Flight,
  source: NetworkSource,
  arrival: Arrival,
  serverOnly = false,
): readonly Step[] {
  if (!hasNetworkPolicies(networkPolicies(mesh))) return [];
  const { workload } = arrival;
  // A pod always reaches itself; of several replicas it may be another that is reached.
  if (isWorkload(source) && source.key === workload.key && workload.replicas === 1) return [];
  const isTunnel = isByTunnel(arrival);
  const port = isTunnel ? HBONE_PORT : arrival.port;
  const family = addressRange(arrival.destinationIp)?.family ?? addressRange(arrival.sourceIp)?.family;
  const wire: Wire = {
    port,
    isTunnel,
    ...(family === undefined ? {} : { family }),
  };
  const out =
    isWorkload(source) && !serverOnly
      ? networkStep(mesh, flight, "egress", source, { pod: podOf(mesh, workload) }, wire)
      : undefined;
  if (out !== undefined && !out.allowed) return [out];
  const other: NetworkEnd = isWorkload(source) ? { pod: podOf(mesh, source) } : source;
  const into = networkStep(mesh, flight, "ingress", workload, other, wire);
  return [out, into].filter((step) => step !== undefined);
}

/** An identity reaches a pod in ambient mode by HBONE alone, also where the question names the pod's own port. */
function isByTunnel({ hbone, workload, tls }: Arrival): boolean {
  return hbone === true || (workload.dataplane === "ambient" && (tls === "mtls" || tls === "rogue"));
}

/** Out of the mesh: the client's or gateway's own policies. */
export function outsideSteps(
  mesh: Mesh,
  flight: Flight,
  source: NetworkSource,
  { ip = "", port }: { readonly ip?: string; readonly port: number },
): readonly Step[] {
  if (!isWorkload(source) || !hasNetworkPolicies(networkPolicies(mesh))) return [];
  const end = ip === "" ? {} : { address: ip };
  const step = networkStep(mesh, flight, "egress", source, end, { port, isTunnel: false });
  return step === undefined ? [] : [step];
}

/** The connection as packets have it. */
interface Wire extends Pick<NetworkQuestion, "port" | "family"> {
  readonly isTunnel: boolean;
}

/** @returns undefined where no policy selects the pod: it has nothing to say. */
function networkStep(
  mesh: Mesh,
  flight: Flight,
  direction: NetworkDirection,
  workload: Workload,
  other: NetworkEnd,
  { isTunnel, ...wire }: Wire,
): Step | undefined {
  const policies = policiesOf(mesh, workload);
  const subject = podOf(mesh, workload);
  const question: NetworkQuestion = { direction, subject, other, protocol: "TCP", ...wire };
  const verdict = decideNetwork(policies, question);
  if (verdict.cause === "not-isolated") return undefined;
  const allowed = verdict.outcome === "allow";
  return {
    hop: workload.key,
    side: direction === "egress" ? "client" : "server",
    allowed,
    code: allowed && speaksHttp(flight) ? 200 : 0,
    reason: allowed ? "ok" : verdict.outcome === "unknown" ? "unknown" : "network",
    cause: verdict.cause,
    layer: "network",
    policy: verdict.policy?.name ?? null,
    rule: verdict.rule?.index ?? null,
    answersHttp: false,
    explain: () => [
      ...explainNetwork(policies, question, verdict).map(
        (line) => `NetworkPolicy ${direction === "egress" ? "out" : "in"}: ${line}`,
      ),
      ...(isTunnel && !allowed ? [HBONE_LINE] : []),
    ],
  };
}

const HBONE_LINE =
  "in ambient mode pods reach each other by HBONE: a network policy has to allow TCP 15008, and sees no port of the application";

/** Somebody who is no workload that is known: by an address outside, or by an identity of which no pod is known. */
export function outsideSource({ from = {}, via }: AccessRequest, { ip }: Sender): NetworkSource {
  if (via === undefined && ip === "" && typeof from.principal === "string") return { anybody: true };
  return ip === "" ? {} : { address: ip };
}

/** What allows is told before the hop that sends, which stays the last word; a refusal is the last. */
export function leaving(network: readonly Step[], step: Step): readonly Step[] {
  return network.some(({ allowed }) => !allowed) ? [step, ...network] : [...network, step];
}

/** A cluster's name has its port; its address is known where it is what was dialled. */
export function outsidePlace(
  onward: Onward | OnwardEnds,
  { way, place }: Extract<End, { kind: "outside" }>,
): { readonly ip?: string; readonly port: number } {
  if (place !== undefined) return place;
  const dialled = "dialled" in onward ? onward.dialled : { port: 0 };
  const [, port] = /^outbound\|(\d+)\|/.exec(way) ?? [];
  const ip = "ip" in dialled ? dialled.ip : undefined;
  return { port: port === undefined ? dialled.port : Number(port), ...(ip === undefined ? {} : { ip }) };
}

function isWorkload(source: NetworkSource): source is Workload {
  return "key" in source;
}

const OWN_POLICIES = new WeakMap<Workload, NetworkPolicies>();
const PODS = new WeakMap<Workload, NetworkPod>();

/** Those that select it, in either direction. INVARIANT: a workload belongs to one mesh. */
function policiesOf(mesh: Mesh, workload: Workload): NetworkPolicies {
  let own = OWN_POLICIES.get(workload);
  if (own === undefined) {
    const { admin, baseline } = networkPolicies(mesh);
    const policies = byNamespace(networkPolicies(mesh)).get(workload.namespace) ?? [];
    const pod = podOf(mesh, workload);
    const isMine = ({ subject }: NetworkPolicies["admin"][number]): boolean => selects(subject, pod);
    own = {
      admin: admin.filter(isMine),
      policies: policies.filter(isMine),
      baseline: baseline.filter(isMine),
    };
    OWN_POLICIES.set(workload, own);
  }
  return own;
}

const BY_NAMESPACE = new WeakMap<NetworkPolicies, ReadonlyMap<string, NetworkPolicies["policies"]>>();

/** A NetworkPolicy selects in its own namespace alone. */
function byNamespace(policies: NetworkPolicies): ReadonlyMap<string, NetworkPolicies["policies"]> {
  let groups = BY_NAMESPACE.get(policies);
  if (groups === undefined) {
    groups = Map.groupBy(policies.policies, ({ resource }) => resource.namespace);
    BY_NAMESPACE.set(policies, groups);
  }
  return groups;
}

function podOf(mesh: Mesh, workload: Workload): NetworkPod {
  let pod = PODS.get(workload);
  if (pod === undefined) {
    pod = networkPod(mesh, workload);
    PODS.set(workload, pod);
  }
  return pod;
}
