/** Evidence and proposals for tests, from requests that a mesh lets through. */
import { Evidence } from "../../../src/analysis/tighten/evidence.ts";
import type { ServerFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import { DEFAULT_THRESHOLDS, type PathThresholds } from "../../../src/analysis/tighten/path-thresholds.ts";
import { type AuthorizationProposal, proposeAuthorization } from "../../../src/analysis/tighten/propose.ts";
import { Replay, type ReplayResult } from "../../../src/analysis/tighten/replay.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resource } from "../../policy/inbound-fixture.ts";

/** A pod that calls, under an account of its name. */
export function pod(
  namespace: string,
  name: string,
  labels: Record<string, string> = { app: name },
): Resource {
  return resource(
    "Pod",
    name,
    {},
    {
      namespace,
      labels,
      body: {
        metadata: { labels },
        spec: { serviceAccountName: name },
        status: { podIP: `10.30.${namespace.length}.${name.length}` },
      },
    },
  );
}

/** A request of foo's sleep to port 8080 of foo/httpbin, unless told otherwise. */
export function flow(
  path: string | null,
  {
    method = "GET",
    principal = "cluster.local/ns/foo/sa/sleep",
    status = 200,
    ...rest
  }: Partial<ServerFlow> & {
    readonly method?: string;
    readonly principal?: string | null;
    readonly status?: number;
  } = {},
): ServerFlow {
  return {
    kind: "server",
    workload: "foo/httpbin",
    port: 8080,
    caller: { principal, by: principal === null ? "none" : "certificate" },
    http: path === null ? null : { method, path, status },
    isOpaque: path === null,
    timeMs: Date.UTC(2026, 10, 2, 9),
    ...rest,
  };
}

export interface Tightened {
  readonly evidence: Evidence;
  readonly proposal: AuthorizationProposal;
  readonly replay: ReplayResult;
}

export async function tighten(
  mesh: Mesh,
  flows: readonly ServerFlow[],
  options: {
    readonly semantics?: Semantics;
    readonly thresholds?: Partial<PathThresholds>;
    readonly inactive?: "keep" | "close";
    readonly unwantedStatuses?: readonly number[];
  } = {},
): Promise<Tightened> {
  const { semantics = "istio", inactive = "keep" } = options;
  const thresholds = { ...DEFAULT_THRESHOLDS, ...options.thresholds };
  const unwantedStatuses = new Set(options.unwantedStatuses ?? []);
  const evidence = new Evidence(mesh, { semantics, thresholds, unwantedStatuses });
  for (const one of flows) evidence.add(one);
  const proposal = await proposeAuthorization(mesh, evidence, { semantics, thresholds, inactive });
  const replay = new Replay(mesh, proposal.mesh, semantics, unwantedStatuses);
  for (const one of flows) replay.add(one);
  return { evidence, proposal, replay: await replay.finish() };
}
