/** What one compromise gains and whom it reaches, as a graph: each thing and each workload once. */
import { kindOf, namesOf, restOf } from "../../analysis/blast/component.ts";
import type { BlastReport, ReachStep } from "../../analysis/blast/report.ts";
import { scoreText } from "../../analysis/blast/score.ts";
import type { DrawnGraph, GraphEdge, GraphNode, NodeKind } from "./graph/drawn-graph.ts";
import { foldGraph } from "./graph/fold-graph.ts";

/** Columns: itself, gains by their distance up to three, what it controls besides, hop 1, and those that follow up to hop 4. */
const GAIN_COLUMNS = 3;
const CONTROLS_COLUMN = 1 + GAIN_COLUMNS;
const MAX_HOP = 4;
const COLUMNS = [
  "compromised",
  "gains",
  "and by these",
  "and so on",
  "controls",
  "reaches (hop 1)",
  "further (hop 2)",
  "hop 3",
  "hop 4 and more",
];

export function blastGraph(report: BlastReport): DrawnGraph {
  const { component, score, counts, workloads } = report;
  const builder = new Builder(component);
  addGains(builder, report);
  addControls(builder, report);
  for (const step of [...report.reaches, ...report.further]) addReach(builder, step);
  const { controlled, reached, further } = counts;
  return foldGraph({
    name: "blast",
    title: `What a compromise of ${component} costs: score ${scoreText(score)} of 100`,
    description: `controls ${controlled}, reaches ${reached}, further ${further} of ${workloads} workloads. Thin lines: gained without leave; thick: let through at one hop; dashed: further on.`,
    columns: COLUMNS,
    nodes: [...builder.nodes.values()],
    edges: builder.edges,
  });
}

interface Reached {
  readonly node: GraphNode;
  readonly hop: number;
}

class Builder {
  /** By what each stands for: a holding, or `namespace/name` of a workload. */
  readonly nodes = new Map<string, GraphNode>();
  readonly edges: GraphEdge[] = [];
  readonly start: GraphNode;
  readonly #reached = new Map<string, Reached>();
  readonly #byIdentity = new Map<string, Reached>();

  constructor(component: string) {
    this.start = this.add(component, { label: component, kind: "start", column: 0 });
  }

  add(key: string, node: Omit<GraphNode, "id">): GraphNode {
    const known = this.nodes.get(key);
    if (known !== undefined) return known;
    const added = { id: `n${this.nodes.size}`, ...node };
    this.nodes.set(key, added);
    return added;
  }

  addWorkload(name: string, kind: NodeKind, column: number): GraphNode {
    const [namespace, rest] = namesOf(`workload/${name}`);
    return this.add(name, { label: rest, kind, group: namespace, column });
  }

  addReached({ to, identity, hop }: ReachStep, kind: NodeKind, column: number): GraphNode {
    const node = this.addWorkload(to, kind, column);
    const own = { node, hop };
    this.#reached.set(to, own);
    // The nearest of those that share it comes first.
    if (!this.#byIdentity.has(identity)) this.#byIdentity.set(identity, own);
    return node;
  }

  /** Which earlier compromise opens this way: the last that it needs, be it for the place or for the key. */
  cameBy({ from, as, hop }: ReachStep): GraphNode {
    const place = from === null ? undefined : this.#reached.get(from);
    const owner = as === null ? undefined : this.#byIdentity.get(as);
    const needed = [place, owner].flatMap((one) => (one !== undefined && one.hop < hop ? [one] : []));
    const [last] = needed.toSorted((a, b) => b.hop - a.hop);
    return last?.node ?? this.ofPod(from);
  }

  /** Of a pod that was not drawn itself, it is the compromise that sends from there. */
  ofPod(name: string | null): GraphNode {
    return (name === null ? undefined : (this.nodes.get(name) ?? this.#holding(name))) ?? this.start;
  }

  #holding(name: string): GraphNode | undefined {
    const kind = PODS.find((one) => this.nodes.has(`${one}/${name}`));
    return kind === undefined ? undefined : this.nodes.get(`${kind}/${name}`);
  }
}

const PODS = ["workload", "waypoint", "gateway", "sidecar"];

function addGains(builder: Builder, { gains }: BlastReport): void {
  for (const { from, to, why } of gains) {
    const source = builder.nodes.get(from) ?? builder.start;
    const column = Math.min(source.column + 1, GAIN_COLUMNS);
    const target = builder.add(to, { ...gainLabel(to), kind: "gain", column });
    builder.edges.push({ from: source.id, to: target.id, kind: "gains", tip: why });
  }
}

/** Pods stand with their namespace, all else with its kind, which no namespace is called as. */
function gainLabel(id: string): { readonly label: string; readonly group: string } {
  const kind = kindOf(id);
  if (!PODS.includes(kind)) return { label: id === kind ? id : restOf(id), group: `gains: ${kind}` };
  const [namespace, name] = namesOf(id);
  return { label: kind === "workload" ? name : `${name} (${kind})`, group: namespace };
}

/** What it acts as by a key, beside what it runs code in. */
function addControls(builder: Builder, { controls }: BlastReport): void {
  for (const name of controls) {
    if (builder.ofPod(name) !== builder.start || isPodOf(builder.start, name)) continue;
    const { id } = builder.addWorkload(name, "controlled", CONTROLS_COLUMN);
    builder.edges.push({ from: builder.start.id, to: id, kind: "gains", label: "controls" });
  }
}

function isPodOf({ label }: GraphNode, name: string): boolean {
  return PODS.includes(kindOf(label)) && restOf(label) === name;
}

function addReach(builder: Builder, step: ReachStep): void {
  const { from, as, to, port, hop, why } = step;
  const isNear = hop === 1;
  const source = isNear ? builder.start : builder.cameBy(step);
  const column = CONTROLS_COLUMN + Math.min(hop, MAX_HOP);
  const { id } = builder.addReached(step, isNear ? "reached" : "further", column);
  const who = as === null ? "without an identity" : `as ${as}`;
  const tip = `from ${from ?? "anywhere"} to ${to}: ${why}`;
  const label = `${isNear ? "" : `hop ${hop}: `}${port} ${who}`;
  builder.edges.push({ from: source.id, to: id, kind: isNear ? "reaches" : "further", label, tip });
}
