/** Where pods are network namespaces: what a compromised pod reaches of other pods' proxies, of the control plane, and of the node. */
import { CAPTURED_DNS_PORT, PROXY_UID } from "../dataplane/capture/captured-ports.ts";
import { CLUSTER_DNS, POD_GATEWAY } from "../substrate/netns/addresses.ts";
import type { AttackResult, AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible } from "./conclude.ts";
import type { FootholdUser } from "./foothold/foothold.ts";
import { sendAllowed } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { dnsQuestion, overTcp } from "./packets/build-packet.ts";
import { pastSidecar } from "./position.ts";
import { type AllowedCall, callableTargets, type HttpTarget } from "./targets.ts";
import { type Trial, tryWay } from "./try-way.ts";
import { bytes, type WayOut } from "./ways-out.ts";
import { converse, dial, dialTls, preview } from "./wire.ts";
import type { WireOfMesh } from "./wire-of-mesh.ts";

const ID = "m10";

/** Ports that Istio's proxies have in their pods, and what they are for. */
const PROXY_PORTS: Readonly<Record<number, string>> = {
  15000: "the proxy's admin port",
  15001: "the outbound capture port",
  15004: "the proxy's debug port",
  15006: "the inbound capture port",
  15008: "the HBONE port",
  15020: "the proxy's merged metrics",
  15021: "the proxy's health port",
  15053: "the proxy's DNS",
  15090: "the proxy's metrics",
};

const TLS_ALERT = 0x15;
const METADATA = "169.254.169.254";
/** The cluster's own: where pods find it, or would. */
const CONTROL_PLACES: readonly { readonly what: string; readonly host: string; readonly port: number }[] = [
  { what: "the control plane's plaintext xDS", host: CLUSTER_DNS.address, port: 15_010 },
  { what: "the control plane's xDS", host: CLUSTER_DNS.address, port: 15_012 },
  { what: "the control plane's monitoring", host: CLUSTER_DNS.address, port: 15_014 },
  { what: "the Kubernetes API", host: CLUSTER_DNS.address, port: 443 },
  { what: "the kubelet", host: POD_GATEWAY, port: 10_250 },
  { what: "the node's SSH", host: POD_GATEWAY, port: 22 },
  { what: "the metadata address", host: METADATA, port: 80 },
];

const REQUEST = Buffer.from("GET /config_dump HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");

/** From a workload that may call another, so that it is the mesh that is tried and not the network policies before it. */
export function proxyPortsOnTheWire(mesh: MeshUnderAttack, wire: WireOfMesh): readonly AttackStep[] {
  const found = callableTargets(mesh).find(({ target, call }) => call.source !== target.pod);
  if (found === undefined) return [];
  const scene = { mesh, wire, ...found };
  return [...neighboursPorts(scene), ...controlPlane(scene), ...files(scene)];
}

interface Scene {
  readonly mesh: MeshUnderAttack;
  readonly wire: WireOfMesh;
  readonly target: HttpTarget;
  readonly call: AllowedCall;
}

/** Past its own sidecar: once in clear, and once with a certificate of its own. */
function neighboursPorts(scene: Scene): AttackStep[] {
  const { mesh, wire, target, call } = scene;
  return Object.entries(PROXY_PORTS).flatMap(([text, what]) => {
    const port = Number(text);
    const isDns = port === CAPTURED_DNS_PORT;
    const say = isDns ? overTcp(dnsQuestion("kubernetes.default.svc.cluster.local")) : REQUEST;
    return (["in clear", "by mutual TLS"] as const).map((how) => {
      const step = {
        tried: `${what} of another pod (${port}), ${how}`,
        from: `${call.source.workload} (root in the pod)`,
        target: target.workload.key,
      };
      const run = async () => {
        const control = await sendAllowed(mesh, target, call.source, call.request);
        const attempt = await reach(scene, port, say, how === "by mutual TLS");
        const listening = await wire.listening(target.pod);
        const evidence = { ...attempt.evidence, seen: `listens in the pod: ${listening.join(", ")}` };
        // What came through to a port where nobody listens was refused by nobody.
        const isThere = how === "in clear" || listening.some((socket) => socket.endsWith(`:${port}`));
        const nothing = isThere ? {} : { nothingThere: "nothing listens there" };
        const promised = { allowed: false, words: "refused: nobody but the pod itself has business there" };
        return [
          await conclude(mesh, {
            attack: ID,
            step,
            promised,
            control,
            attempt: { ...attempt, ...nothing, evidence },
          }),
        ];
      };
      return { ...step, run };
    });
  });
}

