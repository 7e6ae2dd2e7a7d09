/** Posing as another workload, to sidecars: every certificate that is not B's own, valid one. */
import type { Attack, AttackStep } from "./attack.ts";
import { type Attempt, conclude } from "./conclude.ts";
import { impersonateToCa } from "./e4-ca-requests.ts";
import { resumePastTheEnd } from "./e4-resumption.ts";
import { revokedCertificate } from "./e4-revoked.ts";
import { recordsOf } from "./flow-evidence.ts";
import { requestBytes, sendToSidecar } from "./mesh-request.ts";
import type { Credentials, MeshUnderAttack } from "./mesh-under-attack.ts";
import { foreignSigner, selfSigned, signedByWorkload, specimen } from "./specimen-certificate.ts";
import { type AllowedCall, attackers, callableTargets, type HttpTarget, principalOf } from "./targets.ts";

const ID = "e4";

export const impersonate: Attack = {
  id: ID,
  title: "impersonate another workload: to sidecars, and to the CA",
  rows: ["E4"],
  needs: "a workload with a sidecar whose HTTP port another may call",
  plan(mesh) {
    const [callable] = callableTargets(mesh);
    if (callable === undefined) return impersonateToCa(mesh);
    const { target, call } = callable;
    return [
      ...forgeries(mesh, call).map((forgery) => forgeryStep(mesh, target, call, forgery)),
      resumePastTheEnd(mesh, target, call),
      ...revokedCertificate(mesh, target, call),
      ...impersonateToCa(mesh),
    ];
  },
};

interface Forgery {
  readonly tried: string;
  readonly make: () => Promise<Credentials> | Credentials;
  /** A sound identity, and another than the victim's: it may be taken, but not for the victim. */
  readonly isAnother?: boolean;
}

function forgeries(mesh: MeshUnderAttack, call: AllowedCall): readonly Forgery[] {
  const victim = call.source.spiffeId;
  const { trustDomain } = mesh.mesh.config;
  const account = victim.slice(`spiffe://${trustDomain}`.length);
  const attacker = attackers(mesh).find(({ spiffeId }) => spiffeId !== victim);
  const mine = attacker?.spiffeId ?? `spiffe://${trustDomain}/ns/attacker/sa/attacker`;
  const signed = (request: Parameters<typeof specimen>[1]) => () => specimen(mesh.caSigner(), request);
  const uris = [victim];
  const forged: Forgery[] = [
    { tried: "self-signed with the victim's name", make: () => selfSigned({ uris }) },
    {
      tried: "another CA's, under the mesh CA's name",
      make: () => specimen(foreignSigner(mesh.caSigner()), { uris }),
    },
    { tried: "of another trust domain", make: signed({ uris: [`spiffe://evil.example${account}`] }) },
    {
      tried: "of a trust domain that begins like the mesh's",
      make: signed({ uris: [`spiffe://${trustDomain}.evil.example${account}`] }),
    },
    { tried: "two URI names, the victim's second", make: signed({ uris: [mine, victim] }) },
    { tried: "two URI names, the victim's first", make: signed({ uris: [victim, mine] }) },
    { tried: "the victim's name as DNS only", make: signed({ uris: [], dnsNames: [victim] }) },
    { tried: "expired a minute ago", make: signed({ uris, startsInSeconds: -3600, endsInSeconds: -60 }) },
    { tried: "valid from tomorrow", make: signed({ uris, startsInSeconds: 86_400, endsInSeconds: 90_000 }) },
    { tried: "a CA certificate with the victim's name", make: signed({ uris, profile: "intermediate" }) },
    { tried: "for servers only (no clientAuth)", make: signed({ uris, profile: "external-server" }) },
    ...["/", "%2f", "?", "/x"].map((suffix) => ({
      tried: `the victim's name with \`${suffix}\` after it`,
      make: signed({ uris: [`${victim}${suffix}`] }),
      isAnother: suffix === "/x",
    })),
    { tried: "the victim's name in capitals", make: signed({ uris: [victim.toUpperCase()] }) },
    {
      tried: "the victim's name behind a path that climbs",
      make: signed({ uris: [`spiffe://${trustDomain}/ns/x/../..${account}`] }),
    },
  ];
  if (attacker === undefined) return forged;
  return [
    ...forged,
    {
      tried: "signed by the attacker's own workload certificate",
      make: async () => signedByWorkload(await mesh.identityOf(attacker), { uris }),
    },
  ];
}

/** The control differs in the one respect that is wrong: the same CA, the same name, the same request. */
function forgeryStep(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
  { tried, make, isAnother = false }: Forgery,
): AttackStep {
  const step = {
    tried: `certificate: ${tried}`,
    from: `a process that claims to be ${call.source.workload}`,
    target: `${target.workload.key}:${target.port}`,
  };
  return {
    ...step,
    run: async () => {
      const control = await specimenControl(mesh, target, call);
      const shown = await present(target, call, await make());
      const attempt = isAnother ? await asTheVictim(mesh, call, shown) : shown;
      const promised = {
        allowed: false,
        words: "refused: only a valid certificate of this mesh with one name passes",
      };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

export async function specimenControl(
  mesh: MeshUnderAttack,
  target: HttpTarget,
  call: AllowedCall,
): Promise<Attempt> {
  const sound = specimen(mesh.caSigner(), { uris: [call.source.spiffeId] });
  const attempt = await present(target, call, sound);
  return { ...attempt, happened: `a sound certificate of the same CA and name: ${attempt.happened}` };
}

/** Whether the proxy took it for the victim: by the name in its own record. */
async function asTheVictim(mesh: MeshUnderAttack, call: AllowedCall, attempt: Attempt): Promise<Attempt> {
  const { local, startedAtMs } = attempt;
  if (!attempt.reached || local === undefined) return attempt;
  const records = await recordsOf(mesh, local, startedAtMs);
  const names = [...new Set(records.map(({ source }) => source?.principal ?? "nobody"))];
  const reached = names.length === 0 || names.includes(principalOf(call.source));
  return {
    ...attempt,
    reached,
    ...(reached ? {} : { harmless: "the sidecar, which took it for another identity than the victim's" }),
    happened: `${attempt.happened}, taken for ${names.join(", ")}`,
  };
}

/** Any HTTP answer, a refusal by policy too, means that the certificate was taken for somebody's. */
async function present(target: HttpTarget, call: AllowedCall, credentials: Credentials): Promise<Attempt> {
  const attempt = await sendToSidecar({
    target,
    from: call.source,
    credentials,
    conversation: { say: [requestBytes(call.request)] },
  });
  const seen = attempt.echoes[0]?.peer?.at(-1)?.uri;
  return {
    ...attempt,
    reached: attempt.answers.length > 0,
    evidence: { ...attempt.evidence, ...(seen === undefined ? {} : { seen: `the application saw ${seen}` }) },
  };
}
