/** Gaps of capture: what comes to an application past its sidecar, by annotation, by another protocol or address, or while no proxy is there. */
import { randomBytes, randomInt } from "node:crypto";
import { HAND_OFF_ADDRESS, PROXY_UID } from "../dataplane/capture/captured-ports.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { Attack, AttackResult, AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible, type Promised } from "./conclude.ts";
import { promisedClear } from "./m1-plaintext.ts";
import { requestBytes, sendAllowed } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { mayConnect } from "./network-reach.ts";
import { forgedSyn } from "./packets/build-packet.ts";
import { pastSidecar } from "./position.ts";
import { type AllowedCall, attackers, callableTargets, type HttpTarget, isCaptured } from "./targets.ts";
import { settled } from "./try-way.ts";
import { converse, dial, preview } from "./wire.ts";
import type { WireOfMesh } from "./wire-of-mesh.ts";

const ID = "m12";
const REFUSED: Promised = {
  allowed: false,
  words: "refused: everything that comes to the application comes by its sidecar",
};
/** Proxies that were killed come back within some hundred milliseconds; a busy machine takes longer. */
const GONE_MS = 10_000;
const BACK_MS = 60_000;
const BETWEEN_MS = 2;

export const captureGaps: Attack = {
  id: ID,
  title: "gaps of capture: excluded ports, other protocols and addresses, no proxy, NET_ADMIN",
  rows: ["M12"],
  needs: "pods that are network namespaces (`up --substrate netns`), and a sidecar",
  // Rules are removed and proxies are killed.
  sequential: true,
  plan(mesh) {
    const { wire } = mesh;
    if (wire === undefined) return [];
    const [first] = callableTargets(mesh).filter(({ target, call }) => call.source !== target.pod);
    return [
      ...attackers(mesh).flatMap((pod) => excludedPorts(mesh, pod)),
      ...(first === undefined ? [] : gapsOf({ mesh, wire, ...first })),
      ...onHostsNetwork(mesh),
    ];
  },
};

/** Ports of the application, and those that annotations name, which no rule leads to the sidecar. */
function excludedPorts(mesh: MeshUnderAttack, pod: PodAssignment): AttackStep[] {
  const named = pod.network?.interception?.excludeInboundPorts ?? [];
  const ports = new Set([...pod.applicationPorts.map(({ port }) => port), ...named]);
  return [...ports].filter((port) => !isCaptured(pod, port)).map((port) => excludedPort(mesh, pod, port));
}

function excludedPort(mesh: MeshUnderAttack, pod: PodAssignment, port: number): AttackStep {
  const source = mesh.assignments.pods.find((other) => other !== pod && mayConnect(mesh, other, pod, port));
  const step = {
    tried: "plaintext to a port that its annotations take out of capture",
    from: source?.workload ?? "any pod",
    target: `${pod.workload}:${port}`,
  };
  const promised = {
    allowed: true,
    words: "allowed: the pod's annotations lead this port past its sidecar",
    finding: `${pod.workload}:${port} is reached past its sidecar: no mutual TLS, no policy, no record`,
    fix: "take the traffic.sidecar.istio.io annotation (or interceptionMode NONE) away, or let a NetworkPolicy say who may connect",
  };
  const run = async (): Promise<readonly AttackResult[]> => {
    if (source === undefined)
      return [notPossible(ID, step, "network policies let no other pod through to it")];
    const attempt = await inClear(
      source,
      pod.address,
      port,
      requestBytes({ method: "GET", path: "/", host: "x" }),
    );
    return [await conclude(mesh, { attack: ID, step, promised, control: attempt, attempt })];
  };
  return { ...step, run };
}

interface Scene {
  readonly mesh: MeshUnderAttack;
  readonly wire: WireOfMesh;
  readonly target: HttpTarget;
  readonly call: AllowedCall;
}

/** Every sidecar is captured by the same rules: one stands for all. */
function gapsOf(scene: Scene): AttackStep[] {
  return [
    secondAddress(scene),
    forgedHandOff(scene),
    datagrams(scene),
    withoutProxy(scene),
    withoutRules(scene),
  ];
}

function place({ target, call }: Scene, tried: string, from = `${call.source.workload} (root in the pod)`) {
  return { tried, from, target: `${target.workload.key}:${target.port}` };
}

