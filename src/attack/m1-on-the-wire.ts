/** Where pods are network namespaces: who can read what two workloads say to each other, on the links between them and from another pod. */
import { randomBytes } from "node:crypto";
import { callAsWorkload } from "../control/workload-call.ts";
import { addressesOf } from "../model/placement.ts";
import { type PodAssignment, podKey } from "../substrate/assignment.ts";
import type { AttackResult, AttackStep } from "./attack.ts";
import { type Attempt, conclude, type Promised } from "./conclude.ts";
import { requestBytes, sendAllowed } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import type { Packet } from "./packets/packet.ts";
import { pastSidecar } from "./position.ts";
import { firstThen } from "./step-order.ts";
import {
  type AllowedCall,
  attackers,
  callableTargets,
  type HttpTarget,
  serviceAuthority,
} from "./targets.ts";
import { settled } from "./try-way.ts";
import { converse, dial } from "./wire.ts";
import type { WireOfMesh } from "./wire-of-mesh.ts";

const ID = "m1";
/** A Service leads to any of its pods, the caller's own too: what that one hears passes no link. */
const MAX_CALLS = 12;
/** What HTTP, a certificate or an identity would look like in clear, besides the mark of the attempt. */
const READABLE = ["HTTP/1.", "spiffe://", "x-forwarded-client-cert"];

/** Nothing for a mesh whose workloads may not call each other. */
export function eavesdropping(mesh: MeshUnderAttack, wire: WireOfMesh): readonly AttackStep[] {
  const scene = sceneOf(mesh, wire);
  if (scene === undefined) return [];
  const listener = attackers(mesh).find((pod) => pod !== scene.call.source && pod !== scene.target.pod);
  return [onTheLinks(scene), ...(listener === undefined ? [] : fromAnotherPod(scene, listener))];
}

interface Scene {
  readonly mesh: MeshUnderAttack;
  readonly wire: WireOfMesh;
  readonly target: HttpTarget;
  readonly call: AllowedCall;
  readonly authority: string;
}

function sceneOf(mesh: MeshUnderAttack, wire: WireOfMesh): Scene | undefined {
  for (const { target, call } of callableTargets(mesh)) {
    const authority = serviceAuthority(mesh, target);
    if (authority !== undefined && call.source !== target.pod) return { mesh, wire, target, call, authority };
  }
  return undefined;
}

/** Every packet between the pods, read by whoever sits on the wire. */
function onTheLinks(scene: Scene): AttackStep {
  const { mesh, wire, target, call, authority } = scene;
  const step = {
    tried: "reading what passes between the pods",
    from: "the links between the pods",
    target: `${call.source.workload} → ${target.workload.key}:${target.port}`,
  };
  return {
    ...step,
    run: async () => {
      const control = await inClear(scene);
      const capture = wire.capture("fabric");
      const [from, before, startedAtMs] = [capture.length, capture.lost, Date.now()];
      const marker = newMark();
      let between: readonly Packet[] = [];
      let status = 0;
      for (let calls = 0; calls < MAX_CALLS && (between.length === 0 || status === 0); calls++) {
        ({ status } = await callMarked(scene, marker));
        await settled();
        between = capture
          .since(from)
          .filter((packet) => isFrom(packet, call.source) && packet.payload.length > 0);
      }
      const passed = capture.since(from);
      const read = passed.filter(
        (packet) => packet.payload.includes(marker) || isReadable(packet, call.source),
      );
      const lost = capture.lost - before;
      const attempt: Attempt = {
        reached: read.length > 0,
        ...(lost > 0 ? { nothingThere: `the capture has lost ${lost} packets` } : {}),
        ...(between.length === 0 ? { nothingThere: "no packet passed between the pods" } : {}),
        happened: `HTTP ${status} to ${authority}, marked in path and header; of ${between.length} packets with bytes from ${call.source.workload}, ${read.length} can be read`,
        evidence: {
          status,
          packets: { at: "the links between all pods", seen: passed.length, ofTheAttempt: read.length, lost },
        },
        local: undefined,
        startedAtMs,
        harmless: "mutual TLS between the sidecars",
      };
      return [await conclude(mesh, { attack: ID, step, promised: promisedSecret(target), control, attempt })];
    },
  };
}

function promisedSecret(target: HttpTarget): Promised {
  const { mode, policy } = target.policy.transport(target.port);
  return {
    allowed: mode !== "STRICT",
    words: `${mode} by ${policy ?? "the mesh's default"}: ${mode === "STRICT" ? "nothing is said in clear" : "clients may speak in clear"}`,
    finding: `${target.workload.key}:${target.port} is spoken to in clear (${mode})`,
    fix: "set PeerAuthentication to STRICT for it, and take DestinationRules with tls.mode DISABLE away",
  };
}

