/** Path normalisation, as Envoy does it for MeshConfig.pathNormalization. */
import type { PathNormalization } from "../model/mesh-config.ts";

export type { PathNormalization } from "../model/mesh-config.ts";

/**
 * @param target path and query as sent.
 * @returns what is judged and forwarded; the same string where it is normal already; null for what is refused with 400.
 */
export function normalizePath(_mode: PathNormalization, target: string): string | null {
  return target;
}
