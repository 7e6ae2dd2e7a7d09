/** Paths that a policy reads in one way and an application in another. */
import type { Attack, AttackResult, AttackStep } from "./attack.ts";
import { notPossible } from "./conclude.ts";
import { recordsOf, wordsOf } from "./flow-evidence.ts";
import { type HttpAttempt, requestBytes, sendAllowed, sendToSidecar } from "./mesh-request.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { type Misread, pathAdvice } from "./path-advice.ts";
import { type PathReading, readingsOf } from "./path-readings.ts";
import { type PathVariant, pathVariants } from "./path-variants.ts";
import type { AskedRequest } from "./promise.ts";
import { verdictWords } from "./promise.ts";
import {
  type AllowedCall,
  attackers,
  decideFor,
  type HttpTarget,
  httpTargets,
  sampleRequests,
} from "./targets.ts";

const ID = "m6";

/** One caller with one method, a path that it may ask for and one that it may not. */
interface Protected {
  readonly target: HttpTarget;
  readonly call: AllowedCall;
  readonly denied: AskedRequest;
}

export const pathTricks: Attack = {
  id: ID,
  title: "path tricks against policies that protect a path",
  rows: ["M6"],
  needs: "a policy that allows one path to a workload and refuses another",
  plan(mesh) {
    return protectedPaths(mesh).flatMap((found) =>
      [
        ...Map.groupBy(
          pathVariants(found.call.request.path, found.denied.path, found.target.host),
          ({ family }) => family,
        ),
      ].map(([family, variants]) => familyStep(mesh, found, family, variants)),
    );
  },
};

/** For each target the first caller with both; a path of the policies, or one that no policy names. */
function protectedPaths(mesh: MeshUnderAttack): readonly Protected[] {
  return httpTargets(mesh).flatMap((target) => {
    const samples = [...sampleRequests(mesh, target), { method: "GET", path: "/secret", host: target.host }];
    for (const source of attackers(mesh)) {
      const allowed = samples.find((request) => decideFor(target, source, request).allowed);
      if (allowed === undefined) continue;
      const others = samples.filter(({ method }) => method === allowed.method);
      const denied = others.find(
        (request) => !decideFor(target, source, request).allowed && request.path !== "/",
      );
      if (denied !== undefined) return [{ target, call: { source, request: allowed }, denied }];
    }
    return [];
  });
}

function familyStep(
  mesh: MeshUnderAttack,
  found: Protected,
  family: string,
  variants: readonly PathVariant[],
): AttackStep {
  const { target, call, denied } = found;
  const step = {
    tried: family,
    from: `${call.source.workload} (its certificate)`,
    target: `${denied.path} of ${target.workload.key}:${target.port}`,
  };
  return {
    ...step,
    run: async () => {
      const control = await sendAllowed(mesh, target, call.source, call.request);
      if (!control.reached)
        return [notPossible(ID, step, `the allowed path does not pass either: ${control.happened}`)];
      const sent: Sent[] = [];
      for (const variant of variants) sent.push(await sendVariant(mesh, found, variant));
      return judge(mesh, found, step, control, sent);
    },
  };
}

interface Sent {
  readonly variant: PathVariant;
  readonly attempt: HttpAttempt;
  /** The path that the application received; undefined when none reached it. */
  readonly received: string | undefined;
  /** A way to read it by which the policy should have refused it. */
  readonly reading: PathReading | undefined;
}

async function sendVariant(
  mesh: MeshUnderAttack,
  { target, call, denied }: Protected,
  variant: PathVariant,
): Promise<Sent> {
  const request = { ...denied, path: variant.target };
  const attempt = await sendToSidecar({
    target,
    from: call.source,
    credentials: await mesh.identityOf(call.source),
    conversation: { say: [requestBytes(request)] },
  });
  const received = attempt.echoes[0]?.path;
  const isBroken = ({ path, standard }: PathReading) =>
    standard ? isRefused(target, call, { ...denied, path }) : path === denied.path;
  const reading = received === undefined ? undefined : readingsOf(received).find(isBroken);
  return { variant, attempt, received, reading };
}

