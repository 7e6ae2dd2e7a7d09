import { admitPods } from "../model/admit-pods.ts";
import { buildMesh } from "../model/build-mesh.ts";
import type { Mesh } from "../model/mesh.ts";
import type { Diagnostic } from "../resources/diagnostic.ts";
import type { ReadFiles } from "../resources/read-files.ts";
import type { Resource } from "../resources/resource.ts";
import { provideStockGateways, type StockGateway } from "../substrate/stock-gateways.ts";
import { gatewayApiWithoutEffect, gatewaysWithoutCertificates } from "./gateway-certificates.ts";

/** Files that are valid as a whole. */
export interface LoadedConfiguration {
  readonly ok: true;
  /** Everything read, and the stock gateways that were added. */
  readonly resources: readonly Resource[];
  readonly mesh: Mesh;
  readonly stockGateways: readonly StockGateway[];
  readonly warnings: readonly Diagnostic[];
  /** What was read and has no effect: nobody must believe that it protects. */
  readonly notActedOn: readonly Diagnostic[];
  readonly files: readonly string[];
  /** Of these, the ones with nothing in them but white space. */
  readonly blankFiles: readonly string[];
}

export interface InvalidConfiguration {
  readonly ok: false;
  readonly errors: readonly [Diagnostic, ...Diagnostic[]];
  readonly warnings: readonly Diagnostic[];
  readonly blankFiles: readonly string[];
}

/**
 * Reads a mesh from files. One error anywhere refuses all of it: a policy that is left out because of a slip could widen
 * access, and whoever saved it must hear of it.
 * @param known what was read of these sources before.
 */
export async function loadConfiguration(
  sources: readonly string[],
  known?: ReadFiles,
): Promise<LoadedConfiguration | InvalidConfiguration> {
  // Loaded when needed: the schemas take longer to load than the rest of a process that only serves what was valid before.
  const [{ loadResources }, { unsupported }] = await Promise.all([
    import("../resources/load.ts"),
    import("../resources/coverage.ts"),
  ]);
  const {
    resources: read,
    rejected,
    diagnostics,
    files,
    blankFiles,
  } = await loadResources(sources, known === undefined ? {} : { known });
  const { resources, rejected: refused, warnings: admission } = admitPods(read);
  const problems = [
    ...diagnostics,
    ...admission,
    ...[...rejected, ...refused].flatMap(({ errors }) => errors),
  ];
  const warnings = problems.filter(({ severity }) => severity !== "error");
  const [first, ...others] = problems.filter(({ severity }) => severity === "error").sort(bySpan);
  if (first !== undefined) return { ok: false, errors: [first, ...others], warnings, blankFiles };
  if (resources.length === 0) return { ok: false, errors: [nothingRead(sources)], warnings, blankFiles };
  const complete = provideStockGateways(resources);
  const mesh = buildMesh(complete.resources);
  return {
    ok: true,
    resources: complete.resources,
    mesh,
    stockGateways: complete.provided,
    warnings: [...warnings, ...gatewaysWithoutCertificates(mesh), ...gatewayApiWithoutEffect(mesh)],
    notActedOn: unsupported(resources),
    files,
    blankFiles,
  };
}

function bySpan(a: Diagnostic, b: Diagnostic): number {
  const [left, right] = [a.span, b.span];
  if (left === undefined || right === undefined) return left === right ? 0 : left === undefined ? -1 : 1;
  if (left.file !== right.file) return left.file < right.file ? -1 : 1;
  return left.line - right.line || left.column - right.column;
}

function nothingRead(sources: readonly string[]): Diagnostic {
  return {
    code: "BW0901_NOTHING_READ",
    severity: "error",
    message: `no resource was found in ${sources.map((source) => `\`${source}\``).join(", ")}`,
    help: "name folders or files of Kubernetes and Istio YAML or JSON",
  };
}
