/**
 * NetworkPolicies that let pods out to where they were seen to go: servers of the mesh, addresses of ServiceEntries, and what every pod with a
 * sidecar needs (DNS, the control plane). Only pods that no network policy isolates for egress today get any, for they add up.
 */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { decide } from "../../policy/decide.ts";
import { parseIpAddress } from "../../policy/ip-address.ts";
import { selectingPolicies } from "../../policy/network/decide-network.ts";
import { networkPod } from "../../policy/network/network-pod.ts";
import { networkPolicies } from "../../policy/network/network-policies.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";
import { type Place, placesOf } from "../../policy/path/places.ts";
import { networkChanges } from "../diff/network-changes.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { ClientWays } from "./client-ways.ts";
import type { Evidence } from "./evidence.ts";
import type { ClientFlow } from "./flow-reading.ts";
import { meshWith, type ResourceChange, TIGHTENED } from "./manifest.ts";
import { platformRules } from "./platform-destinations.ts";
import { proxyDestinations } from "./proxy-destinations.ts";
import { dialledRequest, isHeldBack } from "./replay.ts";
import { type SelectorGroup, selectorGroups } from "./selector-groups.ts";
import type { ExtraProposal } from "./sidecars.ts";

interface Peer {
  readonly namespaceSelector?: object;
  readonly podSelector?: object;
  readonly ipBlock?: { readonly cidr: string };
}

interface EgressPlan {
  readonly group: SelectorGroup;
  readonly flows: readonly ClientFlow[];
  readonly change: ResourceChange;
}

/** Where an identity was seen to arrive. */
type Arrivals = ReadonlyMap<string, readonly { readonly server: string; readonly port: number }[]>;

const WHY = "where it was seen to go, DNS and the control plane; all else, and UDP, is closed";
const PROVEN = "it is not proven to be no wider than today";

export async function proposeEgressPolicies(mesh: Mesh, evidence: Evidence): Promise<ExtraProposal> {
  const { groups } = selectorGroups(mesh);
  const peerOf = peersOf(groups);
  const known = { peerOf, arrivals: arrivalsOf(evidence), ways: new ClientWays(mesh) };
  const untouched: { workloads: readonly string[]; why: string }[] = [];
  const leave = ({ workloads }: SelectorGroup, why: string): void =>
    void untouched.push({
      workloads: workloads.map(({ key }) => key),
      why: `no egress NetworkPolicy: ${why}`,
    });
  let plans: readonly EgressPlan[] = groups.flatMap((group) => {
    const planned = planFor(mesh, evidence, group, known);
    if (typeof planned === "string") leave(group, planned);
    return planned === undefined || typeof planned === "string" ? [] : [planned];
  });
  while (plans.length > 0) {
    const bad = await problemsOf(mesh, plans);
    if (bad.size === 0) break;
    for (const [{ group }, why] of bad) leave(group, why);
    plans = plans.filter((plan) => !bad.has(plan));
  }
  return { changes: plans.map(({ change }) => change), untouched };
}

/** The pods of a workload, as a rule names them; a text where none can. */
type PeerOf = (workload: Workload) => Peer | string;

function peersOf(groups: readonly SelectorGroup[]): PeerOf {
  const groupOf = new Map(groups.flatMap((group) => group.workloads.map((own) => [own, group] as const)));
  return (workload) => {
    const group = groupOf.get(workload);
    if (group === undefined) return `no selector tells the pods of ${workload.key}`;
    if (workload.hostNetwork) return `${workload.key} is on its node's network, which no selector tells`;
    if (workload.dataplane === "ambient") return `${workload.key} is reached through tunnels to port 15008`;
    return { namespaceSelector: inNamespace(group.namespace), podSelector: { matchLabels: group.selector } };
  };
}

function inNamespace(name: string): object {
  return { matchLabels: { "kubernetes.io/metadata.name": name } };
}

