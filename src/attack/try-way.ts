/** One way out of a pod, tried from inside, and what a capture outside of the mesh saw of it. */
import { randomBytes } from "node:crypto";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { AttackResult, AttackStep } from "./attack.ts";
import { type Attempt, conclude, type Promised } from "./conclude.ts";
import { dropOf } from "./flow-evidence.ts";
import type { Word } from "./foothold/orders.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { dnsRcode } from "./packets/build-packet.ts";
import type { Packet } from "./packets/packet.ts";
import type { WayOut } from "./ways-out.ts";
import { preview } from "./wire.ts";
import type { WireOfMesh } from "./wire-of-mesh.ts";

export interface Trial {
  readonly attack: string;
  readonly mesh: MeshUnderAttack;
  readonly wire: WireOfMesh;
  /** The pod that the attacker is in. */
  readonly source: PodAssignment;
  readonly control: () => Promise<Attempt>;
  readonly promised: (way: WayOut) => Promised;
}

/** What is sent is outside, or dropped, within microseconds; a busy machine takes longer. */
const SETTLE_MS = 60;

export async function tryWay(
  { attack, mesh, wire, source, ...trial }: Trial,
  step: Pick<AttackStep, "tried" | "from" | "target">,
  way: WayOut,
): Promise<AttackResult> {
  const control = await trial.control();
  const capture = wire.capture("outside");
  const before = { packets: capture.length, lost: capture.lost };
  const startedAtMs = Date.now();
  const marker = `bw${randomBytes(12).toString("hex")}`;
  const foothold = wire.foothold(source, way.user);
  let word: Word;
  try {
    word = await way.act((order) => foothold.do(order), marker);
  } finally {
    if (way.alone === true) await wire.restoreCapture(source);
  }
  await settled();
  const passed = capture.since(before.packets);
  const own = passed.filter((packet) => isOf(packet, way, source, word, marker));
  const lost = capture.lost - before.lost;
  const attempt: Attempt = {
    reached:
      own.length > 0 ||
      (way.isRight === true && word.connected) ||
      (way.answerCounts === true && word.heard !== ""),
    ...whyNothing(word, lost),
    happened: `${wordsOf(word, way, own.length > 0)}; ${own.length} packets of it came out`,
    evidence: {
      bytesReceived: Buffer.from(word.heard, "base64").length,
      packets: {
        at: "outside of the mesh",
        seen: passed.length,
        fromGateways: passed.filter(({ source }) => isGateway(mesh, source)).length,
        ofTheAttempt: own.length,
        lost,
      },
    },
    local: word.local,
    startedAtMs,
    ...harmlessness(word, way),
    ...(word.local === undefined ? { findRecord: () => dropOf(mesh, way) } : {}),
  };
  return await conclude(mesh, { attack, step, promised: trial.promised(way), control, attempt });
}

/** By its mark, wherever it came from; without one (a packet that only opens a connection) by who sent it where. */
function isOf(packet: Packet, way: WayOut, source: PodAssignment, word: Word, marker: string): boolean {
  if (packet.payload.includes(marker)) return true;
  const isOwn = packet.source === source.address || packet.source === source.address6;
  const isThere = packet.destination === way.host && packet.destinationPort === way.port;
  return isOwn && isThere && (word.local === undefined || packet.sourcePort === word.local.port);
}

export function isGateway({ assignments }: MeshUnderAttack, address: string): boolean {
  return assignments.pods.some(
    (pod) => pod.network?.mayLeave === true && (pod.address === address || pod.address6 === address),
  );
}

function whyNothing({ lost: isGone, failure }: Word, lost: number): Pick<Attempt, "nothingThere"> {
  if (isGone === true) return { nothingThere: failure ?? "nothing was tried" };
  return lost === 0 ? {} : { nothingThere: `the capture has lost ${lost} packets` };
}

/** What the kernel refuses, and names that nobody has, are no connections: no record is due. */
function harmlessness(word: Word, way: WayOut): Pick<Attempt, "harmless"> {
  if (way.user === "application" && way.needsRight === true && !word.connected)
    return { harmless: "the kernel: its user has no right to it" };
  const rcode = way.isDns === true ? dnsRcode(answerOf(word, way)) : undefined;
  return rcode === undefined ? {} : { harmless: `the mesh's own DNS answered ${rcode} and asked nobody` };
}

function answerOf({ heard }: Word, { overTcp }: WayOut): Buffer {
  return Buffer.from(heard, "base64").subarray(overTcp === true ? 2 : 0);
}

function wordsOf(word: Word, way: WayOut, isOut: boolean): string {
  const bytes = Buffer.from(word.heard, "base64");
  const rcode = way.isDns === true ? dnsRcode(answerOf(word, way)) : undefined;
  if (rcode !== undefined) return `answered ${rcode} in the mesh`;
  if (bytes.length > 0) return `${isOut ? "the host" : "its own sidecar"} answered: ${preview(bytes, 24)}`;
  if (word.failure !== undefined) return word.failure.split("\n", 1)[0] ?? "";
  if (!word.connected) return "closed without a byte";
  return way.isTcp === true && !isOut ? "taken by its own sidecar, and closed" : "sent";
}

/** Once what was sent has passed. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}
