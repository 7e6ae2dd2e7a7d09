/** Headers by which a client would tell the application, or the mesh, who it is and where it comes from. */
import { callAsWorkload } from "../control/workload-call.ts";
import type { FlowRecord } from "../model/flow-record.ts";
import type { Attack, AttackStep } from "./attack.ts";
import { type Attempt, conclude, type Promised } from "./conclude.ts";
import { recordsOf } from "./flow-evidence.ts";
import { type EchoReport, echoReport } from "./http-answer.ts";
import { type HttpAttempt, sendToSidecar } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import {
  type AllowedCall,
  callableTargets,
  decideFor,
  type HttpTarget,
  serviceAuthority,
} from "./targets.ts";

const ID = "m4";
const FORGED = "spiffe://cluster.local/ns/forged/sa/admin";
const FORGED_HASH = "0".repeat(64);
const FORGED_XFCC = `By=${FORGED};Hash=${FORGED_HASH};Subject="";URI=${FORGED}`;
const XFCC = "x-forwarded-client-cert";

export const headerInjection: Attack = {
  id: ID,
  title: "headers that claim an identity, an origin or another host",
  rows: ["M4"],
  needs:
    "a workload with a sidecar whose HTTP port another may call, with the built-in application, which tells what it saw",
  plan(mesh) {
    // Every sidecar runs the same code: one target stands for all.
    return callableTargets(mesh)
      .slice(0, 1)
      .flatMap(({ target, call }) => [
        ...injections(call).map((injection) => injectionStep(mesh, target, call, injection)),
        throughOwnSidecar(mesh, target, call),
      ]);
  },
};

interface Injection {
  readonly tried: string;
  /** Header lines, after the request's own Host unless `lines` brings one. */
  readonly lines: readonly string[];
  readonly ownHost?: boolean;
  readonly target?: string;
  /** Whether the application was deceived by what it saw. */
  readonly deceived: (
    seen: EchoReport,
    victim: AllowedCall,
    records: readonly FlowRecord[],
  ) => string | undefined;
  readonly promised: Promised;
}

const SANITISED: Promised = {
  allowed: false,
  words: "removed, or behind the proxy's own word: only proxies say these",
};

const NAMED_ONCE: Promised = {
  allowed: false,
  words: "refused, or the application sees the host that was judged",
};

function injections({ request }: AllowedCall): readonly Injection[] {
  const { host } = request;
  const xfcc = (tried: string, ...lines: readonly string[]): Injection => ({
    tried: `XFCC: ${tried}`,
    lines,
    deceived: notTheCaller,
    promised: SANITISED,
  });
  return [
    xfcc("a forged identity", `${XFCC}: ${FORGED_XFCC}`),
    xfcc("twice, in two spellings", `${XFCC}: ${FORGED_XFCC}`, `X-Forwarded-Client-CERT: ${FORGED_XFCC}`),
    xfcc("an open quote that swallows what the proxy appends", `${XFCC}: URI=${FORGED};Subject="`),
    xfcc("a quote with an escaped end", `${XFCC}: URI=${FORGED};Subject="\\`),
    xfcc("named in Connection, so that it is dropped", `connection: close, ${XFCC}`),
    {
      tried: "XFCC: an element that says it was before",
      lines: [`${XFCC}: ${FORGED_XFCC}`],
      deceived: ({ peer }) => (peer?.[0]?.uri === FORGED ? `its first element says ${FORGED}` : undefined),
      promised: {
        allowed: true,
        words: "allowed: sidecars append to XFCC and forward what was before (Istio)",
        finding: "an application that believes the first element of XFCC believes the client",
        fix: "read the last element, the one that its own sidecar wrote",
      },
    },
    {
      tried: "x-envoy-*: headers that only proxies set",
      lines: [
        "x-envoy-internal: true",
        "x-envoy-external-address: 10.0.0.1",
        "x-envoy-original-path: /admin",
        "x-envoy-decorator-operation: forged",
        "X-ENVOY-Peer-Metadata: forged",
        "x-envoy-peer-metadata-id: forged",
        "x-envoy-retry-on: 5xx",
        "x-envoy-upstream-rq-timeout-ms: 1",
      ],
      deceived: ({ headers }) => Object.keys(headers ?? {}).find((name) => name.startsWith("x-envoy-")),
      promised: SANITISED,
    },
    {
      tried: "X-Forwarded-For: an address that is trusted",
      lines: ["x-forwarded-for: 10.0.0.1, 127.0.0.1"],
      deceived: ({ headers }) =>
        headers?.["x-forwarded-for"]?.startsWith("10.0.0.1") === true
          ? "x-forwarded-for is as the client wrote it"
          : undefined,
      promised: {
        allowed: true,
        words: "allowed: a sidecar takes X-Forwarded-For from its peer (Istio)",
        finding: "X-Forwarded-For inside the mesh says what the caller wants it to say",
        fix: "authorize by source.principals; use remoteIpBlocks at gateways only, with numTrustedProxies set",
      },
    },
    ...hostInjections(host),
  ];
}

function hostInjections(host: string): readonly Injection[] {
  const differs: Injection["deceived"] = (seen, _victim, records) => {
    const judged = records.find(({ kind }) => kind === "request")?.destination?.host;
    return judged !== undefined && seen.host !== judged
      ? `saw ${seen.host}, while ${judged} was judged`
      : undefined;
  };
  const two = (tried: string, lines: readonly string[], target?: string): Injection => ({
    tried: `Host: ${tried}`,
    lines,
    ownHost: false,
    ...(target === undefined ? {} : { target }),
    deceived: differs,
    promised: NAMED_ONCE,
  });
  return [
    two("twice", [`host: ${host}`, "host: admin.internal"]),
    two("twice, in one line", [`host: ${host}, admin.internal`]),
    two("another than the absolute target's", ["host: admin.internal"], `http://${host}/`),
    two("another in the absolute target", [`host: ${host}`], "http://admin.internal/"),
    two("with a space before the colon", [`host: ${host}`, "host : admin.internal"]),
    two("with a user before it", [`host: admin.internal@${host}`]),
    two("of another name, alone", ["host: admin.internal"]),
    two("named in Connection", [`host: ${host}`, "connection: close, host"]),
  ];
}