function arrivalsOf({ servers }: Evidence): Arrivals {
  const all = [...servers].flatMap(([server, ports]) =>
    [...ports].flatMap(([port, { uses }]) =>
      [...new Set(uses.map(({ principal }) => principal))].map((principal) => ({ principal, server, port })),
    ),
  );
  return Map.groupBy(all, ({ principal }) => principal);
}

interface Known {
  readonly peerOf: PeerOf;
  readonly arrivals: Arrivals;
  readonly ways: ClientWays;
}

/** Undefined: nothing was seen of it as a client. A text: why not. */
function planFor(
  mesh: Mesh,
  evidence: Evidence,
  group: SelectorGroup,
  known: Known,
): EgressPlan | string | undefined {
  const { workloads } = group;
  const flows = workloads.flatMap(({ key }) => [...(evidence.clients.get(key)?.values() ?? [])]);
  if (flows.length === 0 || workloads.some(({ role }) => role !== "application")) return undefined;
  const why = whyNot(mesh, evidence, group);
  if (why !== undefined) return why;
  const needed = proxyDestinations(mesh);
  if (typeof needed === "string") return needed;
  const rules = new Rules(known.peerOf);
  for (const place of needed) rules.add(place);
  for (const flow of flows) {
    const places = placesFor(mesh, known.ways, flow);
    if (typeof places === "string") return places;
    for (const place of places) rules.add(place);
  }
  for (const { spiffeId } of workloads)
    for (const { server, port } of known.arrivals.get(spiffeId.slice("spiffe://".length)) ?? []) {
      const workload = meshDirectory(mesh).workloads.get(server);
      if (workload !== undefined) rules.add({ workload, port, address: "" });
    }
  if (rules.problem !== undefined) return rules.problem;
  return { group, flows, change: changeFor(mesh, group, rules.egress(mesh)) };
}

function whyNot(mesh: Mesh, evidence: Evidence, { workloads }: SelectorGroup): string | undefined {
  const policies = networkPolicies(mesh);
  for (const workload of workloads) {
    const { key, dataplane, hostNetwork, kind, capture } = workload;
    if (dataplane === "ambient") return "in ambient mode pods send through tunnels to port 15008";
    if (hostNetwork || kind === "WorkloadEntry") return `${key} is no pod with a network of its own`;
    if (capture !== undefined)
      return `the proxy of ${key} is told to leave traffic alone: no record tells of it`;
    if (evidence.untold.has(key) || evidence.tooVaried.has(key))
      return `not all records of ${key} as a client tell a host`;
    const question = { subject: networkPod(mesh, workload), direction: "egress" } as const;
    if (selectingPolicies(policies, question).length > 0)
      return "network policies select it already, and add up";
  }
  return undefined;
}

/** All places where routes may have sent it, whatever was asked for there; a text where one has no pods or address in the files. */
function placesFor(mesh: Mesh, known: ClientWays, flow: ClientFlow): readonly Place[] | string {
  const { workload, host, port } = flow;
  if (flow.isPassedOn === true)
    return isAddress(host) ? [{ workload: undefined, port, address: host }] : withoutAddress(host, port);
  const client = meshDirectory(mesh).workloads.get(workload);
  const ways = client === undefined ? `${workload} is not in the files` : known.of(client, flow);
  if (typeof ways === "string") return ways;
  const places: Place[] = [];
  for (const cluster of ways.clusters) {
    const dialled = cluster.dialPort ?? cluster.port;
    const found = placesOf(mesh, { host: cluster.host, port: dialled }, cluster.service) ?? [];
    const isPlaced = found.every(({ workload: own, address }) => own !== undefined || isAddress(address));
    if (found.length === 0 || !isPlaced) return withoutAddress(cluster.host, dialled);
    places.push(...found);
  }
  if (ways.isPassedOn && !isAddress(host)) return withoutAddress(host, port);
  return ways.isPassedOn ? [...places, { workload: undefined, port, address: host }] : places;
}

