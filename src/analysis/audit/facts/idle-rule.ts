/** A rule of an AuthorizationPolicy that changes nothing, and why. */
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { Resource } from "../../../resources/resource.ts";

/**
 * `dead`: no request matches it. `unreached`: none that gets as far as authorization does. `denied`: an ALLOW, all of which some DENY refuses.
 * `covered`: other rules of its action match all of it that counts. In this order: the first that is so.
 */
export type IdleReason = "dead" | "unreached" | "denied" | "covered";

/** A rule that may be taken away, together with all others that are told, without a change. */
export interface IdleRule {
  readonly policy: Resource;
  /** Index in the policy's rules. */
  readonly rule: number;
  readonly action: "ALLOW" | "DENY";
  readonly reason: IdleReason;
  /** Rules that do alone what it does; empty where it takes several together. */
  readonly by: readonly RuleName[];
  /** A request that it matches, and what is decided of it. Absent for what no request matches. */
  readonly witness?: AccessRequest;
  /** `namespace/name` of a workload where this was found; it is so at all that the policy selects. */
  readonly workload: string;
}

export interface RuleName {
  /** `AuthorizationPolicy ns/name` */
  readonly policy: string;
  readonly rule: number;
}

/** As messages name a rule: counted from 0, as `can` counts. */
export function ruleText({ policy, rule }: RuleName): string {
  return `\`rules[${rule}]\` of ${policy}`;
}
