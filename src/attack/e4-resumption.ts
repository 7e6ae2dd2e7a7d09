/** A stolen certificate past its end: a TLS session from before it is resumed, which looks at no certificate again. */
import type { AttackStep } from "./attack.ts";
import { type Attempt, conclude } from "./conclude.ts";
import { HTTP1_ALPN, requestBytes, sendToSidecar } from "./mesh-request.ts";
import type { Credentials, MeshUnderAttack } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import { specimen } from "./specimen-certificate.ts";
import type { AllowedCall, HttpTarget } from "./targets.ts";
import { dialTls } from "./wire.ts";

/** Long enough for a handshake and a control on a busy machine, short enough to wait for. */
const LIFE_SECONDS = 4;
const SESSION_TIMEOUT_MS = 1500;

export function resumePastTheEnd(mesh: MeshUnderAttack, target: HttpTarget, call: AllowedCall): AttackStep {
  const step = {
    tried: "certificate: stolen, used past its end by resuming a TLS session",
    from: `a process that stole ${call.source.workload}'s certificate`,
    target: `${target.workload.key}:${target.port}`,
  };
  return {
    ...step,
    run: async () => {
      const uris = [call.source.spiffeId];
      const credentials = specimen(mesh.caSigner(), { uris, endsInSeconds: LIFE_SECONDS });
      const endsAtMs = (Math.floor(Date.now() / 1000) + LIFE_SECONDS) * 1000;
      const session = await takeSession(target, call, credentials);
      const control = await resume(target, call, credentials, session);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, endsAtMs + 1100 - Date.now())));
      const attempt = await resume(target, call, credentials, session);
      const promised = { allowed: false, words: "refused: the certificate has ended" };
      const noted = { ...control, happened: `the same session before the end: ${control.happened}` };
      return [await conclude(mesh, { attack: "e4", step, promised, control: noted, attempt })];
    },
  };
}

/** The ticket that the server gives after the handshake; undefined when it gives none. */
export async function takeSession(
  target: HttpTarget,
  call: AllowedCall,
  credentials: Credentials,
): Promise<Buffer | undefined> {
  const dialled = await dialTls(
    { host: target.pod.address, port: target.socketPort, ...pastSidecar(call.source) },
    { credentials, ALPNProtocols: [...HTTP1_ALPN] },
  );
  if ("failure" in dialled) return undefined;
  const { socket } = dialled;
  const session = await new Promise<Buffer | undefined>((resolve) => {
    socket.once("session", resolve);
    socket.once("close", () => resolve(undefined));
    setTimeout(() => resolve(undefined), SESSION_TIMEOUT_MS).unref();
    socket.resume();
  });
  socket.destroy();
  return session;
}

export async function resume(
  target: HttpTarget,
  call: AllowedCall,
  credentials: Credentials,
  session: Buffer | undefined,
): Promise<Attempt> {
  const attempt = await sendToSidecar({
    target,
    from: call.source,
    credentials,
    ...(session === undefined ? {} : { tls: { session } }),
    conversation: { say: [requestBytes(call.request)] },
  });
  const how = session === undefined ? " (no ticket was given: a full handshake)" : "";
  return { ...attempt, reached: attempt.answers.length > 0, happened: `${attempt.happened}${how}` };
}
