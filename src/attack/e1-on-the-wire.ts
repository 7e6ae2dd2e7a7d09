/** Where pods are network namespaces: every way out of a pod, by its application's user and by its root, and what a capture outside saw of it. */
import { compileOutbound } from "../policy/outbound/compile-outbound.ts";
import { CLUSTER_DNS } from "../substrate/netns/addresses.ts";
import type { AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible, type Promised } from "./conclude.ts";
import { REAL_HOSTS } from "./e2-other-identitys-host.ts";
import { controlThroughGateway } from "./egress-attempt.ts";
import type { EgressRoute } from "./egress-targets.ts";
import type { FootholdUser } from "./foothold/foothold.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { mayConnect } from "./network-reach.ts";
import { once } from "./once.ts";
import { noted } from "./step-order.ts";
import { workloadOf } from "./targets.ts";
import { isGateway, settled, type Trial, tryWay } from "./try-way.ts";
import { type WayOut, waysOut } from "./ways-out.ts";
import type { WireOfMesh } from "./wire-of-mesh.ts";

const ID = "e1";

const FINDING = "pods may leave the mesh by themselves: nothing below the mesh makes a gateway the only way";
const FIX =
  "route the hosts through an egress gateway (`bulwark firewall export` writes the rules for a cluster), or deny egress by NetworkPolicy";

/** @param route a host that somebody may reach: its control is that one, through the gateway. */
export function stepsOnTheWire(
  mesh: MeshUnderAttack,
  wire: WireOfMesh,
  route: EgressRoute,
): readonly AttackStep[] {
  const standIn = mesh.assignments.standIns.find(({ host }) =>
    host.startsWith("*.") ? route.host.endsWith(host.slice(1)) : host === route.host,
  );
  const target = `${route.host}:${route.port}`;
  const places = (user: FootholdUser) => `${route.source.workload} (${POSITIONS[user]})`;
  if (standIn?.address6 === undefined)
    return [impossible({ tried: bypassTitle, from: places("root"), target }, REAL_HOSTS)];
  const scene: Scene = { mesh, wire, route, control: once(() => controlOf(mesh, wire, route)) };
  const { address, address6 } = standIn;
  const ways = waysOut({
    host: address,
    host6: address6,
    name: route.host,
    port: route.port,
    resolver: CLUSTER_DNS.address,
    gateway: route.gateway.address,
  });
  const trial: Trial = {
    attack: ID,
    mesh,
    wire,
    source: route.source,
    control: scene.control,
    promised: (way) => promisedFor(scene, way),
  };
  const under: Promise<unknown>[] = [];
  const steps = ways.map((way) => {
    const step = { tried: way.tried, from: places(way.user), target: `${route.host} (${way.host})` };
    const run = async () => {
      // What changes the pod's own rules must not change them for others.
      if (way.alone === true) await Promise.allSettled(under);
      return [await tryWay(trial, step, way)];
    };
    return { ...step, run: noted(run, under) };
  });
  return [...steps, countersStep(scene, under)];
}

const bypassTitle = "ways out past the sidecar";
const POSITIONS: Readonly<Record<FootholdUser, string>> = {
  application: "code execution as the application's user",
  root: "root in the pod",
};

interface Scene {
  readonly mesh: MeshUnderAttack;
  readonly wire: WireOfMesh;
  readonly route: EgressRoute;
  readonly control: () => Promise<Attempt>;
}

function impossible(step: Pick<AttackStep, "tried" | "from" | "target">, why: string): AttackStep {
  return { ...step, run: async () => [notPossible(ID, step, why)] };
}

/** The legitimate way, and that the capture sees it: a capture that sees nothing proves nothing. */
async function controlOf(mesh: MeshUnderAttack, wire: WireOfMesh, route: EgressRoute): Promise<Attempt> {
  const capture = wire.capture("outside");
  const from = capture.length;
  const attempt = await controlThroughGateway(route, await mesh.identityOf(route.source));
  await settled();
  const seen = capture.since(from).filter(({ source }) => source === route.gateway.address).length;
  return {
    ...attempt,
    reached: attempt.reached && seen > 0,
    happened: `${attempt.happened}; the capture outside saw ${seen} packets of the gateway`,
  };
}

/** Two things must both let it: the sidecar, where it is captured, and the firewall outside of the pod. */
function promisedFor({ mesh, route: { source, gateway } }: Scene, way: WayOut): Promised {
  const { host, port, name } = way;
  const isLet =
    way.isTcp === true &&
    port !== undefined &&
    way.forged !== true &&
    source.network?.mayLeave === true &&
    mayConnect(mesh, source, { address: host }, port);
  const outbound = compileOutbound(mesh.mesh, workloadOf(mesh, source));
  const passes =
    way.user === "root" ||
    (port !== undefined && outbound.routeTls({ host, port, sni: name }).kind !== "refuse");
  return {
    allowed: isLet && passes,
    words:
      isLet && passes
        ? "allowed: in this mesh every pod may leave"
        : `refused: only ${gateway.workload} may leave, and TCP alone`,
    finding: FINDING,
    fix: FIX,
  };
}

/** The last word: what arrived outside in all that time, counted there, by who sent it. */
function countersStep({ mesh, wire, route, control }: Scene, under: readonly Promise<unknown>[]): AttackStep {
  const step = {
    tried: "all of these ways, by the counters of the network",
    from: `${route.source.workload} (both positions)`,
    target: "any host outside",
  };
  const before = wire.counters();
  // Its failure is the step's.
  before.catch(() => {});
  const run = async () => {
    await Promise.allSettled(under);
    const [from, to] = [await before, await wire.counters()];
    const grown = [...to.arrived].map(
      ([ip, packets]) => [ip, packets - (from.arrived.get(ip) ?? 0)] as const,
    );
    const arrived = Object.fromEntries(grown.filter(([, packets]) => packets > 0));
    const strangers = Object.keys(arrived).filter((ip) => !isGateway(mesh, ip));
    const dropped = to.dropped - from.dropped;
    const attempt: Attempt = {
      reached: strangers.length > 0,
      happened: `arrived outside: ${
        Object.entries(arrived)
          .map(([ip, packets]) => `${packets} packets from ${ip}`)
          .join(", ") || "nothing"
      }; dropped before: ${dropped}`,
      evidence: { counters: { dropped, leftByOthers: to.leftByOthers - from.leftByOthers, arrived } },
      local: undefined,
      startedAtMs: Date.now(),
      harmless: "the firewall outside of the pods",
    };
    const promised = {
      allowed: route.source.network?.mayLeave === true,
      words: "nothing arrives but what gateways sent",
      finding: FINDING,
      fix: FIX,
    };
    return [await conclude(mesh, { attack: ID, step, promised, control: await control(), attempt })];
  };
  return { ...step, run };
}
