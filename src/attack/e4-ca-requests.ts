/** Posing as another workload to the CA: tokens and requests that are not the caller's own. */
import { createHmac, X509Certificate } from "node:crypto";
import { encodeCsr } from "../identity/csr.ts";
import { KEY_ALGORITHMS } from "../identity/key-algorithm.ts";
import type { TokenRequest } from "../identity/service-account-token.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { AttackResult, AttackStep } from "./attack.ts";
import { csrNaming } from "./csr-naming.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { sayHello, serialOf, signWithToken } from "./stolen-identity.ts";
import { attackers } from "./targets.ts";

const ID = "e4";
const TIMEOUT_MS = 5000;

interface CaAttempt {
  readonly tried: string;
  /** Settles with a certificate chain when the CA signed; throws its refusal. */
  readonly ask: () => Promise<string>;
}

/** What the CA must refuse, with two workloads at hand; with fewer there is nobody to pose as. */
export function impersonateToCa(mesh: MeshUnderAttack): readonly AttackStep[] {
  const [attacker] = attackers(mesh);
  const victim = attackers(mesh).find(({ spiffeId }) => spiffeId !== attacker?.spiffeId);
  if (attacker === undefined || victim === undefined) return [];
  // One at a time: sessions of one pod push each other out.
  let turn: Promise<unknown> = Promise.resolve();
  return attempts(mesh, attacker, victim).map(({ tried, ask }) => {
    const step = { tried: `CA: ${tried}`, from: `${attacker.workload} (its token)`, target: victim.spiffeId };
    const run = () => {
      const result = turn.then(() => judge(mesh, step, victim, ask));
      turn = result.catch(() => {});
      return result.then((one) => [one]);
    };
    return { ...step, run };
  });
}

function attempts(
  mesh: MeshUnderAttack,
  attacker: PodAssignment,
  victim: PodAssignment,
): readonly CaAttempt[] {
  const asked = requestFor(victim);
  const signed = async (token: string) =>
    (await signWithToken(() => mesh.dialControl(), token, await freshCsr())).chainPem;
  const minted =
    (change: Partial<TokenRequest>, options?: { issuer?: string; clock?: () => number }) => async () =>
      signed(await mesh.mintToken({ ...asked, ...change }, options));
  return [
    {
      tried: "the attacker's token, a request that names the victim",
      ask: async () => {
        const csr = await csrNaming(victim.spiffeId);
        return (await signWithToken(() => mesh.dialControl(), mesh.tokenOf(attacker), csr)).chainPem;
      },
    },
    {
      tried: "the victim's token on the attacker's connection",
      ask: () => crossedTokens(mesh, attacker, victim),
    },
    { tried: "no token at all", ask: () => withoutHello(mesh) },
    {
      tried: "the victim's token, for another audience",
      ask: minted({ audiences: ["https://vault.example"] }),
    },
    { tried: "the victim's token, of another issuer", ask: minted({}, { issuer: "https://evil.example" }) },
    {
      tried: "the victim's token, expired",
      ask: minted({ ttlSeconds: 60 }, { clock: () => Date.now() - 3_600_000 }),
    },
    {
      tried: "the victim's token, of a pod that is gone",
      ask: minted({ pod: { name: victim.name, uid: "00000000-0000-0000-0000-000000000000" } }),
    },
    {
      tried: "a token of the victim's pod for another account",
      ask: minted({ serviceAccount: { name: "admin", uid: `${victim.namespace}/admin` } }),
    },
    { tried: "the victim's claims, alg none", ask: async () => signed(unsigned(mesh.tokenOf(victim))) },
    {
      tried: "the victim's claims, HS256 with a guessed secret",
      ask: async () => signed(hmac(mesh.tokenOf(victim))),
    },
    {
      tried: "the attacker's token with the victim's claims put in",
      ask: async () => signed(withClaimsOf(mesh.tokenOf(attacker), mesh.tokenOf(victim))),
    },
  ];
}

function requestFor(pod: PodAssignment): TokenRequest {
  const { namespace, serviceAccount, name, uid } = pod;
  return {
    namespace,
    serviceAccount: { name: serviceAccount, uid: `${namespace}/${serviceAccount}` },
    pod: { name, uid },
    ttlSeconds: 600,
  };
}

