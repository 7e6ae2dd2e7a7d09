import { type Assignments, type PodAssignment, podKey, podsOfZtunnel } from "../substrate/assignment.ts";
import type { PodStatus, ProxyReport, ZtunnelStatus } from "./messages.ts";
import type { ProxySessions } from "./proxy-sessions.ts";

type Sessions = Pick<ProxySessions, "of">;

/** Every pod, by what its own proxy says, or its node's ztunnel. */
export function podStatuses(assignments: Assignments, sessions: Sessions): PodStatus[] {
  const ztunnels = new Map((assignments.ztunnels ?? []).map((ztunnel) => [ztunnel.node, podKey(ztunnel)]));
  return assignments.pods.map((pod) => {
    const ztunnel = pod.ambient === true ? ztunnels.get(pod.network?.node ?? "") : undefined;
    return {
      pod: podKey(pod),
      workload: pod.workload,
      address: pod.address,
      identity: pod.spiffeId,
      role: pod.role,
      proxied: pod.proxied,
      ...(ztunnel === undefined ? {} : { ztunnel }),
      ...standingOf(sessions.of(ztunnel ?? podKey(pod)), (report) =>
        ztunnel === undefined ? report : ofAmbientPod(report, pod),
      ),
    };
  });
}

/** Every node's ztunnel. */
export function ztunnelStatuses({ pods, ztunnels = [] }: Assignments, sessions: Sessions): ZtunnelStatus[] {
  return ztunnels.map((ztunnel) => ({
    ztunnel: podKey(ztunnel),
    node: ztunnel.node,
    pods: podsOfZtunnel(ztunnel, pods).length,
    ...standingOf(sessions.of(podKey(ztunnel)), (report) => report),
  }));
}

type Standing = Pick<PodStatus, "connected" | "configurationVersion" | "refusedConfiguration" | "report">;

function standingOf(
  session: ReturnType<Sessions["of"]>,
  reportOf: (report: ProxyReport) => ProxyReport,
): Standing {
  const { refusal, report } = session ?? {};
  return {
    connected: session !== undefined,
    configurationVersion: session?.acknowledgedVersion ?? 0,
    ...(refusal === undefined ? {} : { refusedConfiguration: refusal }),
    ...(report === undefined ? {} : { report: reportOf(report) }),
  };
}

/** A ztunnel counts connections for all of its pods together. */
function ofAmbientPod({ certificates = {} }: ProxyReport, { spiffeId }: PodAssignment): ProxyReport {
  return { stats: null, certificate: certificates[spiffeId] ?? null, flowsWaiting: 0, flowsDropped: 0 };
}
