/** Images of all containers of all pods, as they are written. */

import type { FieldPath, Resource } from "../../../resources/resource.ts";
import { type ImageReference, parseImageReference } from "../../trust/images/image-reference.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedContainer, type AuditedPod, containersOf, podsOf } from "./pods.ts";

export interface AuditedImage {
  readonly resource: Resource;
  readonly pod: AuditedPod;
  readonly container: AuditedContainer;
  readonly image: string;
  /** Absent where no node could pull it. */
  readonly reference?: ImageReference;
  readonly path: FieldPath;
}

/** What the injector puts its own image for. */
export const AUTO_IMAGE = "auto";

/** Without those that are not written, and those that the injector fills in. */
export function imagesOf(audit: AuditContext): readonly AuditedImage[] {
  return audit.fact(podsOf).flatMap((pod) =>
    containersOf(pod)
      .filter(({ image }) => image !== "" && image !== AUTO_IMAGE)
      .map((container) => {
        const reference = parseImageReference(container.image);
        return {
          resource: pod.resource,
          pod,
          container,
          image: container.image,
          ...(reference === undefined ? {} : { reference }),
          path: [...container.path, "image"],
        };
      }),
  );
}
