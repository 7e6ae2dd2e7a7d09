/** Attempts to get out of the mesh through a gateway, past the attacker's own sidecar. */
import { connect as connectTls } from "node:tls";
import { clientHello } from "./client-hello-bytes.ts";
import type { Attempt } from "./conclude.ts";
import type { EgressRoute } from "./egress-targets.ts";
import { type EchoReport, echoReport, parseAnswers } from "./http-answer.ts";
import { isNotSent } from "./mesh-request.ts";
import type { Credentials } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import { converse, describe, dialTls, preview } from "./wire.ts";

export interface EgressSend {
  readonly route: EgressRoute;
  readonly credentials: Credentials;
  /** Server name of the mesh's TLS; empty for none. */
  readonly outerName: string;
  /** What goes inside, in packets. */
  readonly inside: readonly Buffer[];
}

/** Mesh TLS to the gateway, these bytes inside. Reached means that a byte came back: only a host outside can have sent it. */
export async function sendThroughGateway({
  route,
  credentials,
  outerName,
  inside,
}: EgressSend): Promise<Attempt> {
  const opened = await openToGateway({ route, credentials, outerName });
  if (!("socket" in opened)) return opened;
  const { socket, startedAtMs, local } = opened;
  const heard = await converse(socket, { say: inside, gapMs: 2, quietMs: 80, timeoutMs: 2500 });
  const { bytes } = heard;
  return {
    reached: bytes.length > 0,
    happened:
      bytes.length > 0
        ? `${preview(bytes)} of a host outside came back (${bytes.length} bytes)`
        : "closed without a byte from outside",
    evidence: { bytesReceived: bytes.length, certificateSerial: credentials.serial },
    local,
    startedAtMs,
  };
}

/** A whole TLS session and request with the host outside, so that the host itself says who it is. */
export async function requestThroughGateway(
  send: Omit<EgressSend, "inside"> & { readonly innerName: string; readonly hostHeader?: string },
): Promise<Attempt & { readonly echo?: EchoReport }> {
  const opened = await openToGateway(send);
  if (!("socket" in opened)) return opened;
  const { socket, startedAtMs, local } = opened;
  const { innerName, hostHeader = innerName, credentials } = send;
  const inner = connectTls({ socket, servername: innerName, rejectUnauthorized: false });
  const failure = await new Promise<string | undefined>((resolve) => {
    inner.once("secureConnect", () => resolve(undefined));
    inner.once("error", (error) => resolve(describe(error)));
    inner.once("close", () => resolve("closed during the TLS handshake with the host"));
    setTimeout(() => resolve("no answer in time"), 3000).unref();
  });
  inner.on("error", () => {});
  const base = { local, startedAtMs };
  if (failure !== undefined) {
    inner.destroy();
    socket.destroy();
    return {
      ...base,
      reached: false,
      happened: failure,
      evidence: { bytesReceived: 0, certificateSerial: credentials.serial },
    };
  }
  const request = `GET /bulwark-attack HTTP/1.1\r\nhost: ${hostHeader}\r\nconnection: close\r\n\r\n`;
  const heard = await converse(inner, { say: [Buffer.from(request, "latin1")] });
  socket.destroy();
  const [answer] = parseAnswers(heard.bytes);
  const echo = answer === undefined ? undefined : echoReport(answer.body);
  return {
    ...base,
    reached: heard.bytes.length > 0,
    happened:
      echo === undefined
        ? `${heard.bytes.length} bytes came back`
        : `HTTP ${answer?.status} of the stand-in for ${echo.standIn}, which saw SNI ${echo.sni ?? "none"} and Host ${echo.host}`,
    evidence: {
      bytesReceived: heard.bytes.length,
      certificateSerial: credentials.serial,
      ...(answer === undefined ? {} : { status: answer.status }),
    },
    ...(echo === undefined ? {} : { echo }),
  };
}

/** The owner's own way: what every refusal at the gateway is held against. */
export async function controlThroughGateway(route: EgressRoute, credentials: Credentials): Promise<Attempt> {
  const attempt = await sendThroughGateway({
    route,
    credentials,
    outerName: route.outerName,
    inside: [await clientHello(route.host)],
  });
  return { ...attempt, happened: `${route.source.workload} → ${route.host}: ${attempt.happened}` };
}

async function openToGateway({ route, credentials, outerName }: Omit<EgressSend, "inside">) {
  const dialled = await dialTls(
    { ...route.address, ...pastSidecar(route.source) },
    { credentials, servername: outerName, ALPNProtocols: ["istio"] },
  );
  if ("socket" in dialled) return dialled;
  const { failure, local, startedAtMs } = dialled;
  const attempt: Attempt = {
    reached: false,
    ...(isNotSent(failure) ? { nothingThere: failure } : {}),
    happened: failure,
    evidence: { bytesReceived: 0, seen: failure, certificateSerial: credentials.serial },
    local,
    startedAtMs,
  };
  return attempt;
}
