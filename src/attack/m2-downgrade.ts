/** Weaker TLS than the mesh speaks: older versions, weak suites, odd protocols, tickets from before a rotation. */
import type { Attack, AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible } from "./conclude.ts";
import { takeSession } from "./e4-resumption.ts";
import { requestBytes, sendAllowed, sendToSidecar } from "./mesh-request.ts";
import type { Credentials, MeshUnderAttack } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import { type AllowedCall, callableTargets, type HttpTarget } from "./targets.ts";
import { dialTls, type TlsOptions } from "./wire.ts";

const ID = "m2";
/** Rotations that come later are not waited for. */
const LONGEST_WAIT_MS = 45_000;

export const downgrade: Attack = {
  id: ID,
  title: "TLS downgrade, weak suites, odd protocol names, tickets of before",
  rows: ["M2"],
  needs: "a workload with a sidecar whose HTTP port another may call",
  plan(mesh) {
    // Every sidecar runs the same code: one target stands for all.
    return callableTargets(mesh)
      .slice(0, 1)
      .flatMap(({ target, call }) => [
        ...Object.entries(WEAKER).map(([tried, tls]) => weakerStep(mesh, target, call, tried, tls)),
        renegotiation(target),
        ticketStep(mesh, target, call),
      ]);
  },
};

/** What the client offers; security level 0, or OpenSSL itself would not offer it. */
const OLD = "ALL:@SECLEVEL=0";
const WEAKER: Readonly<Record<string, TlsOptions>> = {
  "TLS 1.0": { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: OLD },
  "TLS 1.1": { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: OLD },
  "TLS 1.2": { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
  "TLS 1.2 with null encryption": {
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.2",
    ciphers: "eNULL:@SECLEVEL=0",
  },
  "TLS 1.2 with anonymous key agreement": {
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.2",
    ciphers: "aNULL:@SECLEVEL=0",
  },
  "TLS 1.2 with CBC": {
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.2",
    ciphers: "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
  },
  "TLS 1.3 with a short authentication tag (CCM_8)": { ciphers: "TLS_AES_128_CCM_8_SHA256:ALL:@SECLEVEL=0" },
  "TLS 1.3 with a small finite-field group": { ecdhCurve: "ffdhe2048" },
  "a protocol name that the mesh does not know": { ALPNProtocols: ["spdy/3"] },
};

function weakerStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  tried: string,
  tls: TlsOptions,
): AttackStep {
  const step = place(tried, target, call);
  return {
    ...step,
    run: async () => {
      const control = await sendAllowed(mesh, target, call.source, call.request);
      const credentials = await mesh.identityOf(call.source);
      const conversation = { say: [requestBytes(call.request)] };
      const attempt = await sendToSidecar({ target, from: call.source, credentials, tls, conversation });
      const promised = {
        allowed: false,
        words: "refused: TLS 1.3 with its three strong suites, and the mesh's own protocol names",
      };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

function place(tried: string, target: HttpTarget, call: AllowedCall) {
  return {
    tried,
    from: `${call.source.workload} (its certificate)`,
    target: `${target.workload.key}:${target.port}`,
  };
}

function renegotiation(target: HttpTarget): AttackStep {
  const step = { tried: "renegotiation", from: "", target: `${target.workload.key}:${target.port}` };
  const why = "TLS 1.3 has no renegotiation, and nothing older is spoken";
  return { ...step, run: async () => [notPossible(ID, step, why)] };
}

/** A session of before the server's certificate was rotated must not be resumed past the checks that came with the new one. */
function ticketStep(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall): AttackStep {
  const step = place("a session ticket from before a rotation", target, call);
  return {
    ...step,
    run: async () => {
      const credentials = await mesh.identityOf(call.source);
      const before = await serverCertificate(mesh, target, call);
      if (before === undefined) return [notPossible(ID, step, "no TLS connection to take a ticket from")];
      const waitMs = before.endsAtMs - Date.now();
      if (waitMs > LONGEST_WAIT_MS) {
        const why = `certificates live too long here to see a rotation (this one ${Math.round(waitMs / 60_000)} min more): bring the mesh up with --cert-ttl 20s`;
        return [notPossible(ID, step, why, { certificateSerial: before.serial })];
      }
      const session = await takeSession(target, call, credentials);
      const control = await resumption(target, call, credentials, session);
      await untilRotated(mesh, target, call, before);
      const attempt = await resumption(target, call, credentials, session);
      const promised = { allowed: false, words: "not resumed: a full handshake, with all its checks" };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

interface ServerCertificate {
  readonly serial: string;
  readonly endsAtMs: number;
}

async function serverCertificate(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
): Promise<ServerCertificate | undefined> {
  const dialled = await dialTls(addressFor(target, call), {
    credentials: await mesh.identityOf(call.source),
    ALPNProtocols: ["istio-http/1.1"],
  });
  if ("failure" in dialled) return undefined;
  const certificate = dialled.socket.getPeerX509Certificate();
  dialled.socket.destroy();
  return certificate === undefined
    ? undefined
    : { serial: certificate.serialNumber, endsAtMs: Date.parse(certificate.validTo) };
}

function addressFor(target: HttpTarget, call: AllowedCall) {
  return { host: target.pod.address, port: target.socketPort, ...pastSidecar(call.source) };
}

async function untilRotated(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  before: ServerCertificate,
): Promise<void> {
  while (Date.now() < before.endsAtMs && !mesh.signal.aborted) {
    const now = await serverCertificate(mesh, target, call);
    if (now !== undefined && now.serial !== before.serial) return;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** Reached: the server took up the old session. */
async function resumption(
  target: HttpTarget,
  call: AllowedCall,
  credentials: Credentials,
  session: Buffer | undefined,
): Promise<Attempt> {
  const dialled = await dialTls(addressFor(target, call), {
    credentials,
    ALPNProtocols: ["istio-http/1.1"],
    ...(session === undefined ? {} : { session }),
  });
  const { local, startedAtMs } = dialled;
  if ("failure" in dialled)
    return { reached: false, happened: dialled.failure, evidence: {}, local, startedAtMs };
  const resumed = dialled.socket.isSessionReused();
  dialled.socket.destroy();
  return {
    reached: resumed,
    ...(resumed ? {} : { harmless: "the server's new ticket keys: a full handshake was made" }),
    happened: resumed ? "the old session was resumed" : "a full handshake was made",
    evidence: { certificateSerial: credentials.serial },
    local,
    startedAtMs,
  };
}
