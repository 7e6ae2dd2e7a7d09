/** A to B's external host: through A's own sidecar, and past it with A's certificate straight to the gateway. */
import { callAsWorkload } from "../control/workload-call.ts";
import type { Attack, AttackStep } from "./attack.ts";
import { clientHello } from "./client-hello-bytes.ts";
import { type Attempt, conclude, notPossible, type Promised } from "./conclude.ts";
import { controlThroughGateway, sendThroughGateway } from "./egress-attempt.ts";
import { type EgressRoute, egressRoutes } from "./egress-targets.ts";
import { recordsOf } from "./flow-evidence.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { verdictWords } from "./promise.ts";

const ID = "e2";
/** What a mesh without stand-ins cannot show: no attack is sent to hosts of other people. */
export const REAL_HOSTS =
  "the real hosts are behind this gateway, and attacks are not sent to them: bring the mesh up with --simulate-external";

export const otherIdentitysHost: Attack = {
  id: ID,
  title: "A to B's external host through the gateway",
  rows: ["E2"],
  needs: "an egress gateway, and a host that one workload may reach through it",
  plan(mesh) {
    const routes = egressRoutes(mesh);
    return routes.flatMap((route) => {
      const owner = routes.find(({ host, verdict }) => host === route.host && verdict.allowed);
      const isOwn = owner === route;
      if (owner === undefined || isOwn || isExpected(route)) return [];
      return [throughSidecar(mesh, route, owner), straightToGateway(mesh, route, owner)];
    });
  },
};

/** Allowed by a rule that names this workload: that is what the policy is for. */
function isExpected({ verdict }: EgressRoute): boolean {
  return verdict.allowed && verdict.cause === "allow-matched";
}

export function promisedFor({ verdict, host, source, gateway }: EgressRoute): Promised {
  return {
    allowed: verdict.allowed,
    words: verdictWords(verdict),
    finding: `no AuthorizationPolicy at ${gateway.workload} keeps ${source.workload} from ${host}`,
    fix: `add an ALLOW policy for ${gateway.workload} that names, for each connection.sni, the principals that may use it`,
  };
}

function throughSidecar(mesh: MeshUnderAttack, route: EgressRoute, owner: EgressRoute): AttackStep {
  const step = {
    tried: "another identity's host, through the own sidecar",
    from: `${route.source.workload} (its application)`,
    target: `${route.host}:${route.port} by ${route.gateway.workload}`,
  };
  return {
    ...step,
    run: async () => {
      if (mesh.standInCaPem === undefined) return [notPossible(ID, step, REAL_HOSTS)];
      const [control, attempt] = [await callHost(mesh, owner), await callHost(mesh, route)];
      return [await conclude(mesh, { attack: ID, step, promised: promisedFor(route), control, attempt })];
    },
  };
}

/** As the workload's application: TLS to the host by the sidecar's proxy port. */
export async function callHost(
  mesh: MeshUnderAttack,
  { source, host, port }: EgressRoute,
  serverName?: string,
): Promise<Attempt> {
  const answer = await callAsWorkload(source, {
    url: new URL(`https://${host}:${port}/bulwark-attack`),
    method: "GET",
    headers: [],
    http2: false,
    timeoutMs: 5000,
    insecure: true,
    ...(serverName === undefined ? {} : { serverName }),
  });
  const { status, failure, local, startedAtMs, body } = answer;
  return {
    reached: status > 0 && answer.tunnelRefused === undefined,
    happened: `${source.workload} → ${host}: ${failure ?? `HTTP ${status}`}`,
    evidence: { bytesReceived: body.length, ...(status > 0 ? { status } : {}) },
    local: await gatewayEnd(mesh, local, startedAtMs),
    startedAtMs,
  };
}

/** The refusal stands in the gateway's record, by the sidecar's end of the connection between the two. */
async function gatewayEnd(
  mesh: MeshUnderAttack,
  local: { readonly ip: string; readonly port: number },
  startedAtMs: number,
): Promise<{ readonly ip: string; readonly port: number }> {
  const records = await recordsOf(mesh, local, startedAtMs);
  const upstream = records.find((record) => record.upstream?.localPort !== undefined)?.upstream;
  const { localIp, localPort } = upstream ?? {};
  return localIp === undefined || localPort === undefined ? local : { ip: localIp, port: localPort };
}

function straightToGateway(mesh: MeshUnderAttack, route: EgressRoute, owner: EgressRoute): AttackStep {
  const step = {
    tried: "another identity's host, straight to the gateway with the own certificate",
    from: `${route.source.workload} (its certificate)`,
    target: `${route.host}:${route.port} by ${route.gateway.workload}`,
  };
  return {
    ...step,
    run: async () => {
      if (mesh.standInCaPem === undefined) return [notPossible(ID, step, REAL_HOSTS)];
      const control = await controlThroughGateway(owner, await mesh.identityOf(owner.source));
      const attempt = await sendThroughGateway({
        route,
        credentials: await mesh.identityOf(route.source),
        outerName: route.outerName,
        inside: [await clientHello(route.host)],
      });
      return [await conclude(mesh, { attack: ID, step, promised: promisedFor(route), control, attempt })];
    },
  };
}
