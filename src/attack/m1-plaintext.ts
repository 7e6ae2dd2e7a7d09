/** Bytes that are no mutual TLS, to the ports of a workload. */
import { isIPv6 } from "node:net";
import { compileInbound } from "../policy/inbound.ts";
import type { Attack, AttackStep } from "./attack.ts";
import { clientHello } from "./client-hello-bytes.ts";
import { type Attempt, conclude, type Promised } from "./conclude.ts";
import { http2AnswerStatus, http2RequestBytes } from "./http2-bytes.ts";
import { eavesdropping } from "./m1-on-the-wire.ts";
import { attemptOf, requestBytes, sendAllowed, sendToSidecar } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import { decideHttp, verdictWords } from "./promise.ts";
import { firstThen } from "./step-order.ts";
import { type AllowedCall, addressOf, callableTargets, type HttpTarget, workloadOf } from "./targets.ts";
import { converse, dial, preview } from "./wire.ts";

const ID = "m1";
const ALERT = 0x15;

export const plaintext: Attack = {
  id: ID,
  title: "plaintext, half-hearted TLS, undeclared ports, and who reads along",
  rows: ["M1"],
  needs: "a workload with a sidecar whose HTTP port somebody may call",
  plan(mesh) {
    const wire = mesh.wire === undefined ? [] : eavesdropping(mesh, mesh.wire);
    const steps = callableTargets(mesh).flatMap(({ target, call }) => [
      ...openings(call).map((opening) => openingStep(mesh, target, call, opening)),
      withoutCertificate(mesh, target, call),
      undeclaredPort(mesh, target, call),
      ...overIpv6(mesh, target, call),
    ]);
    return firstThen(wire, steps);
  },
};

interface Opening {
  readonly tried: string;
  readonly say: () => Promise<readonly Buffer[]> | readonly Buffer[];
  readonly gapMs?: number;
}

function openings({ request }: AllowedCall): readonly Opening[] {
  const http = requestBytes(request);
  return [
    // First: its record comes only when the proxy has waited for the rest.
    {
      tried: "half a ClientHello, then plaintext",
      say: async () => [(await clientHello("x.example")).subarray(0, 60), http],
      gapMs: 300,
    },
    { tried: "plaintext HTTP/1.1", say: () => [http] },
    { tried: "plaintext HTTP/2 with prior knowledge", say: () => [http2RequestBytes(request)] },
    {
      tried: "plaintext behind a PROXY protocol header",
      say: () => [Buffer.concat([Buffer.from("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"), http])],
    },
    {
      tried: "STARTTLS: words in clear before TLS",
      say: () => [Buffer.from("EHLO x\r\nSTARTTLS\r\n"), http],
      gapMs: 200,
    },
    {
      tried: "a whole ClientHello, then plaintext",
      say: async () => [await clientHello("x.example"), http],
      gapMs: 300,
    },
    {
      tried: "an SSLv2 hello",
      say: () => [
        Buffer.from(
          "802e0100020015000000100100800300800700c006004002008004008000000102030405060708090a0b0c0d0e0f10",
          "hex",
        ),
        http,
      ],
      gapMs: 100,
    },
    {
      tried: "a TLS alert, then plaintext",
      say: () => [Buffer.from([ALERT, 3, 1, 0, 2, 1, 0]), http],
      gapMs: 100,
    },
    { tried: "one byte of TLS, a pause, then plaintext", say: () => [Buffer.from([0x16]), http], gapMs: 600 },
    { tried: "an empty line before plaintext", say: () => [Buffer.concat([Buffer.from("\r\n\r\n"), http])] },
  ];
}

function openingStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  { tried, say, gapMs }: Opening,
): AttackStep {
  const step = place(tried, target);
  return {
    ...step,
    run: async () => {
      const control = await sendAllowed(mesh, target, call.source, call.request);
      const attempt = await sendClear(target.pod.address, target.socketPort, call, await say(), gapMs);
      return [
        await conclude(mesh, { attack: ID, step, promised: promisedClear(target, call), control, attempt }),
      ];
    },
  };
}

function place(tried: string, target: HttpTarget, port: number = target.port) {
  return { tried, from: "any process that reaches the pod", target: `${target.workload.key}:${port}` };
}

