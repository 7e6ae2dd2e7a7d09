/** `blast --format dot|mermaid|svg`: one compromise as a graph, whatever its names are, and readable however large it is. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { BlastModel } from "../../src/analysis/blast/radius.ts";
import { type BlastReport, blastReport } from "../../src/analysis/blast/report.ts";
import { blastGraph } from "../../src/cli/render/blast-graph.ts";
import type { DrawnGraph, GraphNode } from "../../src/cli/render/graph/drawn-graph.ts";
import { foldGraph } from "../../src/cli/render/graph/fold-graph.ts";
import { dotOf } from "../../src/cli/render/graph/graph-dot.ts";
import { mermaidOf } from "../../src/cli/render/graph/graph-mermaid.ts";
import { svgOf } from "../../src/cli/render/graph/graph-svg.ts";
import { runBlast } from "../../src/cli/run-blast.ts";
import { loadMesh } from "../../src/index.ts";

const MESH = "examples/compromise";
let report: BlastReport;

before(async () => {
  const { mesh } = await loadMesh([MESH]);
  const model = new BlastModel(mesh, "istio");
  report = await blastReport(model, "workload/team-a/app-a", { semantics: "istio", witnesses: 0 });
});

function text(lines: Iterable<string>): string {
  return [...lines].join("");
}

test("everything that is gained, controlled and reached is there once; hops are told apart, and follow the compromise that opens them", () => {
  const { nodes, edges } = blastGraph(report);
  const named = ({ label, group }: GraphNode): string => (group === undefined ? label : `${group}/${label}`);
  const names = new Map(nodes.map((node) => [node.id, named(node)]));
  assert.equal(nodes.length, new Set(names.values()).size);
  const drawn = edges.map(({ from, to, kind }) => `${names.get(from)} ${kind} ${names.get(to)}`);
  for (const edge of [
    "workload/team-a/app-a gains gains: key/cluster.local/ns/team-a/sa/app-a",
    "gains: token/team-a/app-a gains gains: account/team-a/app-a",
    "workload/team-a/app-a gains team-a/app-a-worker",
    "workload/team-a/app-a reaches team-a/app-b",
    // With the key of app-b, from app-a's own pod.
    "team-a/app-b further ops/vault",
    "istio-ingress/ingress further ops/deployer",
  ])
    assert.ok(drawn.includes(edge), `${edge}\n${drawn.join("\n")}`);
  const { reached, further } = report.counts;
  for (const [kind, count] of [
    ["reached", reached],
    ["further", further],
  ] as const)
    assert.equal(nodes.filter((node) => node.kind === kind).length, count);
});

test("in all three languages gains, hop 1 and further hops are lines of their own", () => {
  const graph = blastGraph(report);
  const [dot, mermaid, svg] = [text(dotOf(graph)), text(mermaidOf(graph)), text(svgOf(graph))];
  assert.match(dot, /^digraph blast \{\n/);
  assert.match(dot, / {2}n0 -> n1 \[tooltip="its proxy is in the pod/);
  assert.match(dot, /style=bold, tooltip="from team-a\/app-a to team-a\/app-b: /);
  assert.match(dot, /label="hop 2: 8080 as [^"]+", style=dashed/);
  assert.match(
    mermaid,
    /^flowchart LR\n {2}accTitle: What a compromise of workload\/team-a\/app-a costs: score /,
  );
  assert.match(mermaid, / {2}n0 --> n1\n[\s\S]* {2}n0 ==>\|"8080 as [^|]+"\| n\d+\n[\s\S]*-\.->\|"hop 2: /);
  assertWellFormed(svg);
  assert.match(
    svg,
    /^<svg [^>]*role="img" aria-labelledby="blast-title blast-description"[^>]*>\n<title id="blast-title">What a compromise [^<]+<\/title>\n<desc id="blast-description">controls 2, /,
  );
  for (const heading of ["compromised", "gains", "reaches (hop 1)", "further (hop 2)"])
    assert.ok(svg.includes(`>${heading}</text>`), heading);
  assert.equal(svg.match(/<g><title>/g)?.length, graph.nodes.length);
  assert.equal(svg.match(/marker-end/g)?.length, graph.edges.length);
});

/** What closes a quote, a label, an element or a line, in each of the three. */
const HOSTILE =
  'a"]; x -> y\n\\"`<img src=x onerror=alert(1)>--&amp;#quot;%%{init: {}}%%|end\u0000\uFFFE\uD800\u001B[31m';

