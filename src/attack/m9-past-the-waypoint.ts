/** Ambient mode: to the pod itself, past the policy that its service's waypoint enforces; and through HBONE to where it does not lead. */
import { randomBytes } from "node:crypto";
import { resolveTargetPort } from "../model/build-services.ts";
import type { Service, Workload } from "../model/mesh.ts";
import { withVirtualAddresses } from "../model/virtual-addresses.ts";
import { waypointOfService } from "../policy/waypoint/waypoints.ts";
import { type PodAssignment, toPlacement } from "../substrate/assignment.ts";
import { ambientPods, verdictOn } from "./ambient-targets.ts";
import type { Attack, AttackResult, AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible, type Promised } from "./conclude.ts";
import { refusalAt } from "./flow-evidence.ts";
import { HBONE_PORT } from "./hbone-connect.ts";
import { parseAnswers } from "./http-answer.ts";
import { wrongDestinations } from "./m9-wrong-destinations.ts";
import { requestBytes } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { mayConnect } from "./network-reach.ts";
import { once } from "./once.ts";
import { type AskedRequest, verdictWords } from "./promise.ts";
import { sampleRequests, workloadOf } from "./targets.ts";
import { settled } from "./try-way.ts";
import type { WireOfMesh } from "./wire-of-mesh.ts";

const ID = "m9";
const TIMEOUT_MS = 4000;
/** Enough to find one request that the waypoint lets through, and one that it does not. */
const MAX_SAMPLES = 60;

export const pastTheWaypoint: Attack = {
  id: ID,
  title: "past the waypoint, to the pod itself; HBONE to where it does not lead",
  rows: ["M9"],
  needs:
    "pods in ambient mode (`up --substrate netns`), one of them behind a waypoint that lets another make some requests and not others",
  // Rules are removed, and each looks at what passes in the server's pod.
  sequential: true,
  plan(mesh) {
    const { wire } = mesh;
    if (wire === undefined) return [];
    return [
      ...guardedPods(mesh).flatMap((behind) => pastSteps(mesh, wire, behind)),
      ...wrongDestinations(mesh),
    ];
  },
};

/** A pod whose service has a waypoint. */
interface Guarded {
  readonly pod: PodAssignment;
  readonly workload: Workload;
  readonly service: Service;
  /** Of the service, and of the pod. */
  readonly servicePort: number;
  readonly port: number;
}

interface Scene extends Guarded {
  readonly mesh: MeshUnderAttack;
  readonly wire: WireOfMesh;
  readonly attacker: PodAssignment;
}

/** A scene with what its waypoint says: by trial, since it has the word on HTTP. */
interface Stage {
  readonly scene: Scene;
  readonly allowed: AskedRequest;
  readonly refused: AskedRequest;
}

function guardedPods(mesh: MeshUnderAttack): readonly Guarded[] {
  const addressed = withVirtualAddresses(mesh.mesh, toPlacement(mesh.assignments));
  return ambientPods(mesh).flatMap((pod) => {
    const workload = workloadOf(mesh, pod);
    return addressed.services.flatMap((service) => {
      const isIts = service.endpoints.some((endpoint) => endpoint.workload?.key === workload.key);
      if (!isIts || waypointOfService(addressed, service).kind !== "bound") return [];
      return service.ports.flatMap((servicePort) => {
        const port = resolveTargetPort(servicePort, workload);
        return port === undefined ? [] : [{ pod, workload, service, servicePort: servicePort.port, port }];
      });
    });
  });
}

async function findStage(scenes: readonly Scene[]): Promise<Stage | undefined> {
  for (const scene of scenes) {
    let allowed: AskedRequest | undefined;
    let refused: AskedRequest | undefined;
    const host = scene.service.hostname;
    for (const request of sampleRequests(scene.mesh, { host }).slice(0, MAX_SAMPLES)) {
      const { status } = await ask(scene, addressOfService(scene), scene.servicePort, request);
      if (status >= 200 && status < 300) allowed ??= request;
      if (status === 403) refused ??= request;
      if (allowed !== undefined && refused !== undefined) return { scene, allowed, refused };
    }
  }
  return undefined;
}

function pastSteps(mesh: MeshUnderAttack, wire: WireOfMesh, behind: Guarded): readonly AttackStep[] {
  const scenes = ambientPods(mesh)
    .filter((pod) => pod.spiffeId !== behind.pod.spiffeId && mayConnect(mesh, pod, behind.pod, HBONE_PORT))
    .map((attacker) => ({ mesh, wire, attacker, ...behind }));
  return directSteps(
    behind,
    once(() => findStage(scenes)),
  );
}

function addressOfService({ service }: Guarded): string {
  return service.addresses[0] ?? "";
}

interface Asked {
  readonly status: number;
  readonly bytes: Buffer;
  readonly failure?: string;
  /** Packets inside of the server's pod in which the request can be read: ztunnel hands over there, and nobody else comes that way. */
  readonly arrived: number;
  readonly seen: number;
  readonly lost: number;
  readonly local?: Attempt["local"];
  readonly startedAtMs: number;
}