/** The last element is the nearest proxy's: it must name the caller, whatever the client wrote. */
function notTheCaller({ peer }: EchoReport, { source }: AllowedCall): string | undefined {
  const nearest = peer?.at(-1)?.uri;
  return nearest === source.spiffeId ? undefined : `its nearest element says ${nearest ?? "nobody"}`;
}

function injectionStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  injection: Injection,
): AttackStep {
  const step = {
    tried: injection.tried,
    from: `${call.source.workload} (its certificate)`,
    target: `${target.workload.key}:${target.port}`,
  };
  return {
    ...step,
    run: async () => {
      const control = await send(mesh, target, call, [`host: ${call.request.host}`, "x-control: seen"]);
      const told = control.echoes[0]?.headers?.["x-control"] === "seen";
      const lines =
        injection.ownHost === false ? injection.lines : [`host: ${call.request.host}`, ...injection.lines];
      const attempt = await send(mesh, target, call, lines, injection.target);
      const judged = await judgeSeen(mesh, call, injection, attempt);
      return [
        await conclude(mesh, {
          attack: ID,
          step,
          promised: injection.promised,
          control: {
            ...control,
            reached: told,
            happened: `a header that means nothing arrives: ${control.happened}`,
          },
          attempt: judged,
        }),
      ];
    },
  };
}

async function send(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  { source, request }: AllowedCall,
  lines: readonly string[],
  requestTarget: string = request.path,
): Promise<HttpAttempt> {
  const close = lines.some((line) => line.startsWith("connection:")) ? [] : ["connection: close"];
  const head = [`${request.method} ${requestTarget} HTTP/1.1`, ...lines, ...close, "", ""].join("\r\n");
  return sendToSidecar({
    target,
    from: source,
    credentials: await mesh.identityOf(source),
    conversation: { say: [Buffer.from(head, "latin1")] },
  });
}

/** Reached means deceived: the request as such may well be answered. */
async function judgeSeen(
  mesh: MeshUnderAttack,
  call: AllowedCall,
  injection: Injection,
  attempt: HttpAttempt,
): Promise<Attempt> {
  const [seen] = attempt.echoes;
  if (seen === undefined) return attempt;
  const { local, startedAtMs } = attempt;
  const isRequest = ({ kind }: FlowRecord) => kind === "request";
  const records =
    local === undefined ? [] : await recordsOf(mesh, local, startedAtMs, (found) => found.some(isRequest));
  const how = injection.deceived(seen, call, records);
  const happened =
    how === undefined
      ? `${attempt.happened}, and the application was not deceived`
      : `the application was deceived: ${how}`;
  const harmless = "the server's sidecar, which cleaned the request and let it pass";
  const told = seen.headers?.[XFCC] ?? seen.host ?? "";
  return {
    ...attempt,
    reached: how !== undefined,
    ...(how === undefined ? { harmless } : {}),
    happened,
    evidence: { ...attempt.evidence, seen: `the application saw ${told.slice(0, 160)}` },
  };
}

/** As the workload's application, by its own sidecar: that one must not carry a client's XFCC either. */
function throughOwnSidecar(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall): AttackStep {
  const step = {
    tried: "XFCC and x-envoy-*: forged by the application, through its own sidecar",
    from: `${call.source.workload} (its application)`,
    target: `${target.workload.key}:${target.port}`,
  };
  return {
    ...step,
    run: async () => {
      const control = await callService(mesh, target, call, [["x-control", "seen"]]);
      const attempt = await callService(mesh, target, call, [
        [XFCC, FORGED_XFCC],
        ["x-envoy-original-path", "/admin"],
      ]);
      const { echo } = attempt;
      const kept = echo?.headers?.["x-envoy-original-path"] !== undefined;
      const forged = echo?.peer?.some(({ uri }) => uri === FORGED) === true;
      const judged = {
        ...attempt,
        reached: forged || kept,
        ...(forged || kept || echo === undefined
          ? {}
          : { harmless: "the client's sidecar, which took them off" }),
        happened:
          forged || kept ? "the forged headers arrived" : `${attempt.happened}, without the forged headers`,
      };
      return [await conclude(mesh, { attack: ID, step, promised: SANITISED, control, attempt: judged })];
    },
  };
}

async function callService(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  { source, request }: AllowedCall,
  headers: readonly (readonly [string, string])[],
): Promise<Attempt & { readonly echo?: EchoReport }> {
  const at = serviceAuthority(mesh, target);
  const startedAtMs = Date.now();
  if (at === undefined || !decideFor(target, source, { ...request, host: at }).allowed) {
    return {
      reached: false,
      happened: "no service leads there",
      evidence: {},
      local: undefined,
      startedAtMs,
    };
  }
  const answer = await callAsWorkload(source, {
    url: new URL(`http://${at}${request.path}`),
    method: request.method,
    headers,
    http2: false,
    timeoutMs: 5000,
    insecure: true,
  });
  const echo = echoReport(answer.body.toString("utf8"));
  return {
    reached: echo !== undefined,
    happened: answer.failure ?? `HTTP ${answer.status}`,
    evidence: { status: answer.status, bytesReceived: answer.body.length },
    local: answer.local,
    startedAtMs: answer.startedAtMs,
    ...(echo === undefined ? {} : { echo }),
  };
}
