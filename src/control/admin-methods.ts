import { createHash, timingSafeEqual } from "node:crypto";
import type { Mesh } from "../model/mesh.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { FlowFilter } from "../telemetry/flow-filter.ts";
import { parseFlowFilter } from "../telemetry/flow-filter.ts";
import type { FlowGroup } from "../telemetry/flow-query.ts";
import type { CertificateService } from "./certificate-service.ts";
import type { ConfigurationKeeper } from "./configuration-keeper.ts";
import type { FlowLog } from "./flow-log.ts";
import { gatewayAddresses } from "./gateway-addresses.ts";
import type { JwksService } from "./jwks/jwks-service.ts";
import type { ListeningParts } from "./listening-parts.ts";
import {
  fieldsOf,
  listField,
  MAX_FLOWS_PAGE,
  numberField,
  type PolicyStatus,
  type StatusReport,
  textField,
} from "./messages.ts";
import { NETWORK_REPORTER } from "./netns/network-reporter.ts";
import { podStatuses, ztunnelStatuses } from "./pod-statuses.ts";
import type { ProxySessions } from "./proxy-sessions.ts";
import type { RotateParams } from "./rotation/messages.ts";
import type { RotationDriver } from "./rotation/rotation-driver.ts";
import type { RpcHandler, RpcPeer } from "./rpc.ts";

export interface AdminMethodsOptions {
  readonly keeper: ConfigurationKeeper;
  readonly sessions: ProxySessions;
  readonly certificates: CertificateService;
  readonly rotation: RotationDriver;
  readonly flowLog: FlowLog;
  readonly keys: Pick<JwksService, "report">;
  readonly sources: readonly string[];
  /** `startedAt` and `control` of the status. */
  readonly life: () => Pick<StatusReport, "startedAt" | "control">;
  readonly subscribers: Set<RpcPeer>;
  readonly parts: ListeningParts;
  /** `ca.…` about certificates and their revocation. */
  readonly revocation: Readonly<Record<string, RpcHandler>>;
}

/** Whether a secret is the expected one, in a time that does not depend on where they differ. */
export function isSameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** No certificate lives longer. */
const MAX_OVERLAP_MS = 90 * 86_400_000;
const FOLLOW_POLL_MS = 100;

/** What the command line may ask. Whoever reaches these has shown the admin token. */
export function adminMethods(
  peer: RpcPeer,
  options: AdminMethodsOptions,
): Readonly<Record<string, RpcHandler>> {
  const { keeper, flowLog, subscribers } = options;
  return {
    status: () => statusReport(options),
    "ca.rotate": (params) => {
      const { kind, ...how } = rotateParams(params);
      return options.rotation.rotate(kind, { ...how, by: "cli" });
    },
    "ca.rotation": () => options.rotation.report(),
    pods: () => keeper.current?.assignments ?? null,
    subscribe: () => {
      subscribers.add(peer);
      void peer.closed.then(() => subscribers.delete(peer));
      return keeper.current?.assignments ?? null;
    },
    listening: options.parts.handlerFor(peer),
    ...options.revocation,
    "flows.query": (params) => {
      const filter = filterOf(params);
      const { order, after, limit } = pageOf(params);
      return flowLog.read((store) =>
        store.query(filter, { order, limit, ...(after === undefined ? {} : { after }) }),
      );
    },
    "flows.count": (params) => {
      const groups = fieldsOf(params).groups;
      return flowLog.read((store) =>
        store.count(filterOf(params), Array.isArray(groups) ? (groups as FlowGroup[]) : []),
      );
    },
    "flows.cursor": () => flowLog.read((store) => store.lastCursor()),
    "flows.follow": (params) => follow(peer, flowLog, params),
    // Only this mesh's own network process has records that no proxy could have.
    "network.flows": (params) => flowLog.insert(listField(params, "records"), { reporter: NETWORK_REPORTER }),
  };
}

