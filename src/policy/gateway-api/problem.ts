import type { FieldPath, Resource } from "../../resources/resource.ts";

/** Something of the Gateway API that takes no effect, and why. */
export interface GatewayApiProblem {
  readonly resource: Resource;
  readonly path: FieldPath;
  readonly why: string;
}

export type Report = (resource: Resource, path: FieldPath, why: string) => void;
