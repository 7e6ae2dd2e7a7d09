/** Clusters and views of tests that look at one part of a decision. */
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import type { ProxyView } from "../../../src/policy/outbound/proxy-view.ts";
import type { OutboundTraffic } from "../../../src/policy/outbound/sidecar-scope.ts";
import type { ClusterPlan, ClusterTls } from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const MESH = meshOf(app("foo", "web"));

/** The cluster of a service with one endpoint, changed in what a test is about. */
export function planWith(more: Partial<ClusterPlan> = {}): ClusterPlan {
  const plan = compileOutbound(MESH, workloadOf(MESH, "foo/web"))
    .clusters()
    .get("outbound|80||web.foo.svc.cluster.local");
  if (plan === undefined) throw new Error("the fixture has no cluster");
  const { tlsSettings: _none, ...clear } = plan;
  return { ...clear, ...more };
}

export const TLS: ClusterTls = {
  mode: "simple",
  sniFromAuthority: false,
  sansFromAuthority: false,
  insecureSkipVerify: false,
};

/** The view of a client whose clusters are those given, by name. */
export function viewWith(
  clusters: Readonly<Record<string, ClusterPlan>>,
  outboundTraffic: OutboundTraffic = { mode: "ALLOW_ANY", by: null },
): ProxyView {
  const unasked = (): never => {
    throw new Error("a test's view knows clusters only");
  };
  return {
    get index() {
      return unasked();
    },
    scope: {
      namespace: "bar",
      sidecar: outboundTraffic.by,
      listeners: [],
      services: new Map(),
      outboundTraffic,
    },
    namespace: "bar",
    labels: {},
    forGateway: false,
    service: () => undefined,
    cluster: (host, port, subset) => clusters[`outbound|${port}|${subset}|${host}`],
    clusters: () => new Map(Object.entries(clusters)),
  };
}
