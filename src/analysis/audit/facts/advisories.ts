/** The versions that the mesh names, each once, and the advisories that they are held against. */
import type { AdvisoryData, Component } from "../../trust/advisories/advisory.ts";
import { shippedAdvisories } from "../../trust/advisories/shipped-advisories.ts";
import { type VersionFound, versionsIn } from "../../trust/advisories/versions-in.ts";
import type { AuditContext } from "../audit-context.ts";

export interface AuditedVersion {
  readonly component: Component;
  /** Absent where an image is named by its digest alone. */
  readonly version?: string;
  /** Where it stands: a fleet of proxies is one finding. */
  readonly places: readonly [VersionFound, ...VersionFound[]];
}

export function advisoriesOf({ settings }: AuditContext): AdvisoryData {
  return settings.trust?.advisories ?? shippedAdvisories();
}

export function auditedVersions({ mesh }: AuditContext): readonly AuditedVersion[] {
  const groups = Map.groupBy(versionsIn(mesh.resources), ({ component, version, image }) =>
    [component, version ?? image].join(" "),
  );
  return [...groups.values()].flatMap(([first, ...others]) => {
    if (first === undefined) return [];
    const { component, version } = first;
    return [
      { component, ...(version === undefined ? {} : { version }), places: [first, ...others] as const },
    ];
  });
}

/** `, and in 3 other places`. */
export function otherPlaces({ places }: AuditedVersion): string {
  const others = places.length - 1;
  return others === 0 ? "" : `, and in ${others} other ${others === 1 ? "place" : "places"}`;
}
