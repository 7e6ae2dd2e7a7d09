/** All rules, by their ids. */
import type { AuditRule } from "./rule.ts";
import { allowDenied } from "./rules/allow-denied.ts";
import { resourceRejected } from "./rules/resource-rejected.ts";
import { ruleCovered } from "./rules/rule-covered.ts";
import { ruleDead } from "./rules/rule-dead.ts";
import { ruleUnreached } from "./rules/rule-unreached.ts";
import { suppressionVoid } from "./rules/suppression-void.ts";

export const AUDIT_RULES: readonly AuditRule[] = [
  suppressionVoid, // BW0002
  resourceRejected, // BW0106
  ruleCovered, // BW0601
  ruleDead, // BW0602
  allowDenied, // BW0603
  ruleUnreached, // BW0604
];
