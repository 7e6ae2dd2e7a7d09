import type { Field } from "./field.ts";

/** What a check of a spec may need to know of the object around it. */
export interface CheckContext {
  readonly namespace: string;
  readonly name: string;
  /** `metadata.labels` */
  readonly labels: Field;
  /** `metadata.annotations` */
  readonly annotations: Field;
}
