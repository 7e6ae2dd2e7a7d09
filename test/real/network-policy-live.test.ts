/**
 * Network policies as a running mesh loads them, tried with packets: TCP, UDP and SCTP over both families, between pods, to and from
 * outside. What arrives is what `map` shows and `can` says; what does not is in the firewall's own sets, with its reason.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { policyRules } from "../../src/control/netns/policy-rules.ts";
import { type AccessRequest, can } from "../../src/index.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import { addressesOf } from "../../src/model/placement.ts";
import type { AddressFamily, AddressRange } from "../../src/policy/network/address-range.ts";
import { addressRange, liesIn } from "../../src/policy/network/address-range.ts";
import { hasConnection, type NetworkProtocol } from "../../src/policy/network/connection-set.ts";
import { decideNetwork, type NetworkEnd } from "../../src/policy/network/decide-network.ts";
import { NetworkMap } from "../../src/policy/network/network-map.ts";
import { networkPod } from "../../src/policy/network/network-pod.ts";
import { networkPolicies } from "../../src/policy/network/network-policies.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { type Assignments, NO_ASSIGNMENTS } from "../../src/substrate/assignment.ts";
import { type DroppedAttempt, parseFabric } from "../../src/substrate/netns/drop-reader.ts";
import { ATTEMPT_SETS, type DropReason, FABRIC_TABLE } from "../../src/substrate/netns/fabric-rules.ts";
import { NetnsHost } from "../../src/substrate/netns/host.ts";
import { fabricOf, NETNS_FOLDER, namespaceOf, outsideOf } from "../../src/substrate/netns/names.ts";
import { netnsSubstrate } from "../../src/substrate/netns/netns.ts";
import { until } from "./live-mesh.ts";
import { SKIP } from "./netns/in-pod.ts";
import { PacketAgent, type Probe, type ServedPorts } from "./netns/packet-agent.ts";
import { CAPTURED, GATEWAY, livePoliciesArbitrary, meshOf, OUTSIDE } from "./netns/policy-mesh.ts";
import { program } from "./programs.ts";

const SEED = 20_261_122;
const SETS = Number(process.env.BULWARK_RUNS ?? 20);
const PORTS: ServedPorts = { TCP: [53, 80, 8080, 9000], UDP: [53, 80, 8080, 9000], SCTP: [80] };
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const FAMILIES = [4, 6] as const;
const ARRIVES_MS = 120_000;

const meshId = `network-policy-live-${process.pid}`;
const host = new NetnsHost(meshId);
const substrate = netnsSubstrate({ meshId, simulateExternal: false });
const standIns = [{ host: "outside", address: OUTSIDE[4][0], address6: OUTSIDE[6][0], ports: [] }];

/** Somebody who sends and is sent to: a pod's agent, or the outside's at one of its addresses. */
interface Peer {
  readonly name: string;
  readonly agent: PacketAgent;
  readonly addresses: Readonly<Record<AddressFamily, string>>;
  /** Its place among the mesh's workloads; absent: it is outside. */
  readonly at?: number;
}

let peers: readonly Peer[] = [];
let agents: readonly PacketAgent[] = [];
let assignments: Assignments = NO_ASSIGNMENTS;

async function load(mesh: Mesh): Promise<void> {
  assignments = { ...(await substrate.assign(mesh, assignments)), standIns };
  const flushed = ATTEMPT_SETS.map(({ name }) => `flush set ${FABRIC_TABLE} ${name}\n`).join("");
  await host.apply(assignments, `${policyRules(mesh, assignments)}${flushed}`);
}

before(async () => {
  if (SKIP !== false) return;
  const mesh = meshOf([]);
  await load(mesh);
  const pods = mesh.workloads.map((workload, at): Peer => {
    const pod = assignments.pods.find(({ workload: key }) => key === workload.key);
    assert.ok(pod?.network !== undefined && pod.address6 !== undefined);
    assert.deepEqual(workload.addresses, addressesOf(pod), "the files have the addresses that pods get");
    assert.equal(pod.network.interception !== undefined, workload.key === CAPTURED);
    const agent = new PacketAgent(namespaceOf(host.tag, String(pod.network.slot)), workload.addresses, PORTS);
    return { name: workload.key, agent, addresses: { 4: pod.address, 6: pod.address6 }, at };
  });
  const outside = new PacketAgent(outsideOf(host.tag), [...OUTSIDE[4], ...OUTSIDE[6]], PORTS);
  const addresses = OUTSIDE[4].map((ipv4, at) => ({ 4: ipv4, 6: OUTSIDE[6][at] ?? OUTSIDE[6][0] }));
  peers = [...pods, ...addresses.map((own) => ({ name: own[4], agent: outside, addresses: own }))];
  agents = [...new Set(peers.map(({ agent }) => agent))];
  await Promise.all(agents.map((agent) => agent.ready()));
});