/** Reached: the proxy said something of its own. What is refused behind a handshake is closed, or answered by HTTP as refused. */
async function reach(
  { mesh, target, call }: Scene,
  port: number,
  say: Buffer,
  isMutual: boolean,
): Promise<Attempt> {
  const address = { host: target.pod.address, port, ...pastSidecar(call.source) };
  const dialled = isMutual
    ? await dialTls(address, { credentials: await mesh.identityOf(call.source), ALPNProtocols: ["istio"] })
    : await dial(address);
  const { local, startedAtMs } = dialled;
  if ("failure" in dialled)
    return { reached: false, happened: dialled.failure, evidence: { bytesReceived: 0 }, local, startedAtMs };
  const heard = await converse(dialled.socket, { say: [say], quietMs: 150, timeoutMs: 1500 });
  const status = /^HTTP\/1\.1 (\d{3})/.exec(heard.bytes.toString("latin1"))?.[1];
  const isAlert = heard.bytes[0] === TLS_ALERT;
  const isRefusal = isAlert || status === "403" || status === "502" || status === "503";
  return {
    reached: heard.bytes.length > 0 && !isRefusal,
    happened: heard.bytes.length === 0 ? "closed without a byte" : preview(heard.bytes),
    evidence: {
      bytesReceived: heard.bytes.length,
      ...(status === undefined ? {} : { status: Number(status) }),
    },
    local,
    startedAtMs,
  };
}

function controlPlane({ mesh, wire, target, call }: Scene): AttackStep[] {
  const trial: Trial = {
    attack: ID,
    mesh,
    wire,
    source: call.source,
    control: () => sendAllowed(mesh, target, call.source, call.request),
    promised: () => ({
      allowed: false,
      words: "refused: of the network itself pods reach nothing but DNS, and outside only gateways do",
    }),
  };
  return CONTROL_PLACES.flatMap(({ what, host, port }) =>
    (["application", "root"] as const).map((user) => {
      const as = user === "root" ? PROXY_UID : undefined;
      const way: WayOut = {
        tried: `${what} (${host}:${port})`,
        user,
        host,
        port,
        name: "",
        isTcp: true,
        answerCounts: user === "root",
        act: bytes(host, port, () => REQUEST, as),
      };
      const step = {
        tried: way.tried,
        from: `${call.source.workload} (${who(user)})`,
        target: `${host}:${port}`,
      };
      return { ...step, run: async () => [await tryWay(trial, step, way)] };
    }),
  );
}

function who(user: FootholdUser): string {
  return user === "root" ? "root in the pod, past its sidecar" : "code execution as the application's user";
}

/** The control plane's socket and its secrets are files: what of them does the pod's file system hold? */
function files({ mesh, wire, target, call }: Scene): AttackStep[] {
  return (["application", "root"] as const).map((user) => {
    const step = {
      tried: "the control plane's socket, tokens and keys, as files",
      from: `${call.source.workload} (${user === "root" ? "root in the pod" : who(user)})`,
      target: "the mesh's state folder",
    };
    const run = async (): Promise<readonly AttackResult[]> => {
      const control = await sendAllowed(mesh, target, call.source, call.request);
      const word = await wire
        .foothold(call.source, user)
        .do({ kind: "run", words: ["ls", "-R", wire.statePath] });
      if (word.lost === true) return [notPossible(ID, step, word.failure ?? "nothing was tried")];
      const attempt: Attempt = {
        reached: word.connected,
        happened: word.connected ? "it can be listed" : "it cannot be entered",
        evidence: {
          seen: word.failure?.split("\n", 1)[0]?.replace(wire.statePath, "the state folder") ?? "",
        },
        local: undefined,
        startedAtMs: Date.now(),
        harmless: "the kernel: the pod's root is nobody on the machine",
      };
      const promised = { allowed: false, words: "refused: a pod sees its own token alone" };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    };
    return { ...step, run };
  });
}