/** Plaintext, past the attacker's own sidecar. */
async function inClear(
  source: PodAssignment,
  host: string,
  port: number,
  say: Buffer,
  timeoutMs = 1500,
): Promise<Attempt> {
  const { localAddress, ...from } = pastSidecar(source);
  const dialled = await dial(
    { host, port, ...from, ...(host.includes(":") ? {} : { localAddress }) },
    timeoutMs,
  );
  const { local, startedAtMs } = dialled;
  if ("failure" in dialled)
    return { reached: false, happened: dialled.failure, evidence: { bytesReceived: 0 }, local, startedAtMs };
  const { bytes } = await converse(dialled.socket, { say: [say], quietMs: 100, timeoutMs });
  return {
    reached: bytes.length > 0,
    happened: bytes.length > 0 ? `the application answered: ${preview(bytes, 24)}` : "closed without a byte",
    evidence: { bytesReceived: bytes.length },
    local,
    startedAtMs,
  };
}

function secondAddress(scene: Scene): AttackStep {
  const { mesh, target, call } = scene;
  const step = place(scene, "plaintext to the pod's IPv6 address");
  const run = async (): Promise<readonly AttackResult[]> => {
    const { address6 } = target.pod;
    if (address6 === undefined) return [notPossible(ID, step, "the pod has no second address")];
    const control = await sendAllowed(mesh, target, call.source, call.request);
    const attempt = await inClear(call.source, address6, target.socketPort, requestBytes(call.request));
    const promised = promisedClear(target, call);
    return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
  };
  return { ...step, run };
}

/** What comes from this address is let to the application: it is how a sidecar hands over. Nobody else may have it. */
function forgedHandOff(scene: Scene): AttackStep {
  const { mesh, wire, target, call } = scene;
  const step = place(scene, `a packet that claims to come from ${HAND_OFF_ADDRESS}`);
  const run = async () => {
    const control = await sendAllowed(mesh, target, call.source, call.request);
    const marker = newMark();
    const packet = forgedSyn({
      source: HAND_OFF_ADDRESS,
      destination: target.pod.address,
      sourcePort: randomInt(32_768, 60_000),
      destinationPort: target.port,
      payload: Buffer.from(marker),
    });
    const say = packet.toString("base64");
    const sent = { kind: "raw", host: target.pod.address, protocol: 255, say, as: PROXY_UID } as const;
    const attempt = await watched(scene, marker, () => wire.foothold(call.source, "root").do(sent));
    const harmless = "the kernel: such an address comes from no link";
    return [
      await conclude(mesh, {
        attack: ID,
        step,
        promised: REFUSED,
        control,
        attempt: { ...attempt, harmless },
      }),
    ];
  };
  return { ...step, run };
}

function datagrams(scene: Scene): AttackStep {
  const { mesh, wire, target, call } = scene;
  const step = place(scene, "UDP to the application's port");
  const run = async () => {
    const control = await sendAllowed(mesh, target, call.source, call.request);
    const marker = newMark();
    const sent = {
      kind: "datagram",
      host: target.pod.address,
      port: target.port,
      say: Buffer.from(marker).toString("base64"),
      timeoutMs: 200,
    } as const;
    const attempt = await watched(scene, marker, () => wire.foothold(call.source, "root").do(sent));
    return [await conclude(mesh, { attack: ID, step, promised: REFUSED, control, attempt })];
  };
  return { ...step, run };
}

/** Reached: the mark came into the target's namespace. */
async function watched(
  { wire, target, call }: Scene,
  marker: string,
  send: () => Promise<{ readonly local?: Attempt["local"]; readonly failure?: string; readonly lost?: true }>,
): Promise<Attempt> {
  const capture = wire.capture(target.pod);
  const left = wire.capture(call.source);
  const [from, leftFrom, before, startedAtMs] = [capture.length, left.length, capture.lost, Date.now()];
  const word = await send();
  await settled();
  const sent = left.since(leftFrom).filter(({ payload }) => payload.includes(marker)).length;
  const passed = capture.since(from);
  const own = passed.filter(({ payload }) => payload.includes(marker)).length;
  const lost = capture.lost - before;
  return {
    reached: own > 0,
    ...(sent === 0 ? { nothingThere: word.failure ?? "nothing left the attacker's pod" } : {}),
    ...(lost > 0 ? { nothingThere: `the capture has lost ${lost} packets` } : {}),
    happened: `${sent} packets left the attacker's pod, ${own} came into the server's`,
    evidence: { packets: { at: "the server's pod", seen: passed.length, ofTheAttempt: own, lost } },
    local: word.local,
    startedAtMs,
  };
}

