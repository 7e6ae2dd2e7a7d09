/** A stolen certificate that has been revoked: shown again, and by a TLS session from before, which shows no certificate. */
import type { AttackStep } from "./attack.ts";
import { type Attempt, conclude } from "./conclude.ts";
import { resume, takeSession } from "./e4-resumption.ts";
import { requestBytes, sendToSidecar } from "./mesh-request.ts";
import type { Credentials, MeshUnderAttack } from "./mesh-under-attack.ts";
import type { AllowedCall, HttpTarget } from "./targets.ts";

/** The certificate is one of its own, with a key of its own: the workload that it is stolen from goes on. */
export function revokedCertificate(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
): readonly AttackStep[] {
  const common = {
    from: `a process that stole ${call.source.workload}'s certificate`,
    target: `${target.workload.key}:${target.port}`,
  };
  const again = { ...common, tried: "certificate: stolen, and revoked since" };
  const resumed = { ...common, tried: "certificate: stolen, and revoked since, by resuming a TLS session" };
  return [
    {
      ...again,
      run: async () => {
        const credentials = await mesh.freshIdentityOf(call.source);
        const control = await present(target, call, credentials);
        await mesh.revokeCertificate(credentials.serial);
        const attempt = await present(target, call, credentials);
        return [await conclude(mesh, { ...judged(again, control), attempt })];
      },
    },
    {
      ...resumed,
      run: async () => {
        const credentials = await mesh.freshIdentityOf(call.source);
        const session = await takeSession(target, call, credentials);
        const control = await resume(target, call, credentials, session);
        await mesh.revokeCertificate(credentials.serial);
        const shown = await resume(target, call, credentials, session);
        const attempt =
          session === undefined ? { ...shown, nothingThere: "the server gave no ticket" } : shown;
        return [await conclude(mesh, { ...judged(resumed, control), attempt })];
      },
    },
  ];
}

function judged(step: Pick<AttackStep, "tried" | "from" | "target">, control: Attempt) {
  return {
    attack: "e4",
    step,
    promised: { allowed: false, words: "refused: the certificate was revoked" },
    control: { ...control, happened: `the same before it was revoked: ${control.happened}` },
  };
}

/** Any HTTP answer means that the certificate was taken for somebody's. */
async function present(target: HttpTarget, call: AllowedCall, credentials: Credentials): Promise<Attempt> {
  const conversation = { say: [requestBytes(call.request)] };
  const attempt = await sendToSidecar({ target, from: call.source, credentials, conversation });
  return { ...attempt, reached: attempt.answers.length > 0 };
}
