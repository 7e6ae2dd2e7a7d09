/** The ports of proxies and of the control plane: who reaches them, and what they say to strangers. */
import { OUTBOUND_PROXY_PORT } from "../model/placement.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { Attack, AttackResult, AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible } from "./conclude.ts";
import { parseAnswers } from "./http-answer.ts";
import { proxyPortsOnTheWire } from "./m10-on-the-wire.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import { attackers, callableTargets, serviceAuthority } from "./targets.ts";
import { type Address, converse, dial, preview } from "./wire.ts";

const ID = "m10";

/** Ports that Istio's proxies and control plane have, and what they are for. */
const KNOWN_PORTS: Readonly<Record<number, string>> = {
  15000: "the proxy's admin port",
  15004: "the proxy's debug port",
  15006: "the inbound capture port",
  15008: "the HBONE port",
  15010: "the control plane's plaintext xDS",
  15014: "the control plane's monitoring",
  15020: "the proxy's merged metrics",
  15021: "the proxy's health port",
  15090: "the proxy's metrics",
};

export const proxyPorts: Attack = {
  id: ID,
  title: "the proxy's own ports",
  rows: ["M10"],
  needs: "two workloads with sidecars",
  plan(mesh) {
    if (mesh.wire !== undefined) return [...proxyPortsOnTheWire(mesh, mesh.wire), ...waysOutOnTheWire(mesh)];
    const [victim] = attackers(mesh);
    const attacker = attackers(mesh).find(({ spiffeId }) => spiffeId !== victim?.spiffeId);
    if (victim === undefined || attacker === undefined) return [];
    const service = callableTargets(mesh)
      .map(({ target }) => serviceAuthority(mesh, target))
      .find((authority) => authority !== undefined);
    return [
      portsStep(mesh, attacker, victim),
      ...(service === undefined ? [] : outboundSteps(mesh, attacker, victim, service)),
    ];
  },
};

/** A workload that may reach the other, so that not network policies refuse what the secret should. */
function waysOutOnTheWire(mesh: MeshUnderAttack): readonly AttackStep[] {
  const found = callableTargets(mesh).find(({ target, call }) => call.source !== target.pod);
  const service = found === undefined ? undefined : serviceAuthority(mesh, found.target);
  return found === undefined || service === undefined
    ? []
    : outboundSteps(mesh, found.call.source, found.target.pod, service);
}

/** Those that are open one by one, those that are closed in one line: where nobody listens, nothing was refused. */
function portsStep(mesh: MeshUnderAttack, attacker: PodAssignment, victim: PodAssignment): AttackStep {
  const from = `${attacker.workload} (a process in the pod)`;
  const step = { tried: "ports that Istio's proxies and control plane have", from, target: victim.workload };
  return {
    ...step,
    run: async () => {
      const results: AttackResult[] = [];
      const closed: string[] = [];
      for (const [port, what] of Object.entries(KNOWN_PORTS)) {
        const attempt = await ask(
          attacker,
          victim.address,
          Number(port),
          "GET /config_dump HTTP/1.1\r\nhost: x\r\n\r\n",
        );
        if (attempt.nothingThere !== undefined) closed.push(port);
        else results.push(await judgeOpenPort(mesh, { ...step, tried: `${what} (${port})` }, attempt));
      }
      const why = `nothing listens on ${closed.join(", ")}: there is nothing to reach, and nothing that refused`;
      return closed.length === 0 ? results : [...results, notPossible(ID, step, why)];
    },
  };
}

function judgeOpenPort(
  mesh: MeshUnderAttack,
  step: Pick<AttackStep, "tried" | "from" | "target">,
  attempt: Attempt,
): Promise<AttackResult> {
  const promised = { allowed: false, words: "closed: nobody but the pod itself has business there" };
  const control = { ...attempt, reached: true, happened: "the port is open" };
  return conclude(mesh, { attack: ID, step, promised, control, attempt });
}

/** The sidecar's way out acts as its workload: it must ask for the workload's secret. */
function outboundSteps(
  mesh: MeshUnderAttack,
  attacker: PodAssignment,
  victim: PodAssignment,
  authority: string,
): readonly AttackStep[] {
  const url = `http://${authority}/`;
  const secrets: Readonly<Record<string, string>> = {
    "without a secret": "",
    "with the attacker's own secret": basic(attacker.outboundSecret),
    "with an empty secret": basic(""),
  };
  return Object.entries(secrets).map(([how, line]) => {
    const step = {
      tried: `the way out of another workload's sidecar, ${how}`,
      from: `${attacker.workload} (a process in the pod)`,
      target: `${victim.workload}:${OUTBOUND_PROXY_PORT}`,
    };
    return {
      ...step,
      run: async () => {
        const request = (credentials: string) =>
          `GET ${url} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}connection: close\r\n\r\n`;
        const control = await ask(
          victim,
          victim.address,
          OUTBOUND_PROXY_PORT,
          request(basic(victim.outboundSecret)),
          ownApplication(victim),
        );
        const attempt = await ask(attacker, victim.address, OUTBOUND_PROXY_PORT, request(line));
        const promised = {
          allowed: false,
          words: "refused: only the workload's own application has the secret",
        };
        return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
      },
    };
  });
}

function basic(secret: string): string {
  return `proxy-authorization: Basic ${Buffer.from(`bulwark:${secret}`).toString("base64")}\r\n`;
}

/** As the pod's application, which its capture rules let to its own pod's ports. */
function ownApplication({
  network,
  address: localAddress,
}: PodAssignment): Pick<Address, "localAddress" | "inside"> {
  return network === undefined
    ? { localAddress }
    : { inside: { namespace: network.namespace, uid: network.firstUid + network.applicationUid } };
}

async function ask(
  from: PodAssignment,
  host: string,
  port: number,
  text: string,
  position: Pick<Address, "localAddress" | "inside"> = pastSidecar(from),
): Promise<Attempt> {
  const dialled = await dial({ host, port, ...position });
  const { local, startedAtMs } = dialled;
  if ("failure" in dialled) {
    const { failure } = dialled;
    return {
      reached: false,
      nothingThere: "nothing listens there",
      happened: failure,
      evidence: {},
      local,
      startedAtMs,
    };
  }
  const heard = await converse(dialled.socket, {
    say: [Buffer.from(text, "latin1")],
    quietMs: 150,
    timeoutMs: 2500,
  });
  const [answer] = parseAnswers(heard.bytes);
  const status = answer?.status;
  return {
    reached: status === undefined ? heard.bytes.length > 0 : status < 400 || status === 404,
    happened:
      status === undefined
        ? heard.bytes.length > 0
          ? preview(heard.bytes)
          : "closed without a byte"
        : `HTTP ${status}`,
    evidence: { bytesReceived: heard.bytes.length, ...(status === undefined ? {} : { status }) },
    local,
    startedAtMs,
  };
}
