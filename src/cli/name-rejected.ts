import { BulwarkError } from "../resources/bulwark-error.ts";
import { formatDiagnostic } from "../resources/diagnostic.ts";
import type { RejectedResource } from "../resources/load.ts";

/** A name that the mesh does not have because its resource was rejected: the error says so, and why. */
export function nameRejected(error: unknown, rejected: readonly RejectedResource[]): unknown {
  if (!(error instanceof BulwarkError)) return error;
  const meant = rejected.filter(({ namespace, name }) =>
    error.message.includes(`has no workload \`${namespace}/${name}\``),
  );
  if (meant.length === 0) return error;
  const lines = meant.flatMap(({ kind, namespace, name, errors }) => [
    `${kind} ${namespace}/${name} was rejected and takes no part:`,
    ...errors.map(formatDiagnostic),
  ]);
  return new BulwarkError(error.code, [error.message, ...lines].join("\n"), {
    cause: error,
    detail: error.detail,
  });
}
