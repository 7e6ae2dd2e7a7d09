/** What reaches a pod, in a tunnel or in clear: judged by what holds for the pod, and put on record. */
import { type FlowSource, type FlowTls, nowRfc3339Nanos } from "../../model/flow-record.ts";
import { Connection } from "../../policy/connection.ts";
import { authorizeAmbient, type Permit } from "../../policy/permit.ts";
import { explainAmbientDenial } from "../explain-denial.ts";
import type { MutableFlow } from "../http-service.ts";
import { serviceOf } from "../inbound-ports.ts";
import { ambientRefusal, type Refusal } from "../recheck.ts";
import { type UpstreamTarget, upstreamTarget } from "../upstream-target.ts";
import type { PodEnvironment } from "./pod-environment.ts";

/** A connection for the application, before it is judged. */
export interface InboundArrival {
  /** `principal`: of the tunnel's client; null in clear. */
  readonly source: FlowSource & { readonly ip: string; readonly principal: string | null };
  /** The pod's own. */
  readonly ip: string;
  readonly port: number;
  readonly tls?: FlowTls;
  readonly traceId?: string | undefined;
  readonly connectionId: string;
  readonly startedMs: number;
}

/** Leave for it, with everything that relaying it takes. */
export interface AdmittedArrival {
  readonly leave: Permit;
  readonly flow: MutableFlow;
  readonly target: UpstreamTarget;
  readonly recheck: () => Refusal | undefined;
}

/** @returns undefined where it is refused, which is on record then. */
export function admit(env: PodEnvironment, arrival: InboundArrival): AdmittedArrival | undefined {
  const state = env.state();
  if (state === undefined) {
    refuseArrival(env, arrival, NOT_SERVED);
    return undefined;
  }
  const connection = connectionOf(arrival);
  const outcome = authorizeAmbient(state.policy, connection);
  const { layer, cause, policy, rule } = outcome.verdict;
  const decided: Refusal = { layer, reason: cause, policy, rule };
  if (!outcome.allowed) {
    refuseArrival(env, arrival, { ...decided, explanation: explainAmbientDenial(state.policy, connection) });
    return undefined;
  }
  return {
    leave: outcome,
    flow: { ...inboundFlow(env, arrival), ...decided },
    target: applicationOf(arrival),
    recheck: () => {
      const now = env.state();
      return now === undefined ? NOT_SERVED : ambientRefusal(now.policy, connection);
    },
  };
}

/** Puts a refusal on record. */
export function refuseArrival(env: PodEnvironment, arrival: InboundArrival, refusal: Refusal): void {
  env.http.counters.denied += 1;
  env.http.flows.push({
    ...inboundFlow(env, arrival),
    ...refusal,
    verdict: "deny",
    durationMs: performance.now() - arrival.startedMs,
  });
}

const NOT_SERVED: Refusal = {
  layer: "transport",
  reason: "no-configuration",
  policy: null,
  rule: null,
  explanation: ["the mesh that is in force has no such pod in ambient mode"],
};

function connectionOf({ source, ip, port }: InboundArrival): Connection {
  return new Connection({
    tls: source.principal === null ? "plaintext" : "mtls",
    principal: source.principal,
    sourceIp: source.ip,
    destinationIp: ip,
    destinationPort: port,
    speaksHttp: false,
  });
}

/** At the very address that was dialled, from the client's own: the application is to know who called. */
function applicationOf({ source, ip, port }: InboundArrival): UpstreamTarget {
  return upstreamTarget({
    host: ip,
    port,
    localAddress: source.ip,
    tls: undefined,
    protocol: "tcp",
    cluster: `inbound|${port}||`,
  });
}

function inboundFlow(env: PodEnvironment, arrival: InboundArrival): MutableFlow {
  const { source, ip, port, tls, traceId, connectionId } = arrival;
  const { pod, reporter } = env;
  const state = env.state();
  const service =
    state === undefined
      ? undefined
      : serviceOf({ mesh: state.snapshot.mesh, workload: state.workload }, port);
  const workload = state?.snapshot.directory.byAddress.get(source.ip)?.key;
  return {
    time: nowRfc3339Nanos(),
    kind: "connection",
    source: { ...source, workload },
    destination: { workload: pod.workload, service, ip, port },
    reporter,
    direction: "inbound",
    protocol: "tcp",
    tls,
    verdict: "allow",
    traceId,
    connectionId,
  };
}
