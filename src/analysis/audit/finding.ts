/** What an audit says: the stable format of findings (docs/audit.md). */
import type { AccessRequest } from "../../policy/path/access-request.ts";
import type { Span } from "../../resources/diagnostic.ts";
import type { FieldPath, Resource } from "../../resources/resource.ts";

/** `critical`: whoever finds it is in; `info`: nothing is open, but the text misleads whoever reads it. */
export const FINDING_SEVERITIES = ["critical", "high", "medium", "low", "info"] as const;

export type FindingSeverity = (typeof FINDING_SEVERITIES)[number];

/** The same check in other tools. */
export interface SameCheck {
  /** `IST0128`: a message of `istioctl analyze`. */
  readonly istio?: string;
  /** `KIA0201`: a validation of Kiali. */
  readonly kiali?: string;
  /** The name of an auditor of Snowcat. */
  readonly snowcat?: string;
}

export interface Finding extends SameCheck {
  /** `BW0128`; docs/rules has its page. */
  readonly rule: string;
  readonly severity: FindingSeverity;
  /** One line: what is wrong here, with what was written in backticks. */
  readonly title: string;
  /** `Kind namespace/name`; `mesh` where no resource is at fault but the lack of one. */
  readonly resource: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly why: string;
  readonly fix: string;
  /** Attacks that it opens the door to, by their ids (docs/attacks.md). */
  readonly attacks: readonly string[];
  /** A unified diff that mends it, where there is a safe one. */
  readonly patch?: string;
  /** A request that `can` takes and that shows it, where one can. */
  readonly witness: AccessRequest | null;
  /** Controls of frameworks that it bears on: `PCI-DSS 4.0 4.2.1`. */
  readonly controls: readonly string[];
}

/** One change of a resource's text, or a resource that is to be added to the file of another. Nothing else of the file changes. */
export type Edit =
  | { readonly edit: "set"; readonly resource: Resource; readonly path: FieldPath; readonly value: unknown }
  | { readonly edit: "delete"; readonly resource: Resource; readonly path: FieldPath }
  | { readonly edit: "add"; readonly beside: Resource; readonly object: Readonly<Record<string, unknown>> };

/** A place where a rule does not hold. */
export interface Hit extends SameCheck {
  /** Absent where the lack of a resource is what is wrong, or where it was refused (`place`). */
  readonly resource?: Resource;
  /** Where in it; the name by default. */
  readonly path?: FieldPath;
  /** What to call it and where it stands, where there is no resource to ask. */
  readonly place?: { readonly name: string; readonly span?: Span | undefined };
  readonly title: string;
  /** Where the rule's own words do not fit this case. */
  readonly severity?: FindingSeverity;
  readonly why?: string;
  readonly fix?: string;
  readonly witness?: AccessRequest;
  /** What mends it without a doubt: gives or takes nobody access that was meant. */
  readonly edits?: readonly Edit[];
}
