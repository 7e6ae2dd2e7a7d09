/** Images of all containers of all pods, as they are written. */

import type { FieldPath, Resource } from "../../../resources/resource.ts";
import { type ImageReference, parseImageReference } from "../../trust/images/image-reference.ts";
import { AUTO_IMAGE, type WrittenContainer } from "../../trust/images/pod-containers.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedPod, containersOf, podsOf } from "./pods.ts";

export interface AuditedImage {
  readonly resource: Resource;
  readonly pod: AuditedPod;
  readonly container: WrittenContainer;
  readonly image: string;
  /** Absent where no node could pull it. */
  readonly reference?: ImageReference;
  readonly path: FieldPath;
}

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