/** Stopped: refused, or signed for the caller and nobody else. The control is a sound token of the same issuer. */
async function judge(
  mesh: MeshUnderAttack,
  step: Pick<AttackStep, "tried" | "from" | "target">,
  victim: PodAssignment,
  ask: () => Promise<string>,
): Promise<AttackResult> {
  const control = await outcomeOf(async () => {
    const token = await mesh.mintToken(requestFor(victim));
    return (await signWithToken(() => mesh.dialControl(), token, await freshCsr())).chainPem;
  });
  const startedAtMs = Date.now();
  const got = await outcomeOf(ask);
  const holdsVictim = got.uris.includes(victim.spiffeId);
  const refusal = got.code === undefined ? undefined : await caRecord(mesh, got.code, startedAtMs);
  const base = {
    attack: ID,
    ...step,
    tries: 1,
    promised: "refused, or signed for the caller's own account",
    control: `${control.code === undefined ? "passes" : "fails"}: a sound token of the same issuer: ${control.words}`,
    happened: got.words,
    evidence: {
      ...(got.serial === undefined ? {} : { certificateSerial: got.serial }),
      ...(refusal === undefined ? {} : { flowRecord: refusal }),
    },
  };
  if (holdsVictim) return { ...base, outcome: "succeeded", logged: null };
  if (control.code !== undefined) return { ...base, outcome: "not possible here", logged: null };
  const stoppedBy =
    got.code === undefined
      ? "the CA signed for the token's account, not for the name asked for"
      : `bulwark/ca (${got.code})`;
  // What the CA signs is in the log by its rotation record.
  return {
    ...base,
    outcome: "stopped",
    stoppedBy,
    logged: got.code === undefined ? true : refusal !== undefined,
  };
}

interface CaOutcome {
  readonly words: string;
  readonly uris: readonly string[];
  readonly code?: string;
  readonly serial?: string;
}

async function outcomeOf(ask: () => Promise<string>): Promise<CaOutcome> {
  try {
    const chainPem = await ask();
    const names = new X509Certificate(chainPem).subjectAltName ?? "";
    const uris = [...names.matchAll(/URI:([^,"]+)/g)].map(([, uri]) => uri ?? "");
    return { words: `a certificate for ${uris.join(", ")}`, uris, serial: serialOf(chainPem) };
  } catch (error) {
    const code = error instanceof BulwarkError ? error.code : "unknown";
    return { words: `refused: ${error instanceof Error ? error.message : code}`, uris: [], code };
  }
}

async function caRecord(
  mesh: MeshUnderAttack,
  code: string,
  startedAtMs: number,
): Promise<string | undefined> {
  const filter = ["--reporter", "bulwark/ca", "--verdict", "deny", "--reason", code];
  const since = ["--since", new Date(startedAtMs - 100).toISOString()];
  const deadline = performance.now() + mesh.logWaitMs;
  for (;;) {
    const [record] = await mesh.records([...filter, ...since]);
    if (record !== undefined || performance.now() > deadline) return record?.id;
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
}

async function freshCsr(): Promise<Buffer> {
  return encodeCsr((await KEY_ALGORITHMS["ecdsa-p256"].generate()).privateKey);
}

/** Says hello as itself, then asks with the token of another. */
async function crossedTokens(
  mesh: MeshUnderAttack,
  attacker: PodAssignment,
  victim: PodAssignment,
): Promise<string> {
  const peer = await mesh.dialControl();
  try {
    await sayHello(peer, mesh.tokenOf(attacker));
    const params = { token: mesh.tokenOf(victim), csr: (await freshCsr()).toString("base64") };
    return ((await peer.request("sign", params, TIMEOUT_MS)) as { chainPem: string }).chainPem;
  } finally {
    peer.close();
  }
}

async function withoutHello(mesh: MeshUnderAttack): Promise<string> {
  const peer = await mesh.dialControl();
  try {
    const params = { token: "", csr: (await freshCsr()).toString("base64") };
    return ((await peer.request("sign", params, TIMEOUT_MS)) as { chainPem: string }).chainPem;
  } finally {
    peer.close();
  }
}

function unsigned(token: string): string {
  const [, claims = ""] = token.split(".");
  return `${encodeJson({ alg: "none", typ: "JWT" })}.${claims}.`;
}

function hmac(token: string): string {
  const [, claims = ""] = token.split(".");
  const head = `${encodeJson({ alg: "HS256", typ: "JWT" })}.${claims}`;
  return `${head}.${createHmac("sha256", "secret").update(head).digest("base64url")}`;
}

function withClaimsOf(own: string, other: string): string {
  const [header = "", , signature = ""] = own.split(".");
  return `${header}.${other.split(".")[1] ?? ""}.${signature}`;
}

function encodeJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
