import { BUILT_INS } from "../analysis/verify/built-in-invariants.ts";
import { type Invariant, invariantOf, isInvariant } from "../analysis/verify/invariant.ts";
import { NETWORK_BUILT_INS, type NetworkBuiltIn } from "../analysis/verify/network-invariants.ts";
import { type InvariantResult, verifyAccess } from "../analysis/verify/verify-access.ts";
import { type LoadedMesh, loadMesh, type Mesh } from "../index.ts";
import type { Semantics } from "../policy/inbound.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type Diagnostic, formatDiagnostic } from "../resources/diagnostic.ts";
import { suggestion } from "../resources/did-you-mean.ts";
import { isUnbuilt } from "../resources/kustomization.ts";
import { loadResources, type RejectedResource } from "../resources/load.ts";
import { type Resource, resourceName } from "../resources/resource.ts";
import { keepVerdict } from "./closed-pipe.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { writeDecisionNotes } from "./render/decisions.ts";
import { verifyJson, verifyMarkdown, verifyText } from "./render/verify.ts";

export const BUILT_IN_NAMES: readonly string[] = [...BUILT_INS, ...NETWORK_BUILT_INS].map(({ name }) => name);

export interface VerifyOptionsOfCommand {
  readonly invariants?: readonly string[];
  readonly builtin?: readonly string[];
  readonly format: "text" | "json" | "markdown";
  readonly semantics: Semantics;
}

/** @throws {BulwarkError} BW_CLI_INPUT, BW_MESH_INVALID */
export async function runVerify(
  sources: readonly string[],
  { invariants: paths = [], builtin = [], format, semantics }: VerifyOptionsOfCommand,
): Promise<ExitCode> {
  keepVerdict();
  checkBuiltIns(builtin);
  const loaded = await loadMesh(sources);
  refuseInvalid(loaded.rejected, []);
  writeDecisionNotes(loaded);
  const { mesh } = loaded;
  const invariants = [
    ...(await ownInvariants(loaded, paths)).map((resource) => invariantOf(resource, mesh)),
    ...builtInInvariants(mesh, builtin),
  ];
  const ofNetwork = networkInvariants(mesh, builtin);
  if (invariants.length + ofNetwork.length === 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "there is nothing to verify: the mesh has no AccessInvariant and none is given; write one, or ask for `--builtin all`",
    );
  const { results, ...counts } = await verifyAccess(mesh, invariants, { semantics });
  const all = [...results];
  for (const { judge } of ofNetwork) all.push(await judge(mesh, semantics));
  const isBuilt = !loaded.warnings.some(isUnbuilt);
  const verification = { ...counts, results: isBuilt ? all : all.map(unprovable) };
  const render = { text: verifyText, json: verifyJson, markdown: verifyMarkdown }[format];
  process.stdout.write(render(verification));
  return verification.results.every(({ outcome }) => outcome === "proven") ? EXIT.ok : EXIT.denied;
}

/** By files of which a kustomization makes something else nothing is proven. */
function unprovable(result: InvariantResult): InvariantResult {
  const why = "a kustomization makes something else of the files: build it first";
  const finding = { workloads: [], outcome: "unclear", why } as const;
  const outcome = result.outcome === "proven" ? "unclear" : result.outcome;
  return { ...result, outcome, proven: [], vacuous: [], findings: [...result.findings, finding] };
}

function checkBuiltIns(names: readonly string[]): void {
  for (const name of names) {
    if (name === "all" || BUILT_IN_NAMES.includes(name)) continue;
    const meant = suggestion(name, [...BUILT_IN_NAMES, "all"]);
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `there is no built-in invariant \`${name}\`: ${meant === "" ? `there are ${BUILT_IN_NAMES.join(", ")}, and all` : meant}`,
    );
  }
}

/** Of `all`, those that the mesh has nothing for are left out; one that is named must have something. */
function builtInInvariants(mesh: Mesh, names: readonly string[]): readonly Invariant[] {
  return BUILT_INS.flatMap(({ name, invariants }) => {
    if (!names.includes(name) && !names.includes("all")) return [];
    const made = invariants(mesh);
    if (made.length === 0 && names.includes(name))
      throw new BulwarkError(
        "BW_CLI_INPUT",
        `the built-in invariant \`${name}\` has nothing to prove here: no namespace of the mesh is labelled for it`,
      );
    return made;
  });
}

/** As {@link builtInInvariants}; those about the network. */
function networkInvariants(mesh: Mesh, names: readonly string[]): readonly NetworkBuiltIn[] {
  return NETWORK_BUILT_INS.filter(
    ({ name, concerns }) => names.includes(name) || (names.includes("all") && concerns(mesh)),
  );
}

/** Those in the mesh's files, and those in files of their own. One name, one invariant. */
async function ownInvariants({ mesh }: LoadedMesh, paths: readonly string[]): Promise<readonly Resource[]> {
  const inMesh = mesh.resources.filter(isInvariant);
  if (paths.length === 0) return inMesh;
  const { resources, rejected, diagnostics } = await loadResources(paths);
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  refuseInvalid(rejected, [...errors, ...resources.filter((one) => !isInvariant(one)).map(notAnInvariant)]);
  for (const diagnostic of diagnostics) process.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
  if (resources.length === 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `no AccessInvariant was found in ${paths.map((path) => `\`${path}\``).join(", ")}`,
    );
  const named = new Set(resources.map(resourceName));
  const twice = inMesh.find((one) => named.has(resourceName(one)));
  if (twice !== undefined)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      `${resourceName(twice)} is in the mesh and in the invariants: rename one`,
    );
  return [...inMesh, ...resources];
}

/** A policy that would be believed to count must not be lost here. */
function notAnInvariant(resource: Resource): Diagnostic {
  return {
    code: "BW0902_NOT_AN_INVARIANT",
    severity: "error",
    message: "files of invariants hold AccessInvariants alone",
    resource: resourceName(resource),
    span: resource.locate(["kind"]),
    help: "give it among the mesh's own files",
  };
}

/** What is not valid takes no part, and might be what decides, or what was to be proven: nothing is verified then. */
function refuseInvalid(rejected: readonly RejectedResource[], errors: readonly Diagnostic[]): void {
  const all = [...errors, ...rejected.flatMap((resource) => resource.errors)];
  if (all.length === 0) return;
  throw new BulwarkError(
    "BW_MESH_INVALID",
    ["nothing was verified, for not all files are valid", ...all.map(formatDiagnostic)].join("\n"),
    { detail: { diagnostics: all } },
  );
}
