import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";

interface ModelledNode {
  readonly name: string;
  readonly labels: Labels;
}

/** What a mesh without Node resources runs on. */
const DEFAULT_NODES: readonly ModelledNode[] = ["node-1", "node-2"].map((name) => ({
  name,
  labels: { "kubernetes.io/hostname": name },
}));

interface PodTemplateShape {
  readonly nodeName?: unknown;
  readonly nodeSelector?: Labels | null;
}

/**
 * The node of each replica, as a scheduler would choose it: `nodeName`, else in turn among those that `nodeSelector` takes.
 * A selector that no Node resource meets gets a node of its own, since the files of a mesh seldom hold its nodes.
 */
export class NodeChooser {
  readonly #nodes: readonly ModelledNode[];
  readonly #turns = new Map<string, number>();

  constructor(mesh: Mesh) {
    const named = mesh.resources.filter(({ kind, apiVersion }) => kind === "Node" && apiVersion === "v1");
    this.#nodes = named.length === 0 ? DEFAULT_NODES : named.map(({ name, labels }) => ({ name, labels }));
  }

  choose(workload: Workload): string {
    const { nodeName, nodeSelector } = podSpec(workload);
    if (typeof nodeName === "string" && nodeName !== "") return nodeName;
    const selector = nodeSelector ?? {};
    const key = Object.entries(selector)
      .map(([label, value]) => `${label}-${value}`)
      .sort()
      .join(".");
    const fitting = this.#nodes.filter(({ labels }) => matchesLabels(selector, labels));
    if (fitting.length === 0) return key.replaceAll(/[^A-Za-z0-9.-]/g, "-");
    const turn = this.#turns.get(key) ?? 0;
    this.#turns.set(key, turn + 1);
    return fitting[turn % fitting.length]?.name ?? key;
  }
}

/** A pod's own spec, or that of its template. */
export function podSpec({ kind, resource }: Workload): PodTemplateShape & Readonly<Record<string, unknown>> {
  const spec = (resource.spec ?? {}) as { template?: { spec?: unknown } };
  const found = kind === "Pod" ? spec : spec.template?.spec;
  return typeof found === "object" && found !== null ? (found as Readonly<Record<string, unknown>>) : {};
}
