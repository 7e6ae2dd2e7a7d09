import {
  type AccessRequest,
  can,
  canAll,
  type Decision,
  type LoadedMesh,
  loadMesh,
  parseRequests,
} from "../index.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { formatDiagnostic } from "../resources/diagnostic.ts";
import { keepVerdict } from "./closed-pipe.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { nameRejected } from "./name-rejected.ts";
import { type CanOptions, parseCan, parseMeshWords, readInput } from "./parse-can.ts";
import { parseCanAll } from "./parse-can-all.ts";
import { writeDecisionNotes, writeDecisionsJson, writeDecisionsText } from "./render/decisions.ts";
import { writePairsJson, writePairsText } from "./render/pairs.ts";

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID, BW_REQUEST_INVALID */
export async function runCan(words: readonly string[], options: CanOptions): Promise<ExitCode> {
  keepVerdict();
  const sources = [...(options.mesh ?? []), ...(options.requests === undefined ? [] : parseMeshWords(words))];
  if (sources.length === 0) throw new BulwarkError("BW_CLI_INPUT", "name the mesh: --mesh FOLDER, or a file");
  if (options.allTo !== undefined || options.allFrom !== undefined) return runCanAll(sources, words, options);
  const one = options.requests === undefined ? parseCan(words, options) : undefined;
  const loaded = await loadMesh(sources);
  const requests =
    one === undefined
      ? await namingRejected(loaded, () => requestsOf(options.requests ?? "-", loaded))
      : [one];
  const { semantics, clientOnly, compareModes } = options;
  const decisions = await namingRejected(loaded, () =>
    can(loaded.mesh, requests, {
      semantics,
      clientOnly: clientOnly === true,
      ...(compareModes === undefined ? {} : { compareModes }),
    }),
  );
  if (options.format === "json") writeDecisionsJson(decisions, loaded);
  else {
    writeDecisionNotes(loaded);
    writeDecisionsText(requests, decisions, one !== undefined || options.explain === true);
  }
  return exitCodeFor(decisions.every(isAllowed), loaded, options);
}

async function runCanAll(
  sources: readonly string[],
  words: readonly string[],
  options: CanOptions,
): Promise<ExitCode> {
  const { format, semantics, only } = options;
  const question = parseCanAll(words, options);
  const loaded = await loadMesh(sources);
  const pairs = await namingRejected(loaded, () => canAll(loaded.mesh, question, { semantics }));
  const shown = only === undefined ? pairs : pairs.filter(({ verdict }) => only.includes(verdict));
  if (format === "json") writePairsJson(shown, loaded);
  else {
    writeDecisionNotes(loaded);
    writePairsText(shown, pairs);
  }
  return exitCodeFor(
    pairs.every(({ verdict }) => verdict === "allowed"),
    loaded,
    options,
  );
}

async function namingRejected<T>({ rejected }: LoadedMesh, ask: () => T | Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw nameRejected(error, rejected);
  }
}

/** Resources that take no part are told, whatever comes of the requests; whoever wants them to count says so. */
function exitCodeFor(isAllAllowed: boolean, { rejected }: LoadedMesh, options: CanOptions): ExitCode {
  if (!isAllAllowed) return EXIT.denied;
  return options.failOnRejected === true && rejected.length > 0 ? EXIT.invalid : EXIT.ok;
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