/** By policy: that a reading is no acceptable request at all breaks no promise. */
function isRefused(target: HttpTarget, { source }: AllowedCall, request: AskedRequest): boolean {
  const { allowed, layer } = decideFor(target, source, request);
  return !allowed && layer !== "transport" && layer !== "route";
}

/** One line for what was refused or harmless, one for each way of reading by which something got through. */
async function judge(
  mesh: MeshUnderAttack,
  { target, call, denied }: Protected,
  step: Pick<AttackStep, "tried" | "from" | "target">,
  control: HttpAttempt,
  sent: readonly Sent[],
): Promise<readonly AttackResult[]> {
  const base = {
    attack: ID,
    ...step,
    promised: `${denied.path}: ${verdictWords(decideFor(target, call.source, denied))}`,
    control: `passes: ${call.request.path}: ${control.happened}`,
  };
  const through = sent.filter(({ reading }) => reading !== undefined);
  const held = sent.filter(({ reading }) => reading === undefined);
  const byReading = Map.groupBy(through, ({ reading }) => reading?.by);
  const results: AttackResult[] = [...byReading.values()].map((all) => ({
    ...base,
    ...throughResult({ target, call, denied }, all),
  }));
  if (held.length === 0) return results;
  const refused = held.find(({ attempt }) => !attempt.reached && attempt.local !== undefined);
  const { local, startedAtMs } = refused?.attempt ?? control;
  const records = local === undefined ? [] : await recordsOf(mesh, local, startedAtMs, hasRefusal);
  const record = records.find(({ verdict }) => verdict !== "allow");
  const harmless = held.filter(({ attempt }) => attempt.reached).length;
  const also = harmless === 0 ? "" : `; ${harmless} reached the application as a path that is allowed`;
  results.unshift({
    ...base,
    tries: held.length,
    happened: `${held.length - harmless} refused${also}`,
    outcome: "stopped",
    logged: refused === undefined ? null : record !== undefined,
    stoppedBy:
      record === undefined ? "normalisation: the application got the path that was judged" : wordsOf(record),
    evidence: {
      ...(refused?.attempt.evidence ?? {}),
      ...(record === undefined ? {} : { flowRecord: record.id }),
      seen: `for example ${held[0]?.variant.target.slice(0, 80)}`,
    },
  });
  return results;
}

function hasRefusal(records: readonly { readonly verdict: string }[]): boolean {
  return records.some(({ verdict }) => verdict !== "allow");
}

/** By the standard's own reading it is a defect; by an application's own habits, the configuration's choice. */
function throughResult(
  found: Protected,
  all: readonly Sent[],
): Pick<AttackResult, "tries" | "happened" | "outcome" | "logged" | "evidence" | "finding" | "fix"> {
  const { target } = found;
  const [{ variant, attempt, received, reading }] = all as readonly [Sent];
  const example = `the application received ${received?.slice(0, 80)}, which is ${reading?.path.slice(0, 80)} ${reading?.by}`;
  const common = {
    tries: all.length,
    happened: example,
    logged: null,
    evidence: { ...attempt.evidence, seen: `sent ${variant.target.slice(0, 120)}` },
  };
  if (reading?.standard === true) return { ...common, outcome: "succeeded" };
  return {
    ...common,
    outcome: "allowed by configuration",
    finding: `${target.workload.key}: an application that reads paths ${reading?.by} serves what the policy refuses (pathNormalization is ${target.policy.pathNormalization})`,
    fix: pathAdvice(
      all.flatMap((sent) => misreadOf(found, sent)),
      target.policy.pathNormalization,
    ),
  };
}

function misreadOf({ target, call, denied }: Protected, { variant, received, reading }: Sent): Misread[] {
  if (reading === undefined || received === undefined) return [];
  const { cause } = decideFor(target, call.source, { ...denied, path: received });
  return [
    {
      sent: variant.target,
      reading,
      denied: denied.path,
      refuses: (path) => !decideFor(target, call.source, { ...denied, path }).allowed,
      byAllowRule: cause === "allow-matched",
    },
  ];
}
