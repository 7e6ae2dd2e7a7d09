/** Bulwark as a library: what `bulwark can` uses, and nothing else (docs/library.md). */
import { admitPods } from "./model/admit-pods.ts";
import { buildMesh } from "./model/build-mesh.ts";
import type { Mesh } from "./model/mesh.ts";
import { type DecideOptions, decide, decideAll } from "./policy/decide.ts";
import { conflictingPriorities } from "./policy/network/map-notes.ts";
import { type MapEntry, type MeshMapOptions, meshMap } from "./policy/network/mesh-map.ts";
import { networkPolicies } from "./policy/network/network-policies.ts";
import type { AccessRequest } from "./policy/path/access-request.ts";
import { checkRequest, checkSurvey } from "./policy/path/check-request.ts";
import { carryOver } from "./policy/path/compiled-policies.ts";
import type { Decision } from "./policy/path/decision.ts";
import { readRequests } from "./policy/path/read-requests.ts";
import type { Pair, SurveyQuestion } from "./policy/path/survey.ts";
import { BulwarkError } from "./resources/bulwark-error.ts";
import { type Diagnostic, formatDiagnostic, type Parsed } from "./resources/diagnostic.ts";
import { loadResources, type RejectedResource } from "./resources/load.ts";
import type { ReadFiles } from "./resources/read-files.ts";
import { provideStockGateways, type StockGateway } from "./substrate/stock-gateways.ts";

export type { Mesh } from "./model/mesh.ts";
export type { DecideOptions } from "./policy/decide.ts";
export type { MapEntry, MeshMapOptions } from "./policy/network/mesh-map.ts";
export type { AccessDestination, AccessRequest, AccessSource } from "./policy/path/access-request.ts";
export type {
  Decision,
  HopVerdict,
  ModeDifference,
  OtherOutcome,
  SemanticsDifference,
} from "./policy/path/decision.ts";
export type { RequestTemplate } from "./policy/path/representative-requests.ts";
export type { Pair, PairOutcome, PairVerdict, SurveyQuestion } from "./policy/path/survey.ts";
export type { Diagnostic, Parsed } from "./resources/diagnostic.ts";
export type { RejectedResource } from "./resources/load.ts";
export type { StockGateway } from "./substrate/stock-gateways.ts";

/** A mesh read from files, ready to be asked. */
export interface LoadedMesh {
  readonly mesh: Mesh;
  /** Resources that Istio or the API server would refuse. They take no part. */
  readonly rejected: readonly RejectedResource[];
  /** What to know about the files besides. */
  readonly warnings: readonly Diagnostic[];
  /** Gateways that no file has and `istioctl install` brings, provided because a Gateway selects them. */
  readonly stockGateways: readonly StockGateway[];
  readonly files: readonly string[];
}

export interface LoadOptions {
  /** The mesh as it was read before: only workloads whose AuthorizationPolicies are not the same any more are compiled again. */
  readonly previous?: Mesh;
  /** What was read of the same paths before: files with the same text are not read again. */
  readonly known?: ReadFiles;
}

/**
 * Reads Kubernetes and Istio resources: YAML or JSON files, or folders of them.
 * @throws {BulwarkError} BW_MESH_INVALID where a file cannot be read, with `detail.diagnostics: Diagnostic[]`.
 */