function isAddress(text: string): boolean {
  return parseIpAddress(text) !== undefined;
}

function withoutAddress(host: string, port: number): string {
  return `${host} (port ${port}) has no address in the files that a NetworkPolicy could name`;
}

class Rules {
  readonly #peerOf: PeerOf;
  readonly #ports = new Map<string, Set<number>>();
  problem: string | undefined;

  constructor(peerOf: PeerOf) {
    this.#peerOf = peerOf;
  }

  add({ workload, port, address }: Place): void {
    const peer = workload === undefined ? blockOf(address) : this.#peerOf(workload);
    if (typeof peer === "string") {
      this.problem ??= peer;
      return;
    }
    const key = JSON.stringify(peer);
    const own = this.#ports.get(key) ?? new Set();
    this.#ports.set(key, own.add(port));
  }

  /** Peers with the same ports are one rule. */
  egress(mesh: Mesh): readonly object[] {
    const byPorts = Map.groupBy(this.#ports, ([, ports]) =>
      JSON.stringify([...ports].toSorted((a, b) => a - b)),
    );
    const seen = [...byPorts].map(([ports, peers]) => ({
      to: peers.map(([peer]) => JSON.parse(peer) as Peer),
      ports: (JSON.parse(ports) as readonly number[]).map((port) => ({ protocol: "TCP", port })),
    }));
    return [...seen, ...platformRules(mesh)];
  }
}

/** A name that DNS leads somewhere is no peer. */
function blockOf(address: string): Peer | string {
  return isAddress(address)
    ? { ipBlock: { cidr: `${address}/${address.includes(":") ? 128 : 32}` } }
    : `${address} is no address that a NetworkPolicy could name`;
}

function changeFor(
  mesh: Mesh,
  { namespace, selector, workloads }: SelectorGroup,
  egress: readonly object[],
): ResourceChange {
  const taken = new Set(
    mesh.resources
      .filter((own) => own.kind === "NetworkPolicy" && own.namespace === namespace)
      .map(({ name }) => name),
  );
  const base = `${workloads[0]?.name ?? "workload"}-egress-as-seen`;
  let name = base;
  for (let at = 2; taken.has(name); at++) name = `${base}-${at}`;
  return {
    action: "add",
    manifest: {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name, namespace, annotations: { [TIGHTENED]: WHY } },
      spec: { podSelector: { matchLabels: selector }, policyTypes: ["Egress"], egress },
    },
    why: WHY,
  };
}

/** What would be wider, or hold back what was seen to go. */
async function problemsOf(
  mesh: Mesh,
  plans: readonly EgressPlan[],
): Promise<ReadonlyMap<EgressPlan, string>> {
  const after = await meshWith(
    mesh,
    plans.map(({ change }) => change),
  );
  const all = (why: string): ReadonlyMap<EgressPlan, string> => new Map(plans.map((plan) => [plan, why]));
  try {
    const wider = networkChanges(mesh, after, { widenedOnly: true }).find(
      ({ change }) => change === "widened",
    );
    if (wider !== undefined)
      return all(`it would open a way that is closed today: ${JSON.stringify(wider.connection)}`);
  } catch (error) {
    if (!(error instanceof AnalysisLimit)) throw error;
    return all(`${PROVEN}: ${error.message}`);
  }
  const found = new Map<EgressPlan, string>();
  for (const plan of plans)
    for (const flow of plan.flows) {
      if (found.has(plan)) break;
      if (await isCutOff(mesh, after, flow))
        found.set(plan, `what was seen would be held back: ${flow.host}:${flow.port}`);
    }
  return found;
}

async function isCutOff(before: Mesh, after: Mesh, flow: ClientFlow): Promise<boolean> {
  const request = dialledRequest(before, flow);
  if (request === undefined) return true;
  const options = { semantics: "istio", compareModes: false } as const;
  return (
    isHeldBack(await decide(after, request, options)) && !isHeldBack(await decide(before, request, options))
  );
}