test("names from outside stay text in all three", () => {
  const nodes: readonly GraphNode[] = [
    { id: "n0", label: HOSTILE, kind: "start", column: 0 },
    { id: "n1", label: HOSTILE, kind: "reached", group: HOSTILE, column: 1 },
  ];
  const edges = [{ from: "n0", to: "n1", kind: "reaches", label: HOSTILE, tip: HOSTILE }] as const;
  const graph: DrawnGraph = {
    name: "blast",
    title: HOSTILE,
    description: HOSTILE,
    columns: ["", ""],
    nodes,
    edges,
  };
  const svg = text(svgOf(graph));
  assertWellFormed(svg);
  assert.doesNotMatch(svg, /<img|\p{Cc}(?<!\n)|\uFFFE/u);
  assert.ok(svg.isWellFormed());

  const mermaid = text(mermaidOf(graph));
  // Of every line what stands in quotes has no quote, no mark of HTML, no backtick and no directive.
  for (const line of mermaid.split("\n").filter((own) => own.includes('"')))
    assert.match(line, /^[^"]*"[^"<>`%\\]*"[^"]*$/, line);
  assert.equal(mermaid.split("\n").length, 11, mermaid);

  const dot = text(dotOf(graph));
  const bare = dot.replaceAll(/"(?:[^"\\]|\\["\\])*"/g, "Q");
  assert.equal(
    bare,
    "digraph blast {\n  rankdir=LR;\n  node [shape=box];\n  label=Q;\n  subgraph cluster_0 {\n    label=Q;\n    n1 [label=Q, style=filled, fillcolor=Q];\n  }\n  n0 [label=Q, style=filled, fillcolor=Q];\n  n0 -> n1 [label=Q, style=bold, tooltip=Q];\n}\n",
  );
});

test("a large graph is folded by namespace, with counts that come to all of it", () => {
  const nodes: GraphNode[] = [{ id: "n0", label: "istiod", kind: "start", column: 0 }];
  for (let at = 1; at <= 1000; at++)
    nodes.push({ id: `n${at}`, label: `w${at}`, kind: "reached", group: `ns${at % 40}`, column: 1 });
  const edges = nodes
    .slice(1)
    .map(({ id }) => ({ from: "n0", to: id, kind: "reaches", tip: "open" }) as const);
  const graph: DrawnGraph = { name: "blast", columns: ["", ""], nodes, edges };
  const folded = foldGraph(graph);
  assert.equal(folded.nodes.length, 1 + 12);
  const counts = folded.nodes.slice(1).map(({ label }) => Number.parseInt(label, 10));
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    1000,
  );
  assert.deepEqual(
    folded.edges.map(({ label }) => label),
    counts.map((count) => `${count} ways`),
  );
  assert.match(folded.description ?? "", /Folded: 1001 things/);
  assert.equal(foldGraph({ ...graph, nodes: nodes.slice(0, 60) }).nodes.length, 60);
});

test("a graph is of one component, of the mesh as it is", async () => {
  const options = { semantics: "istio", witnesses: 0, format: "svg" } as const;
  await assert.rejects(runBlast([MESH], options), {
    code: "BW_CLI_INPUT",
    message: /--format svg draws one component: name it by --compromise/,
  });
  const both = { ...options, compromise: "istiod", compare: ["sidecar", "ambient"] } as const;
  await assert.rejects(runBlast([MESH], both), { code: "BW_CLI_INPUT", message: /leave --compare, --cut/ });
});

/** As far as we write it: elements that nest, attributes in quotes, and no mark that is not escaped. */
function assertWellFormed(xml: string): void {
  const open: string[] = [];
  const rest = xml.replaceAll(
    /<(\/?)([a-z]+)((?: [a-zA-Z:-]+="[^"<&]*(?:&#\d+;[^"<&]*)*")*)(\/?)>/g,
    (_all, ...found) => {
      const [closes, name, , isEmpty] = found as string[];
      if (closes === "/") assert.equal(open.pop(), name);
      else if (isEmpty !== "/") open.push(name ?? "");
      return "";
    },
  );
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest.replaceAll(/&#\d+;/g, ""), /[<>&]/);
}