/** Waits for records: the caller asks again with the new cursor, so a slow one is never sent more than it asked for. */
async function follow(peer: RpcPeer, flowLog: FlowLog, params: unknown): Promise<unknown> {
  const filter = filterOf(params);
  const limit = numberField(params, "limit", 1, MAX_FLOWS_PAGE);
  let cursor = numberField(params, "cursor", 0, Number.MAX_SAFE_INTEGER);
  const deadline = performance.now() + numberField(params, "waitMs", 0, 60_000);
  let ended = false;
  void peer.closed.then(() => {
    ended = true;
  });
  for (;;) {
    const page = flowLog.read((store) => store.follow(cursor, filter, limit));
    if (page.flows.length > 0 || ended || performance.now() >= deadline) return page;
    cursor = page.cursor;
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_POLL_MS));
  }
}

/** @throws {BulwarkError} BW_RPC_BAD_PARAMS */
function rotateParams(params: unknown): RotateParams {
  const { kind, force, overlapMs } = fieldsOf(params);
  const overlap =
    overlapMs === undefined ? {} : { overlapMs: numberField(params, "overlapMs", 0, MAX_OVERLAP_MS) };
  if (kind === "root" || kind === "intermediate") return { kind, force: force === true, ...overlap };
  throw new BulwarkError("BW_RPC_BAD_PARAMS", "the parameter `kind` is neither `root` nor `intermediate`");
}

function filterOf(params: unknown): FlowFilter {
  const { filter } = fieldsOf(params);
  if (!Array.isArray(filter) || !filter.every((part) => typeof part === "string"))
    throw new BulwarkError("BW_RPC_BAD_PARAMS", "the parameter `filter` is not a list of flags");
  const parsed = parseFlowFilter(filter, Date.now());
  if (parsed.ok) return parsed.filter;
  throw new BulwarkError("BW_FLOWS_BAD_FILTER", parsed.errors.join("; "));
}

function pageOf(params: unknown): { order: "newest" | "oldest"; limit: number; after: string | undefined } {
  const { order, after } = fieldsOf(params);
  return {
    order: order === "oldest" ? "oldest" : "newest",
    limit: numberField(params, "limit", 1, MAX_FLOWS_PAGE),
    after: after === undefined ? undefined : textField(params, "after"),
  };
}

function statusReport(options: AdminMethodsOptions): StatusReport {
  const { keeper, certificates, flowLog, sources } = options;
  const { current } = keeper;
  return {
    ...options.life(),
    sources,
    trustDomain: current?.mesh.config.trustDomain ?? "",
    configuration: {
      version: current?.version ?? 0,
      loadedAt: current?.loadedAt ?? "",
      resources: current?.resources.length ?? 0,
      refused: keeper.refused,
      lastChange: current?.lastChange ?? null,
    },
    pods: current === undefined ? [] : podStatuses(current.assignments, options.sessions),
    ztunnels: current === undefined ? [] : ztunnelStatuses(current.assignments, options.sessions),
    parts: options.parts.report(),
    gateways: current === undefined ? [] : gatewayAddresses(current.mesh, current.assignments),
    policies: current === undefined ? [] : policiesOf(current.mesh),
    keys: options.keys.report(),
    ca: { ...certificates.counts, rotation: options.rotation.report() },
    flowLog: { ok: flowLog.problem === null, message: flowLog.problem, rows: flowLog.rows },
    skipped: current?.assignments.skipped ?? [],
    stockGateways: current?.stockGateways ?? [],
  };
}

function policiesOf(mesh: Mesh): PolicyStatus[] {
  return [
    ...mesh.peerAuthentications.map((policy) => named(policy, String(policy.spec.mtls?.mode ?? "UNSET"))),
    ...mesh.requestAuthentications.map((policy) => named(policy, "JWT")),
    ...mesh.authorizationPolicies.map((policy) => named(policy, String(policy.spec.action ?? "ALLOW"))),
  ];
}

function named(policy: { kind: string; namespace: string; name: string }, effect: string): PolicyStatus {
  const { kind, namespace, name } = policy;
  return { kind, namespace, name, effect };
}