/** The same capture reads what is said in clear: from the same pod to the same port, past the sidecar, which is refused and read. */
async function inClear({ wire, target, call }: Scene): Promise<Attempt> {
  const capture = wire.capture("fabric");
  const [from, startedAtMs] = [capture.length, Date.now()];
  const marker = newMark();
  const dialled = await dial({
    host: target.pod.address,
    port: target.socketPort,
    ...pastSidecar(call.source),
  });
  if ("socket" in dialled) {
    const say = requestBytes({ ...call.request, path: `/${marker}` });
    await converse(dialled.socket, { say: [say], quietMs: 100, timeoutMs: 500 });
  }
  await settled();
  const read = capture.since(from).filter(({ payload }) => payload.includes(marker)).length;
  return {
    reached: read > 0,
    happened: `what is sent in clear is read in ${read} packets`,
    evidence: {},
    local: dialled.local,
    startedAtMs,
  };
}

async function callMarked({ call, authority }: Scene, marker: string): Promise<{ readonly status: number }> {
  const { request, source } = call;
  return await callAsWorkload(source, {
    url: new URL(`http://${authority}${request.path}?${marker}`),
    method: request.method,
    headers: [["x-mark", marker]],
    http2: false,
    timeoutMs: 5000,
    insecure: true,
  });
}

/** Another pod, by its root: what does its own link carry while the two talk? */
function fromAnotherPod(scene: Scene, listener: PodAssignment): readonly AttackStep[] {
  const from = `${listener.workload} (root in the pod)`;
  const target = `${scene.call.source.workload} → ${scene.target.workload.key}:${scene.target.port}`;
  const listening = { tried: "listening on the own link of another pod", from, target };
  const claiming = { tried: "another pod takes the server's address for its own", from, target };
  const claim = async (what: "add" | "del") =>
    void (await scene.wire
      .foothold(listener, "root")
      .do({ kind: "run", words: ["ip", "addr", what, `${scene.target.pod.address}/32`, "dev", "eth0"] }));
  const claimed = async () => {
    await claim("add");
    try {
      return [await listen(scene, listener, claiming)];
    } finally {
      await claim("del");
    }
  };
  const listened = async () => [await listen(scene, listener, listening)];
  return firstThen([{ ...listening, run: listened }], [{ ...claiming, run: claimed }]);
}

async function listen(
  { mesh, wire, target, call }: Scene,
  listener: PodAssignment,
  step: Pick<AttackStep, "tried" | "from" | "target">,
): Promise<AttackResult> {
  const capture = wire.capture(listener);
  const [from, before, startedAtMs] = [capture.length, capture.lost, Date.now()];
  const control = await sendAllowed(mesh, target, call.source, call.request);
  // Its own packets it does see: so it listens.
  await wire.foothold(listener, "root").do({
    kind: "datagram",
    host: call.source.address,
    port: 9,
    say: Buffer.from("x").toString("base64"),
    timeoutMs: 50,
  });
  await settled();
  const passed = capture.since(from);
  const others = passed.filter(
    (packet) => isBetween(packet, call.source, target.pod) || isBetween(packet, target.pod, call.source),
  );
  const lost = capture.lost - before;
  const own = passed.filter((packet) => isFrom(packet, listener)).length;
  const attempt: Attempt = {
    reached: others.length > 0,
    ...(own === 0
      ? { nothingThere: `the capture in ${podKey(listener)} does not even see its own packets` }
      : {}),
    ...(lost > 0 ? { nothingThere: `the capture has lost ${lost} packets` } : {}),
    happened: `of ${passed.length} packets on its link ${others.length} are of the two`,
    evidence: {
      packets: {
        at: `the link of ${podKey(listener)}`,
        seen: passed.length,
        ofTheAttempt: others.length,
        lost,
      },
    },
    local: undefined,
    startedAtMs,
    harmless: "each pod has a link of its own, and a route to its one address",
  };
  const promised = { allowed: false, words: "no pod hears another's traffic" };
  return await conclude(mesh, { attack: ID, step, promised, control, attempt });
}

function isFrom({ source }: Packet, pod: PodAssignment): boolean {
  return addressesOf(pod).includes(source);
}

function isBetween(packet: Packet, from: PodAssignment, to: PodAssignment): boolean {
  return isFrom(packet, from) && addressesOf(to).includes(packet.destination);
}

function isReadable(packet: Packet, source: PodAssignment): boolean {
  return isFrom(packet, source) && READABLE.some((word) => packet.payload.includes(word));
}

function newMark(): string {
  return `bw${randomBytes(12).toString("hex")}`;
}
