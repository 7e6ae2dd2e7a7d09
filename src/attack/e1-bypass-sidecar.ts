/** Past the sidecar: a process in the pod that opens its own sockets. */
import { createSocket } from "node:dgram";
import { socketPort } from "../model/placement.ts";
import { toPlacement } from "../substrate/assignment.ts";
import type { Attack, AttackResult, AttackStep } from "./attack.ts";
import { clientHello } from "./client-hello-bytes.ts";
import { type Attempt, conclude, notPossible } from "./conclude.ts";
import { stepsOnTheWire } from "./e1-on-the-wire.ts";
import { REAL_HOSTS } from "./e2-other-identitys-host.ts";
import { controlThroughGateway } from "./egress-attempt.ts";
import { type EgressRoute, egressRoutes } from "./egress-targets.ts";
import { requestBytes, sendAllowed } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { callableTargets } from "./targets.ts";
import { type Address, converse, dial, preview } from "./wire.ts";

const ID = "e1";

const FINDING = "below the mesh nothing holds back a process that opens its own socket";
const FIX = "enforce NetworkPolicy or a firewall that lets only the gateway out; this substrate has none";

export const bypassSidecar: Attack = {
  id: ID,
  title: "straight to an external host, or to an application, past the sidecar",
  rows: ["E1"],
  needs: "an egress gateway with a host that somebody may reach, or an application behind a sidecar",
  plan(mesh) {
    const route = egressRoutes(mesh).find(({ verdict }) => verdict.allowed);
    if (mesh.wire !== undefined) return route === undefined ? [] : stepsOnTheWire(mesh, mesh.wire, route);
    return [...(route === undefined ? [] : waysOut(mesh, route)), ...applicationPort(mesh)];
  },
};

function waysOut(mesh: MeshUnderAttack, route: EgressRoute): readonly AttackStep[] {
  const standIn = mesh.assignments.standIns.find(({ host }) =>
    host.startsWith("*.") ? route.host.endsWith(host.slice(1)) : host === route.host,
  );
  const port = socketPort(toPlacement(mesh.assignments), route.port);
  const from = route.source.address;
  const host = standIn?.address ?? "";
  const tcp = (tried: string, address: Address) => ({ tried, reach: () => reachTls(address, route.host) });
  return [
    tcp("a raw socket to the host", { host, port, localAddress: from }),
    tcp("a raw socket under the proxy's own uid", { host, port }),
    tcp("a raw socket to another port of the host", { host, port: port + 1, localAddress: from }),
    tcp("a raw socket over IPv6", { host: `::ffff:${host}`, port }),
    { tried: "UDP (QUIC) to the host", reach: () => reachUdp(host, port) },
  ].map(({ tried, reach }) => {
    const step = {
      tried,
      from: `${route.source.workload} (a process in the pod)`,
      target: `${route.host}:${route.port}`,
    };
    return {
      ...step,
      run: async () => {
        if (standIn === undefined) return [notPossible(ID, step, REAL_HOSTS)];
        const control = await controlThroughGateway(route, await mesh.identityOf(route.source));
        return [await judge(mesh, step, control, await reach())];
      },
    };
  });
}

/** The application's own port, behind its sidecar: no certificate, no policy. */
function applicationPort(mesh: MeshUnderAttack): readonly AttackStep[] {
  const [callable] = callableTargets(mesh);
  if (callable === undefined) return [];
  const { target, call } = callable;
  const own = target.pod.applicationPorts.find(({ port }) => port === target.port);
  if (own === undefined) return [];
  const step = {
    tried: "the application's own port, past its sidecar's inbound side",
    from: "any process that finds the port",
    target: `${target.workload.key}:${target.port}`,
  };
  const reach = () => reachPlain({ host: own.host, port: own.socketPort }, requestBytes(call.request));
  const run = async () => {
    const control = await sendAllowed(mesh, target, call.source, call.request);
    return [await judge(mesh, step, control, await reach())];
  };
  return [{ ...step, run }];
}

/**
 * A substrate that does not hold such sockets back cannot stop them: then what got through is said, and what did not (nothing
 * listens) proves nothing.
 */
async function judge(
  mesh: MeshUnderAttack,
  step: Pick<AttackStep, "tried" | "from" | "target">,
  control: Attempt,
  attempt: Attempt,
): Promise<AttackResult> {
  const promised = {
    allowed: false,
    words: "refused: everything that leaves has to pass the sidecar and the gateway",
  };
  const result = await conclude(mesh, { attack: ID, step, promised, control, attempt });
  if (mesh.notCaptured === undefined) return result;
  const what = attempt.reached ? "IT WAS REACHED" : "it was not reached, but not because it was stopped";
  return {
    ...result,
    outcome: "not possible here",
    logged: null,
    happened: `${what}: ${attempt.happened}; ${mesh.notCaptured}`,
    ...(attempt.reached ? { finding: FINDING, fix: FIX } : {}),
  };
}

async function reachTls(address: Address, serverName: string): Promise<Attempt> {
  return reachPlain(address, await clientHello(serverName));
}

async function reachPlain(address: Address, bytes: Buffer): Promise<Attempt> {
  const dialled = await dial(address, 1500);
  const { local, startedAtMs } = dialled;
  if ("failure" in dialled) {
    const { failure } = dialled;
    return {
      reached: false,
      nothingThere: failure,
      happened: failure,
      evidence: { seen: failure },
      local,
      startedAtMs,
    };
  }
  const heard = await converse(dialled.socket, { say: [bytes], quietMs: 80, timeoutMs: 1500 });
  const { length } = heard.bytes;
  return {
    reached: length > 0,
    happened:
      length > 0 ? `${length} bytes came back: ${preview(heard.bytes, 16)}` : "connected, no byte came back",
    evidence: { bytesReceived: length },
    local,
    startedAtMs,
  };
}

/** What a QUIC client's first packet looks like does not matter: nothing here answers UDP, and nothing holds it back. */
function reachUdp(host: string, port: number): Promise<Attempt> {
  const startedAtMs = Date.now();
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const finish = (reached: boolean, happened: string) => {
      clearTimeout(timer);
      socket.close();
      resolve({
        reached,
        nothingThere: happened,
        happened,
        evidence: { seen: happened },
        local: undefined,
        startedAtMs,
      });
    };
    const timer = setTimeout(() => finish(false, "sent, no answer"), 500);
    socket.once("message", () => finish(true, "an answer came back"));
    socket.once("error", (error) => finish(false, error.message));
    socket.connect(port, host, () => socket.send(Buffer.alloc(1200, 0xc0)));
  });
}
