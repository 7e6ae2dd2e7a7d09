/** A server with a valid certificate of another account, behind a service's address: the client's sidecar must not speak to it. */
import { createServer, type TLSSocket } from "node:tls";
import { callAsWorkload } from "../control/workload-call.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { Attack, AttackStep } from "./attack.ts";
import { type Attempt, conclude, notPossible } from "./conclude.ts";
import type { Credentials, ImpostorStage, MeshUnderAttack } from "./mesh-under-attack.ts";
import { specimen } from "./specimen-certificate.ts";
import { attackers } from "./targets.ts";

const ID = "m3";
const NO_STAGE =
  "it needs an address of the attacker's behind a service, which this mesh does not have: `bulwark attack DIR` brings up a mesh with one";
const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nimpostor";

export const impostor: Attack = {
  id: ID,
  title: "server impostor behind a service's address (secure naming)",
  rows: ["M3"],
  needs: "a service with an endpoint where the attacker can listen, and two workloads",
  sequential: true,
  plan(mesh) {
    const stage = mesh.impostorStage;
    const owner = attackers(mesh).find(({ workload }) => workload === stage?.owner);
    const other = attackers(mesh).find(({ spiffeId }) => owner !== undefined && spiffeId !== owner.spiffeId);
    if (stage === undefined || owner === undefined || other === undefined) return [withoutStage()];
    return steps(mesh, stage, owner, other);
  },
};

function withoutStage(): AttackStep {
  const step = { tried: "a valid certificate of another account behind a service", from: "", target: "" };
  return { ...step, run: async () => [notPossible(ID, step, NO_STAGE)] };
}

function steps(
  mesh: MeshUnderAttack,
  stage: ImpostorStage,
  owner: PodAssignment,
  other: PodAssignment,
): readonly AttackStep[] {
  const { trustDomain } = mesh.mesh.config;
  const wrong: Readonly<Record<string, () => Promise<Credentials> | Credentials>> = {
    "a valid certificate of another account": () => mesh.identityOf(other),
    "two names, the owner's second": () =>
      specimen(mesh.caSigner(), { uris: [other.spiffeId, owner.spiffeId] }),
    "the owner's name in another trust domain": () =>
      specimen(mesh.caSigner(), { uris: [owner.spiffeId.replace(trustDomain, "evil.example")] }),
    "the owner's name, expired": () =>
      specimen(mesh.caSigner(), { uris: [owner.spiffeId], startsInSeconds: -600, endsInSeconds: -60 }),
  };
  return Object.entries(wrong).map(([tried, make]) => {
    const step = {
      tried,
      from: "a process at the service's endpoint address",
      target: `a call of ${other.workload} to ${stage.url}`,
    };
    return {
      ...step,
      run: async () => {
        const control = await callStage(stage, other, await mesh.identityOf(owner));
        const attempt = await callStage(stage, other, await make());
        const promised = { allowed: false, words: `refused: only ${owner.spiffeId} may run ${stage.url}` };
        return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
      },
    };
  });
}

/** Listens with these credentials while a workload calls through its sidecar. Reached: the server was told even one byte. */
async function callStage(
  stage: ImpostorStage,
  caller: PodAssignment,
  credentials: Credentials,
): Promise<Attempt> {
  let heard = 0;
  let connections = 0;
  const sockets = new Set<TLSSocket>();
  const server = createServer({
    key: credentials.keyPem,
    cert: credentials.chainPem,
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ["istio-http/1.1", "istio", "http/1.1"],
  });
  server.on("connection", () => {
    connections += 1;
  });
  server.on("tlsClientError", () => {});
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.length;
      socket.end(ANSWER);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(stage.port, stage.address, resolve);
  });
  try {
    const answer = await callAsWorkload(caller, {
      url: new URL(stage.url),
      method: "GET",
      headers: [],
      http2: false,
      timeoutMs: 5000,
      insecure: true,
    });
    return {
      reached: heard > 0,
      ...(connections === 0 ? { nothingThere: "no connection reached the listener" } : {}),
      happened: `${connections} connections, ${heard} bytes heard by the server; the caller got ${answer.failure ?? `HTTP ${answer.status}`}`,
      evidence: { status: answer.status, bytesReceived: heard, certificateSerial: credentials.serial },
      local: answer.local,
      startedAtMs: answer.startedAtMs,
    };
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}
