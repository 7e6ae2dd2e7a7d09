/** What a node, and what runs on each node, yields. */
import { EVERY_NODE, type HoldingId, kindOf, restOf, SOME_NODE, type WorkloadPart } from "./component.ts";
import type { Gain, GainGraph } from "./gains.ts";
import { podFacts } from "./pod-facts.ts";

/** Everything that runs there, its agents, and the kubelet's credentials. */
export function nodeGains(graph: GainGraph, id: HoldingId): readonly Gain[] {
  const node = restOf(id);
  if (id === EVERY_NODE) {
    const nodes = graph.placement.names.map((name) => `node/${name}`);
    const pods = graph.mesh.workloads
      .filter(({ kind }) => kind !== "WorkloadEntry")
      .flatMap((workload) => graph.componentsOf(workload));
    return [...new Set([...nodes, ...pods])].map((to) => ({
      to,
      why: "it runs on some node",
      evidence: [],
    }));
  }
  const there = id === SOME_NODE ? [] : graph.placement.on(node);
  const pods = there.flatMap((workload) =>
    graph
      .componentsOf(workload)
      .flatMap((to): readonly Gain[] =>
        kindOf(to) === "ztunnel" || kindOf(to) === "cni"
          ? []
          : [{ to, why: "it runs on the node", evidence: [{ resource: workload.resource, path: [] }] }],
      ),
  );
  const agents = graph.hasAmbient
    ? [
        { to: `ztunnel/${node}`, why: "the node's ztunnel runs there", evidence: [] },
        { to: `cni/${node}`, why: "the node's CNI agent runs there", evidence: [] },
      ]
    : [];
  const kubelet = { to: `kubelet/${node}`, why: "the kubelet's credentials are on the node", evidence: [] };
  return [...pods, ...agents, kubelet];
}

/** The node authorizer lets a kubelet have what pods of its node refer to, and tokens of their accounts. */
export function kubeletGains(graph: GainGraph, node: string): readonly Gain[] {
  return graph.placement.on(node).flatMap((workload) => {
    const evidence = [{ resource: workload.resource, path: [] }];
    const { secrets, kubeletSecrets } = podFacts(graph.mesh, workload);
    return [
      ...[...secrets.map(({ name }) => name), ...kubeletSecrets].map((name) => ({
        to: `secret/${workload.namespace}/${name}`,
        why: "a pod of the node refers to it",
        evidence,
      })),
      {
        to: `token/${workload.namespace}/${workload.serviceAccount}`,
        why: "a kubelet asks for tokens of the accounts of its node's pods",
        evidence,
      },
    ];
  });
}

/** Keys of its node's ambient pods, each identity's once. */
export function ztunnelGains(graph: GainGraph, node: string): readonly Gain[] {
  const keys = graph.placement
    .on(node)
    .filter(({ dataplane }) => dataplane === "ambient")
    .map((workload) => ({
      to: graph.keyOf(workload.namespace, workload.serviceAccount),
      why: `it has the key of ${workload.key}, whose pod is on the node`,
      evidence: [{ resource: workload.resource, path: [] }],
    }));
  return [...keys, ...agentGains(graph, "ztunnel", node)];
}

/** What its own pod yields, where files have it. */
export function agentGains(graph: GainGraph, part: WorkloadPart, node: string): readonly Gain[] {
  return graph.placement
    .on(node)
    .filter((workload) => graph.parts.get(workload) === part)
    .flatMap((workload) => graph.tokenOf(workload));
}
