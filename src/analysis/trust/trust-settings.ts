/** What the user says of whom and what to trust: none of it is in a mesh. */
import type { AdvisoryData } from "./advisories/advisory.ts";
import type { SignatureVerdict } from "./signatures/signature-verdict.ts";

export interface TrustSettings {
  /** Newer ones than those that Bulwark ships. */
  readonly advisories?: AdvisoryData;
  /** Registries, or paths in them, that all images are to come from. Absent: only Istio's own images are asked where they are from. */
  readonly registries?: readonly string[];
  /** What the check of signatures came to, by the image as written. Absent: signatures were not asked for. */
  readonly signatures?: ReadonlyMap<string, SignatureVerdict>;
}