/** What the configuration says of the call in clear, without an identity. */
export function promisedClear(target: HttpTarget, call: AllowedCall): Promised {
  const asked = {
    tls: "plaintext",
    principal: null,
    sourceIp: call.source.address,
    port: target.port,
  } as const;
  const verdict = decideHttp(target.policy, asked, call.request);
  const { mode, policy } = target.policy.transport(target.port);
  return {
    allowed: verdict.allowed,
    words: `${verdictWords(verdict)}; ${mode} by ${policy ?? "the mesh's default"}`,
    finding: `${target.workload.key}:${target.port} takes plaintext (${mode}), and no policy asks who it is`,
    fix: "set PeerAuthentication to STRICT for it",
  };
}

async function sendClear(
  host: string,
  port: number,
  call: AllowedCall,
  say: readonly Buffer[],
  gapMs = 0,
): Promise<Attempt> {
  const { localAddress, ...from } = pastSidecar(call.source);
  const dialled = await dial({ host, port, ...from, ...(isIPv6(host) ? {} : { localAddress }) });
  const { local, startedAtMs } = dialled;
  if ("failure" in dialled) {
    const { failure } = dialled;
    return {
      reached: false,
      nothingThere: `nothing listens: ${failure}`,
      happened: failure,
      evidence: { bytesReceived: 0 },
      local,
      startedAtMs,
    };
  }
  const heard = await converse(dialled.socket, { say, gapMs, timeoutMs: 2500, quietMs: 700 });
  const { bytes } = heard;
  const attempt = attemptOf(heard, local, startedAtMs);
  const http2Status = http2AnswerStatus(bytes);
  if (http2Status !== undefined) {
    const happened = `HTTP/2 ${http2Status}`;
    return { ...attempt, reached: http2Status < 400, happened, evidence: { status: http2Status } };
  }
  const isAlert = bytes[0] === ALERT || bytes.length === 0;
  const isServerHello = bytes[0] === 0x16;
  const happened =
    isAlert && bytes.length > 0
      ? "a TLS alert"
      : isServerHello
        ? "a ServerHello, and no more"
        : attempt.happened;
  // A proxy that waits for the rest of a handshake gives it ten seconds, and writes its record then.
  const late = heard.end === "timeout" ? { logWithinMs: 13_000 } : {};
  return { ...attempt, ...late, happened, evidence: { ...attempt.evidence, seen: preview(bytes) } };
}

/** TLS as it should be, but for the client's certificate. */
function withoutCertificate(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall): AttackStep {
  const step = place("TLS 1.3 without a client certificate", target);
  return {
    ...step,
    run: async () => {
      const control = await sendAllowed(mesh, target, call.source, call.request);
      const conversation = { say: [requestBytes(call.request)] };
      const attempt = await sendToSidecar({ target, from: call.source, conversation });
      const promised = { allowed: false, words: "refused: the mesh's TLS asks for a certificate" };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

/** The pod's second address, where it has one: captured and judged as the first. */
function overIpv6(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall): AttackStep[] {
  const { address6 } = target.pod;
  if (address6 === undefined) return [];
  const step = place("plaintext HTTP/1.1 over IPv6", target);
  const run = async () => {
    const control = await sendAllowed(mesh, target, call.source, call.request);
    const say = [requestBytes(call.request)];
    const attempt = await sendClear(address6, target.socketPort, call, say);
    return [
      await conclude(mesh, { attack: ID, step, promised: promisedClear(target, call), control, attempt }),
    ];
  };
  return [{ ...step, run }];
}

/** A port that no Service and no container names. STRICT holds there too. */
function undeclaredPort(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall): AttackStep {
  const declared = new Set(target.pod.applicationPorts.map(({ port }) => port));
  const port = [12_345, 8081, 9999].find((candidate) => !declared.has(candidate)) ?? 12_346;
  const step = place("plaintext to a port that nothing declares", target, port);
  return {
    ...step,
    run: async () => {
      const control = await sendAllowed(mesh, target, call.source, call.request);
      const address = addressOf(mesh, target.pod, port);
      const attempt = await sendClear(address.host, address.port, call, [requestBytes(call.request)]);
      const policy = compileInbound(mesh.mesh, workloadOf(mesh, target.pod), { semantics: "strict" });
      const { mode } = policy.transport(port);
      const promised = { allowed: mode !== "STRICT", words: `${mode} on undeclared ports too` };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}
