/** All frameworks, and the controls that a finding bears on. */
import type { ClaimId } from "./claim-statements.ts";
import type { Framework } from "./framework.ts";
import { cis } from "./frameworks/cis.ts";
import { cra } from "./frameworks/cra.ts";
import { gdpr } from "./frameworks/gdpr.ts";
import { nist800204b } from "./frameworks/nist-800-204b.ts";
import { nist800207 } from "./frameworks/nist-800-207.ts";
import { pciDss } from "./frameworks/pci-dss.ts";

export const FRAMEWORKS: readonly Framework[] = [pciDss, gdpr, nist800204b, nist800207, cis, cra];

/** Every control that rests on one of the claims: `PCI-DSS 4.0 7.3.3`, the framework and the control as that numbers it. */
export function controlsRestingOn(claims: readonly ClaimId[]): readonly string[] {
  return FRAMEWORKS.flatMap(({ label, controls }) =>
    controls
      .filter((control) => control.claims.some((claim) => claims.includes(claim)))
      .map(({ id }) => `${label} ${id}`),
  );
}
