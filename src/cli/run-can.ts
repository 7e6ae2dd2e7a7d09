import {
  type AccessRequest,
  can,
  type Decision,
  type LoadedMesh,
  loadMesh,
  parseRequests,
} from "../index.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { formatDiagnostic } from "../resources/diagnostic.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { type CanOptions, parseCan, readInput } from "./parse-can.ts";
import { writeDecisionNotes, writeDecisionsJson, writeDecisionsText } from "./render/decisions.ts";

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID, BW_REQUEST_INVALID */
export async function runCan(words: readonly string[], options: CanOptions): Promise<ExitCode> {
  // With a request file whatever stands besides is more of the mesh: shells expand `--mesh istio/*.yaml` so.
  const sources = [...(options.mesh ?? []), ...(options.requests === undefined ? [] : words)];
  if (sources.length === 0) throw new BulwarkError("BW_CLI_INPUT", "name the mesh: --mesh FOLDER, or a file");
  const one = options.requests === undefined ? parseCan(words, options) : undefined;
  const loaded = await loadMesh(sources);
  const requests = one === undefined ? requestsOf(options.requests ?? "-", loaded) : [one];
  const { semantics, clientOnly } = options;
  const decisions = await can(loaded.mesh, requests, { semantics, clientOnly: clientOnly === true });
  if (options.format === "json") writeDecisionsJson(decisions, loaded);
  else {
    writeDecisionNotes(loaded);
    writeDecisionsText(requests, decisions, one !== undefined || options.explain === true);
  }
  return decisions.every(isAllowed) ? EXIT.ok : EXIT.denied;
}

function requestsOf(file: string, { mesh }: LoadedMesh): readonly AccessRequest[] {
  const parsed = parseRequests(readInput(file), file, mesh);
  if (parsed.ok) return parsed.value;
  throw new BulwarkError(
    "BW_CLI_INPUT",
    ["the requests are not valid", ...parsed.errors.map(formatDiagnostic)].join("\n"),
  );
}

/** What only some destinations of a route allow is not allowed. */
function isAllowed({ allowed, others = [] }: Decision): boolean {
  return allowed && others.every((other) => other.allowed);
}
