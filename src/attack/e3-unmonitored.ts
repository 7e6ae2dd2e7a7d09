/** The allowed host, unseen: every call out of the mesh must leave a record with account and server name. */
import type { FlowRecord } from "../model/flow-record.ts";
import type { Attack, AttackResult, AttackStep } from "./attack.ts";
import { notPossible } from "./conclude.ts";
import { REAL_HOSTS } from "./e2-other-identitys-host.ts";
import { requestThroughGateway } from "./egress-attempt.ts";
import { type EgressRoute, egressRoutes } from "./egress-targets.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { principalOf } from "./targets.ts";

const ID = "e3";
const CALLS = 6;

export const unmonitored: Attack = {
  id: ID,
  title: "an allowed host, unmonitored",
  rows: ["E3"],
  needs: "an egress gateway with a host that somebody may reach",
  sequential: true,
  plan(mesh) {
    return egressRoutes(mesh)
      .filter(({ verdict }) => verdict.allowed)
      .map((route) => countStep(mesh, route));
  },
};

/** Past the own sidecar, so that the gateway's record is the only one: what the client's sidecar says is not counted. */
function countStep(mesh: MeshUnderAttack, route: EgressRoute): AttackStep {
  const step = {
    tried: `${CALLS} calls straight to the gateway, each looked for in the flow log`,
    from: `${route.source.workload} (its certificate)`,
    target: `${route.host}:${route.port} by ${route.gateway.workload}`,
  };
  return {
    ...step,
    run: async () => {
      if (mesh.standInCaPem === undefined) return [notPossible(ID, step, REAL_HOSTS)];
      const startedAtMs = Date.now();
      const credentials = await mesh.identityOf(route.source);
      const ends: string[] = [];
      for (let call = 0; call < CALLS; call++) {
        const attempt = await requestThroughGateway({
          route,
          credentials,
          outerName: route.outerName,
          innerName: route.host,
        });
        if (attempt.reached && attempt.local !== undefined)
          ends.push(`${attempt.local.ip}:${attempt.local.port}`);
      }
      return [await judge(mesh, route, step, ends, startedAtMs)];
    },
  };
}

async function judge(
  mesh: MeshUnderAttack,
  route: EgressRoute,
  step: Pick<AttackStep, "tried" | "from" | "target">,
  ends: readonly string[],
  startedAtMs: number,
): Promise<AttackResult> {
  if (ends.length < CALLS)
    return notPossible(ID, step, `only ${ends.length} of ${CALLS} calls were answered`);
  const records = await gatewayRecords(mesh, route, ends, startedAtMs);
  const told = ends.filter((end) => records.some((record) => isAccount(record, route, end)));
  const sameCount = records.length === ends.length;
  const complete = told.length === ends.length && sameCount;
  return {
    attack: ID,
    ...step,
    tries: CALLS,
    promised: "each call has one record of the gateway with the service account and the server name",
    control: `passes: ${CALLS} calls were answered`,
    happened: `${records.length} records, ${told.length} of ${CALLS} calls with ${principalOf(route.source)} and ${route.host}`,
    outcome: complete ? "stopped" : "succeeded",
    logged: told.length === ends.length,
    ...(complete ? { stoppedBy: `${route.gateway.workload}: nothing left unseen` } : {}),
    evidence: { ...(records[0] === undefined ? {} : { flowRecord: records[0].id }) },
  };
}

/** The gateway's connection records of these calls; a record is written when its connection ends. */
async function gatewayRecords(
  mesh: MeshUnderAttack,
  route: EgressRoute,
  ends: readonly string[],
  startedAtMs: number,
): Promise<readonly FlowRecord[]> {
  const wanted = new Set(ends);
  const since = new Date(startedAtMs - 100).toISOString();
  const filter = ["--reporter", route.gateway.workload, "--kind", "connection", "--since", since];
  const deadline = performance.now() + 2 * mesh.logWaitMs;
  for (;;) {
    const records = (await mesh.records(filter)).filter((record) => wanted.has(endOf(record)));
    if (records.length >= ends.length || performance.now() > deadline) return records;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function endOf({ source }: FlowRecord): string {
  return `${source?.ip}:${source?.port}`;
}

function isAccount(record: FlowRecord, route: EgressRoute, end: string): boolean {
  return (
    endOf(record) === end &&
    record.source?.principal === principalOf(route.source) &&
    record.sni === route.outerName &&
    record.innerSni === route.host &&
    record.verdict === "allow"
  );
}
