/** All rules, by their ids. */
import type { AuditRule } from "./rule.ts";
import { resourceRejected } from "./rules/resource-rejected.ts";
import { suppressionVoid } from "./rules/suppression-void.ts";

export const AUDIT_RULES: readonly AuditRule[] = [
  suppressionVoid, // BW0002
  resourceRejected, // BW0106
];