export async function loadMesh(
  paths: string | readonly string[],
  options: LoadOptions = {},
): Promise<LoadedMesh> {
  const sources = typeof paths === "string" ? [paths] : paths;
  const {
    resources: read,
    rejected: unreadable,
    diagnostics,
    files,
  } = await loadResources(sources, options.known === undefined ? {} : { known: options.known });
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  const { resources, rejected: refused, warnings: admission } = admitPods(read);
  const rejected = [...unreadable, ...refused];
  if (errors.length === 0 && resources.length === 0 && rejected.length === 0)
    errors.push(nothingRead(sources));
  if (errors.length > 0)
    throw new BulwarkError(
      "BW_MESH_INVALID",
      ["the mesh cannot be read", ...errors.map(formatDiagnostic)].join("\n"),
      {
        detail: { diagnostics: errors },
      },
    );
  const { resources: complete, provided } = provideStockGateways(resources);
  const warnings = diagnostics.filter(({ severity }) => severity === "warning");
  const mesh = buildMesh(complete);
  if (options.previous !== undefined) carryOver(options.previous, mesh);
  return {
    mesh,
    rejected,
    warnings: [...warnings, ...admission, ...conflictingPriorities(networkPolicies(mesh)).map(asWarning)],
    stockGateways: provided,
    files,
  };
}

/** What has no answer is decided all the same, in the order of names: whoever asks has to know. */
function asWarning(diagnostic: Diagnostic): Diagnostic {
  return { ...diagnostic, severity: "warning" };
}

function nothingRead(sources: readonly string[]): Diagnostic {
  return {
    code: "BW0901_NOTHING_READ",
    severity: "error",
    message: `no resource was found in ${sources.map((source) => `\`${source}\``).join(", ")}`,
    help: "name folders or files of Kubernetes and Istio YAML or JSON",
  };
}

/**
 * Decides requests, in their order, each over its whole path: the client's proxy, gateways, the server's proxy.
 * @throws {BulwarkError} BW_REQUEST_INVALID where a request is malformed or names what the mesh does not have, with
 *   `detail.problems`.
 */
export async function can(
  mesh: Mesh,
  requests: readonly AccessRequest[],
  options: DecideOptions = {},
): Promise<Decision[]> {
  const decisions: Decision[] = [];
  for (const [index, request] of requests.entries()) {
    const problems = checkRequest(mesh, request);
    const [first] = problems;
    if (first !== undefined) {
      const which = requests.length === 1 ? "" : `request ${request?.id ?? `number ${index + 1}`}: `;
      throw invalidRequest(which, first, { index, problems });
    }
    decisions.push(await decide(mesh, { ...request, id: request.id ?? `r${index + 1}` }, options));
  }
  return decisions;
}

/**
 * Decides about a workload and every other: who may reach it, or whom it may reach; hosts outside too.
 * @throws {BulwarkError} BW_REQUEST_INVALID where the question names what the mesh does not have, or nothing is left to ask.
 */
export async function canAll(
  mesh: Mesh,
  question: SurveyQuestion,
  options: Omit<DecideOptions, "clientOnly"> = {},
): Promise<Pair[]> {
  const problems = checkSurvey(mesh, question);
  const [first] = problems;
  if (first !== undefined) throw invalidRequest("", first, { problems });
  const pairs = await decideAll(mesh, question, options);
  if (pairs.length > 0) return pairs;
  const message = `there is nothing to ask: ${question.to === undefined ? "no workload here" : `\`${question.to}\``} declares a port that could be reached`;
  throw invalidRequest("", { message, help: "name the port: NAMESPACE/NAME:PORT" }, {});
}

function invalidRequest(
  which: string,
  { message, help }: { readonly message: string; readonly help?: string },
  detail: Readonly<Record<string, unknown>>,
): BulwarkError {
  const hint = help === undefined ? "" : ` (${help})`;
  return new BulwarkError("BW_REQUEST_INVALID", `${which}${message}${hint}`, { detail });
}

/**
 * Who can connect to whom by network policies alone (`bulwark map --network-only`). Entries are made as they are read, so that a large answer
 * need not fit into memory.
 */
export function connections(mesh: Mesh, options: MeshMapOptions = {}): Iterable<MapEntry> {
  return meshMap(mesh, options);
}

/**
 * Reads the text of a request file and checks it against the mesh.
 * @param file its name, for messages.
 */
export function parseRequests(text: string, file: string, mesh: Mesh): Parsed<readonly AccessRequest[]> {
  return readRequests(text, file, mesh);
}
