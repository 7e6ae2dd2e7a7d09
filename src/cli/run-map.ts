import { accessMap } from "../analysis/map/access-map.ts";
import { isNotAnalysed } from "../analysis/map/not-analysed.ts";
import { unreadPodsWarning } from "../model/admit-pods.ts";
import { buildMesh } from "../model/build-mesh.ts";
import type { Mesh } from "../model/mesh.ts";
import { unreadPods } from "../model/unread-pods.ts";
import type { Semantics } from "../policy/inbound.ts";
import type { AddressFamily } from "../policy/network/address-range.ts";
import { mapNodes } from "../policy/network/map-nodes.ts";
import { conflictingPriorities, mapNotes } from "../policy/network/map-notes.ts";
import { meshMap } from "../policy/network/mesh-map.ts";
import { isNetworkPolicy, networkPolicies } from "../policy/network/network-policies.ts";
import { toleratesForMap } from "../policy/network/tolerated-errors.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type Diagnostic, formatDiagnostic } from "../resources/diagnostic.ts";
import { loadResources } from "../resources/load.ts";
import { resourceName } from "../resources/resource.ts";
import { provideStockGateways } from "../substrate/stock-gateways.ts";
import { keepVerdict } from "./closed-pipe.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { entryFilter, type MapFilter } from "./map-filter.ts";
import { renderMap, type ShownEntry } from "./render/map.ts";
import { plain } from "./render/style.ts";

export const MAP_FORMATS = ["text", "json", "csv", "dot", "mermaid", "svg"] as const;
export type MapFormat = (typeof MAP_FORMATS)[number];

export interface MapOptions extends MapFilter {
  readonly networkOnly?: boolean;
  readonly format: MapFormat;
  readonly ipv6?: boolean;
  readonly blocks: "outside" | "addresses";
  readonly semantics: Semantics;
  readonly pastProxies?: boolean;
  readonly failOn?: "not-analysed";
}

/** @throws {BulwarkError} BW_MESH_INVALID, BW_CLI_INPUT */
export async function runMap(paths: readonly string[], options: MapOptions): Promise<ExitCode> {
  keepVerdict();
  const { mesh, notes } = await loadForMap(paths, options);
  for (const note of notes) process.stderr.write(`${note.split("\n").map(plain).join("\n")}\n`);
  const keep = entryFilter(mesh, options);
  const { blocks, semantics, networkOnly, ipv6 } = options;
  const families: readonly AddressFamily[] = ipv6 === true ? [4, 6] : [4];
  const shown = { families, blocks };
  const entries =
    networkOnly === true
      ? meshMap(mesh, shown)
      : accessMap(mesh, { ...shown, semantics, keep, pastProxies: options.pastProxies === true });
  const unclear = { lines: 0 };
  await write(renderMap(only(entries, keep, unclear), options.format));
  const exit = options.failOn === undefined ? EXIT.ok : EXIT.denied;
  if (unclear.lines === 0) return unreadPods(mesh.resources).length === 0 ? EXIT.ok : exit;
  const lines = unclear.lines === 1 ? "1 line is" : `${unclear.lines} lines are`;
  process.stderr.write(`note: ${lines} not analysed: what gets through there may be less than is shown\n`);
  return exit;
}

/** @param unclear counts the lines of which it could not be computed what gets through. */
function* only(
  entries: Iterable<ShownEntry>,
  keep: (entry: ShownEntry) => boolean,
  unclear: { lines: number },
): Generator<ShownEntry> {
  for (const entry of entries) {
    if (!keep(entry)) continue;
    if ("access" in entry && isNotAnalysed(entry)) unclear.lines++;
    yield entry;
  }
}

/** A policy that nobody would enforce, or that cannot be read, leaves no map: it would show too much, or too little. */
async function loadForMap(
  paths: readonly string[],
  { networkOnly, pastProxies, ipv6, blocks }: MapOptions,
): Promise<{ mesh: Mesh; notes: string[] }> {
  const { resources, rejected, diagnostics } = await loadResources(paths, { tolerates: toleratesForMap });
  const policies = rejected.filter(({ kind }) => POLICY_KINDS.has(kind));
  const errors = [
    ...diagnostics.filter(({ severity }) => severity === "error"),
    ...policies.flatMap((policy) => policy.errors),
  ];
  if (resources.length === 0 && rejected.length === 0) errors.push(nothingRead(paths));
  const stock = networkOnly === true ? { resources, provided: [] } : provideStockGateways(resources);
  const mesh = buildMesh(stock.resources);
  errors.push(...conflictingPriorities(networkPolicies(mesh)));
  if (errors.length > 0) throw invalid(errors);
  const about: readonly Diagnostic[] = [
    ...diagnostics.filter(({ severity }) => severity === "warning"),
    ...unreadPods(resources).map(unreadPodsWarning),
    ...mapNotes(networkPolicies(mesh), mapNodes(mesh), { ipv6: ipv6 === true, blocks }),
  ];
  const others = rejected.filter((resource) => !policies.includes(resource));
  return {
    mesh,
    notes: [
      ...others.map((resource) => `rejected: ${resourceName(resource)} takes no part`),
      ...about.map(formatDiagnostic),
      ...stock.provided.map(
        ({ workload, selectedBy }) =>
          `note: ${workload} is in no file, and taken to be there: ${selectedBy.join(", ")} stands for it`,
      ),
      ...(networkOnly === true || pastProxies === true ? [] : [PAST_PROXIES]),
      ...(resources.some(isNetworkPolicy)
        ? []
        : ["note: there are no network policies: every pod reaches every other"]),
    ],
  };
}

const POLICY_KINDS: ReadonlySet<string> = new Set([
  "NetworkPolicy",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
]);

const PAST_PROXIES =
  "note: to pods with a proxy this shows TCP alone; UDP and SCTP go past proxies, as network policies let them: --past-proxies shows them";

/** No map is not the map of a mesh where nobody reaches anybody. */
function nothingRead(paths: readonly string[]): Diagnostic {
  return {
    code: "BW0901_NOTHING_READ",
    severity: "error",
    message: `no resource was found in ${paths.map((path) => `\`${path}\``).join(", ")}`,
    help: "name folders or files of Kubernetes and Istio YAML or JSON",
  };
}

function invalid(errors: readonly Diagnostic[]): BulwarkError {
  return new BulwarkError(
    "BW_MESH_INVALID",
    ["the files are not valid, so there is no map", ...errors.map(formatDiagnostic)].join("\n"),
    { detail: { diagnostics: errors } },
  );
}

const CHUNK_CHARACTERS = 1 << 16;

/** In large pieces, and no faster than they are read: a map can be larger than memory. */
async function write(parts: Iterable<string>): Promise<void> {
  let chunk = "";
  for (const part of parts) {
    chunk += part;
    if (chunk.length < CHUNK_CHARACTERS) continue;
    await writeOut(chunk);
    chunk = "";
  }
  await writeOut(chunk);
}

function writeOut(chunk: string): Promise<void> {
  return new Promise((settle) => void process.stdout.write(chunk, () => settle()));
}