/** By the attacker's application: its node's ztunnel has it, and knows whose it is. */
async function ask(
  scene: Scene,
  host: string,
  port: number,
  request: AskedRequest,
  asRoot = false,
): Promise<Asked> {
  const { wire, attacker, pod } = scene;
  const capture = wire.capture(pod, "loopback");
  const [from, before, startedAtMs] = [capture.length, capture.lost, Date.now()];
  const marker = `bw${randomBytes(12).toString("hex")}`;
  const say = requestBytes(request, `x-mark: ${marker}\r\nconnection: close\r\n`).toString("base64");
  const word = await wire
    .foothold(attacker, asRoot ? "root" : "application")
    .do({ kind: "connect", host, port, say, timeoutMs: TIMEOUT_MS });
  await settled();
  const passed = capture.since(from);
  const bytes = Buffer.from(word.heard, "base64");
  return {
    status: parseAnswers(bytes)[0]?.status ?? 0,
    bytes,
    arrived: passed.filter(({ payload }) => payload.includes(marker)).length,
    seen: passed.length,
    lost: capture.lost - before,
    startedAtMs,
    ...(word.failure === undefined ? {} : { failure: word.failure }),
    ...(word.local === undefined ? {} : { local: word.local }),
  };
}

/** The legitimate way, by the waypoint; and that the capture in the server's pod sees what its application gets. */
async function control({ scene, allowed }: Stage): Promise<Attempt> {
  const asked = await ask(scene, addressOfService(scene), scene.servicePort, allowed);
  return {
    reached: asked.status >= 200 && asked.status < 300 && asked.arrived > 0,
    happened: `${allowed.method} ${allowed.path} by the waypoint: HTTP ${asked.status}, read in ${asked.arrived} packets inside of the server's pod`,
    evidence: { status: asked.status },
    local: asked.local,
    startedAtMs: asked.startedAtMs,
  };
}

type FindStage = () => Promise<Stage | undefined>;

function directSteps({ workload, port }: Guarded, stage: FindStage): readonly AttackStep[] {
  const target = `${workload.key}:${port}`;
  const step = (
    tried: string,
    from: string,
    run: (stage: Stage, place: Place) => Promise<AttackResult>,
  ): AttackStep => {
    const place = { tried, from, target };
    return {
      ...place,
      run: async () => {
        const found = await stage();
        if (found === undefined)
          return [
            notPossible(
              ID,
              place,
              "no request was found that a waypoint lets through beside one that it refuses",
            ),
          ];
        const { attacker, workload: server, port: own } = found.scene;
        return [
          await run(found, { tried, from: `${attacker.workload} (${from})`, target: `${server.key}:${own}` }),
        ];
      },
    };
  };
  const application = "code execution as the application's user";
  return [
    step("what the waypoint refuses, to the pod's own address", application, (found, place) =>
      direct(found, place, found.scene.pod.address),
    ),
    step("what the waypoint refuses, to the pod's own IPv6 address", application, (found, place) =>
      direct(found, place, found.scene.pod.address6 ?? found.scene.pod.address),
    ),
    step("the capture rules removed, in clear to the pod's own address", "root in the pod", withoutCapture),
  ];
}

interface Place {
  readonly tried: string;
  readonly from: string;
  readonly target: string;
}

async function direct(stage: Stage, step: Place, host: string): Promise<AttackResult> {
  const { scene, refused } = stage;
  const passing = await control(stage);
  const asked = await ask(scene, host, scene.port, refused);
  return await judged(stage, step, asked, promisedFor(scene, "mtls"), passing);
}

async function withoutCapture(stage: Stage, step: Place): Promise<AttackResult> {
  const { scene, refused } = stage;
  const { wire, attacker } = scene;
  const passing = await control(stage);
  try {
    const flushed = await wire
      .foothold(attacker, "root")
      .do({ kind: "run", words: ["nft", "flush", "ruleset"] });
    if (!flushed.connected) return notPossible(ID, step, flushed.failure ?? "the rules could not be removed");
    const asked = await ask(scene, scene.pod.address, scene.port, refused, true);
    return await judged(stage, step, asked, promisedFor(scene, "plaintext"), passing);
  } finally {
    await wire.restoreCapture(attacker);
  }
}

async function judged(
  { scene, refused }: Stage,
  step: Place,
  asked: Asked,
  promised: Promised,
  passing: Attempt,
): Promise<AttackResult> {
  const { mesh, workload } = scene;
  const attempt: Attempt = {
    reached: asked.arrived > 0,
    ...(asked.lost > 0 ? { nothingThere: `the capture has lost ${asked.lost} packets` } : {}),
    happened: `${refused.method} ${refused.path}: ${asked.status > 0 ? `HTTP ${asked.status}` : (asked.failure ?? "closed without a byte")}; read in ${asked.arrived} packets inside of the server's pod`,
    evidence: {
      bytesReceived: asked.bytes.length,
      ...(asked.status > 0 ? { status: asked.status } : {}),
      packets: {
        at: "the loopback of the server's pod",
        seen: asked.seen,
        ofTheAttempt: asked.arrived,
        lost: asked.lost,
      },
    },
    local: asked.local,
    startedAtMs: asked.startedAtMs,
    findRecord: () => refusalAt(mesh, workload.key, asked.startedAtMs),
  };
  return await conclude(mesh, { attack: ID, step, promised, control: passing, attempt });
}

/** What the pod's ztunnel is to say: the waypoint has no part in it. */
function promisedFor({ mesh, workload, pod, attacker, port }: Scene, tls: "mtls" | "plaintext"): Promised {
  const verdict = verdictOn(mesh, workload, pod, port, tls === "mtls" ? attacker : undefined);
  return {
    allowed: verdict.allowed,
    words: `${verdictWords(verdict)} at the pod's ztunnel`,
    finding: `${workload.key}:${port} takes connections past its waypoint: policies of the waypoint do not hold for them`,
    fix: `add an ALLOW policy for ${workload.key} (by selector) that names the waypoint's service account alone`,
  };
}