/** As before a proxy is up, when init containers run, and when it has died: what was led to it leads nowhere. */
function withoutProxy(scene: Scene): AttackStep {
  const { mesh, wire, target, call } = scene;
  const step = place(scene, "plaintext while the server's proxy is killed, again and again until it is back");
  const run = async () => {
    const control = await sendAllowed(mesh, target, call.source, call.request);
    const startedAtMs = Date.now();
    const killed = await wire.foothold(target.pod, "root").do({ kind: "kill", uid: PROXY_UID });
    const { answers, refused } = killed.connected ? await untilBack(scene) : { answers: 0, refused: 0 };
    const isBack = await untilServed(scene);
    const attempt: Attempt = {
      reached: answers > 0,
      ...(refused === 0
        ? { nothingThere: killed.failure ?? "it was back before anything could be tried" }
        : {}),
      happened: `${refused} connections were refused while there was no proxy, ${answers} answered${isBack ? "" : "; the proxy HAS NOT COME BACK"}`,
      evidence: {},
      local: undefined,
      startedAtMs,
      harmless: "capture: without its proxy a pod is reached by nobody",
    };
    const promised = promisedClear(target, call);
    return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
  };
  return { ...step, run };
}

async function untilBack({
  target,
  call,
}: Scene): Promise<{ readonly answers: number; readonly refused: number }> {
  const until = performance.now() + GONE_MS;
  let answers = 0;
  let refused = 0;
  while (performance.now() < until) {
    const attempt = await inClear(
      call.source,
      target.pod.address,
      target.socketPort,
      requestBytes(call.request),
      500,
    );
    if (attempt.happened.includes("ECONNREFUSED")) refused += 1;
    else if (refused > 0) break;
    else if (attempt.reached) answers += 1;
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  }
  return { answers, refused };
}

async function untilServed({ mesh, target, call }: Scene): Promise<boolean> {
  const until = performance.now() + BACK_MS;
  while (performance.now() < until) {
    if ((await sendAllowed(mesh, target, call.source, call.request)).reached) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

/** A pod's root has all rights over its own rules: what it opens is its own application. */
function withoutRules(scene: Scene): AttackStep {
  const { mesh, wire, target, call } = scene;
  const step = place(
    scene,
    "plaintext after the server's own root (NET_ADMIN) has removed its capture rules",
    `${call.source.workload}, with ${target.workload.key} (root in both pods)`,
  );
  const promised = {
    allowed: true,
    words: "allowed: a pod's root may undo its own capture; what other pods do is not its to say",
    finding:
      "a container with root or NET_ADMIN can take its own pod out of capture: then network policies alone hold for it",
    fix: "run containers as non-root without NET_ADMIN, and let a NetworkPolicy say who may connect to the pod",
  };
  const run = async (): Promise<readonly AttackResult[]> => {
    const control = await sendAllowed(mesh, target, call.source, call.request);
    try {
      const word = await wire
        .foothold(target.pod, "root")
        .do({ kind: "run", words: ["nft", "flush", "ruleset"] });
      if (!word.connected) return [notPossible(ID, step, word.failure ?? "the rules could not be removed")];
      const attempt = await inClear(
        call.source,
        target.pod.address,
        target.socketPort,
        requestBytes(call.request),
      );
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    } finally {
      await wire.restoreCapture(target.pod);
    }
  };
  return { ...step, run };
}

function onHostsNetwork({ mesh }: MeshUnderAttack): AttackStep[] {
  return mesh.workloads
    .filter(({ hostNetwork }) => hostNetwork)
    .map(({ key }) => {
      const step = { tried: "a pod on its host's network", from: key, target: "any pod" };
      const why =
        "every pod has a network of its own here; on a node such a pod is past every sidecar, and NetworkPolicy may not hold for it";
      return { ...step, run: async () => [notPossible(ID, step, why)] };
    });
}

function newMark(): string {
  return `bw${randomBytes(12).toString("hex")}`;
}
