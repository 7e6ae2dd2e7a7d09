/** The versions that the mesh names, each once with all its places (a fleet has few versions), and the advisories that they are held against. */
import type { Resource } from "../../../resources/resource.ts";
import type { AdvisoryData, Component } from "../../trust/advisories/advisory.ts";
import { shippedAdvisories } from "../../trust/advisories/shipped-advisories.ts";
import { type VersionFound, versionsIn } from "../../trust/advisories/versions-in.ts";
import type { AuditContext } from "../audit-context.ts";

export interface AuditedVersion {
  readonly component: Component;
  /** Absent where an image is named by its digest alone. */
  readonly version?: string;
  /** Where it stands. */
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

/** One place in each resource: whoever accepts a finding on one accepts it for that one. */
export function placeInEach({ places }: AuditedVersion): readonly VersionFound[] {
  const first = new Map<Resource, VersionFound>();
  for (const place of places) if (!first.has(place.resource)) first.set(place.resource, place);
  return [...first.values()];
}