after(async () => {
  for (const agent of agents) agent.end();
  if (SKIP === false) await host.remove();
});

interface Asked extends Probe {
  readonly from: Peer;
  readonly to: Peer;
  readonly family: AddressFamily;
}

function probesBetween(isAsked: (from: Peer, to: Peer, protocol: NetworkProtocol) => boolean): Asked[] {
  const probes: Asked[] = [];
  for (const from of peers)
    for (const to of peers)
      if (from.agent !== to.agent)
        for (const family of FAMILIES)
          for (const protocol of PROTOCOLS)
            for (const port of isAsked(from, to, protocol) ? PORTS[protocol] : []) {
              const [source, destination] = [from.addresses[family], to.addresses[family]];
              const sourcePort = from.agent.freshPort();
              probes.push({
                id: probes.length,
                protocol,
                source,
                sourcePort,
                destination,
                port,
                from,
                to,
                family,
              });
            }
  return probes;
}

function dropped(): Map<string, DropReason> {
  const args = [`--net=${NETNS_FOLDER}/${fabricOf(host.tag)}`, program("nft"), "-j", "list", "table"];
  const json = execFileSync(program("nsenter"), [...args, ...FABRIC_TABLE.split(" ")], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  return new Map(parseFabric(json).attempts.map((attempt) => [keyOf(attempt), attempt.reason]));
}

function keyOf({ protocol, sourceIp, sourcePort, destinationIp, destinationPort }: DroppedAttempt): string {
  return [protocol, sourceIp, sourcePort, destinationIp, destinationPort].join(" ");
}

function keyOfProbe({ protocol, source, sourcePort, destination, port }: Probe): string {
  return [protocol.toLowerCase(), source, sourcePort, destination, port].join(" ");
}

/** Sends all of them; each arrives, and is answered, or is found among what the firewall dropped. @returns why it did not, or "" */
async function tried(probes: readonly Asked[], which: string): Promise<readonly (DropReason | "")[]> {
  for (const agent of agents) agent.send(probes.filter(({ from }) => from.agent === agent));
  let drops = dropped();
  const isSettled = (probe: Asked): boolean =>
    probe.from.agent.got.has(probe.id) || drops.has(keyOfProbe(probe));
  const settled = async (): Promise<void> => {
    const condition = (): boolean => {
      drops = dropped();
      return probes.every(isSettled);
    };
    await until(condition, `${which}: every packet arrives or is dropped`, ARRIVES_MS);
  };
  await settled().catch((error: unknown) => {
    const lost = probes.filter((probe) => !isSettled(probe)).map(keyOfProbe);
    assert.fail(`${error}: not ${lost.length} of ${probes.length}: ${lost.slice(0, 5).join("; ")}`);
  });
  const results = probes.map((probe) => {
    const why = drops.get(keyOfProbe(probe)) ?? "";
    assert.equal(probe.from.agent.got.has(probe.id), why === "", `${which}: ${keyOfProbe(probe)} ${why}`);
    return why;
  });
  await Promise.all(agents.map((agent) => agent.forget()));
  return results;
}

/** What the map shows of a connection, and what decides about pods and gateways besides it. */
class Expected {
  readonly #mesh: Mesh;
  readonly #maps: Readonly<Record<AddressFamily, NetworkMap>>;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
    const policies = networkPolicies(mesh);
    const pods = mesh.workloads.map((workload) => networkPod(mesh, workload));
    const map = (family: AddressFamily) =>
      new NetworkMap(policies, pods, { families: [family], blocks: "addresses", family });
    this.#maps = { 4: map(4), 6: map(6) };
  }

  byMap({ from, to, family, protocol, port, source, destination }: Asked): boolean {
    const map = this.#maps[family];
    if (from.at !== undefined && to.at !== undefined)
      return hasConnection(map.between(from.at, to.at), protocol, port);
    const edges = from.at === undefined ? map.fromOutside(to.at ?? -1) : map.toOutside(from.at);
    const address = addressRange(from.at === undefined ? source : destination);
    assert.ok(address !== undefined);
    return [...edges].some(
      (edge) =>
        liesIn(address, [(from.at === undefined ? edge.from : edge.to) as AddressRange]) &&
        hasConnection(edge.connections, protocol, port),
    );
  }

  byDecision({ from, to, family, protocol, port, source, destination }: Asked): boolean {
    const end = ({ at }: Peer, address: string): NetworkEnd =>
      at === undefined ? { address } : { pod: networkPod(this.#mesh, this.#workload(at)) };
    const asks = (direction: "ingress" | "egress", { at }: Peer, other: NetworkEnd): boolean =>
      at === undefined ||
      decideNetwork(networkPolicies(this.#mesh), {
        direction,
        subject: networkPod(this.#mesh, this.#workload(at)),
        other,
        protocol,
        port,
        family,
      }).outcome === "allow";
    return asks("egress", from, end(to, destination)) && asks("ingress", to, end(from, source));
  }

  #workload(at: number): Workload {
    const workload = this.#mesh.workloads[at];
    assert.ok(workload !== undefined);
    return workload;
  }
}

/** As `can` is asked: it knows of TCP alone. */
function requestOf({ from, to, port, source, destination }: Asked): AccessRequest {
  const asked = { protocol: "tcp" } as const;
  if (from.at === undefined)
    return {
      ...asked,
      from: { ip: source, principal: null },
      to: { workload: to.name, port, ip: destination },
    };
  return { ...asked, from: { workload: from.name }, to: { host: destination, port, ip: destination } };
}

async function checkCan(
  mesh: Mesh,
  probes: readonly Asked[],
  results: readonly string[],
  which: string,
): Promise<number> {
  const asked = probes.flatMap((probe, at) =>
    probe.protocol === "TCP" &&
    probe.from.name !== GATEWAY &&
    probe.to.name !== GATEWAY &&
    results[at] !== "from-outside"
      ? [{ probe, arrived: results[at] === "" }]
      : [],
  );
  const decisions = await can(
    mesh,
    asked.map(({ probe }) => requestOf(probe)),
  );
  for (const [at, { probe, arrived }] of asked.entries()) {
    const { allowed, reason } = decisions[at] ?? assert.fail();
    assert.equal(allowed, arrived, `${which}: can says ${reason}: ${keyOfProbe(probe)}`);
    assert.notEqual(reason, "unknown");
  }
  return asked.length;
}

/** Pods without a proxy, the gateway, and the outside; a gateway's proxy is passed by nothing but TCP. */
function isJudgedByPolicies(from: Peer, to: Peer, protocol: NetworkProtocol): boolean {
  const names = [from.name, to.name];
  return !names.includes(CAPTURED) && (protocol === "TCP" || !names.includes(GATEWAY));
}

/** What stands before every policy: from outside only gateways are reached, by TCP. */
function isClosedFromOutside({ from, to }: Asked): boolean {
  return from.at === undefined && to.name !== GATEWAY;
}

async function checkSet(policies: readonly Resource[], which: string): Promise<Figures> {
  const mesh = meshOf(policies);
  await load(mesh);
  const probes = probesBetween(isJudgedByPolicies);
  const results = await tried(probes, which);
  const expected = new Expected(mesh);
  for (const [at, probe] of probes.entries()) {
    const shown = expected.byMap(probe);
    assert.equal(expected.byDecision(probe), shown, `${which}: map and decision: ${keyOfProbe(probe)}`);
    const why = isClosedFromOutside(probe) ? "from-outside" : shown ? "" : "network-policy";
    assert.equal(results[at], why, `${which}: ${keyOfProbe(probe)}`);
  }
  const asked = await checkCan(mesh, probes, results, which);
  const refused = probes.filter((_, at) => results[at] === "network-policy");
  const of = (isCounted: (probe: Asked) => boolean): number => refused.filter(isCounted).length;
  return {
    tried: probes.length,
    refused: refused.length,
    refusedIpv6: of(({ family }) => family === 6),
    refusedUdp: of(({ protocol }) => protocol === "UDP"),
    refusedSctp: of(({ protocol }) => protocol === "SCTP"),
    askedOfCan: asked,
  };
}

type Figures = Readonly<
  Record<"tried" | "refused" | "refusedIpv6" | "refusedUdp" | "refusedSctp" | "askedOfCan", number>
>;

test(`${SETS} random sets of network policies: what arrives, between every two pods and to and from outside, is what map shows and can says`, {
  skip: SKIP,
}, async (t) => {
  const sums: Record<string, number> = {};
  for (const [at, policies] of fc.sample(livePoliciesArbitrary, { seed: SEED, numRuns: SETS }).entries()) {
    const figures = await checkSet(policies, `set ${at} of seed ${SEED}`);
    for (const [name, count] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + count;
  }
  t.diagnostic(JSON.stringify(sums));
  for (const [name, count] of Object.entries(sums)) assert.ok(count > SETS, `${name}: ${count}`);
});

test("UDP and SCTP never come to a pod with a proxy, nor from it, whatever network policies allow", {
  skip: SKIP,
}, async () => {
  await load(meshOf([]));
  const hasProxy = ({ name }: Peer): boolean => name === CAPTURED || name === GATEWAY;
  const asked = probesBetween((from, to, protocol) => protocol !== "TCP" && (hasProxy(from) || hasProxy(to)));
  // Names are asked of the pod's own sidecar.
  const probes = asked.filter(({ from, port }) => from.name !== CAPTURED || port !== 53);
  const results = await tried(probes, "without policies");
  for (const [at, probe] of probes.entries())
    assert.equal(results[at], probe.from.at === undefined ? "from-outside" : "not-tcp", keyOfProbe(probe));
});
