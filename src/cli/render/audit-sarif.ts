/** SARIF 2.1.0 (OASIS), as code hosts take it for annotations on a pull request. */
import type { Finding, FindingSeverity } from "../../analysis/audit/finding.ts";
import type { AuditRule } from "../../analysis/audit/rule.ts";
import { controlsRestingOn } from "../../analysis/compliance/frameworks.ts";
import type { AuditReport } from "./audit.ts";

const SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/** SARIF has three levels; hosts that know `security-severity` (0 to 10) sort by that. */
const LEVELS = {
  critical: { level: "error", score: "9.5" },
  high: { level: "error", score: "8.0" },
  medium: { level: "warning", score: "5.5" },
  low: { level: "note", score: "3.0" },
  info: { level: "note", score: "0.0" },
} as const satisfies Record<FindingSeverity, unknown>;

export function auditSarif(
  { findings, suppressed, advisories }: AuditReport,
  rules: readonly AuditRule[],
): string {
  const results = [
    ...findings.map((finding) => resultOf(finding, rules)),
    ...suppressed.map(({ finding, reason, until }) => ({
      ...resultOf(finding, rules),
      suppressions: [
        {
          kind: "inSource",
          status: "accepted",
          justification: until === undefined ? reason : `${reason} (until ${until})`,
        },
      ],
    })),
  ];
  const driver = { name: "Bulwark", rules: rules.map(descriptorOf) };
  const { warning } = advisories;
  const notifications = warning === undefined ? [] : [{ level: "warning", message: { text: warning } }];
  const run = {
    tool: { driver },
    columnKind: "utf16CodeUnits",
    invocations: [{ executionSuccessful: true, toolExecutionNotifications: notifications }],
    results,
    properties: { advisories },
  };
  return `${JSON.stringify({ $schema: SCHEMA, version: "2.1.0", runs: [run] }, null, 2)}\n`;
}

function descriptorOf({ id, title, what, why, fix, severity, attacks, claims }: AuditRule) {
  return {
    id,
    shortDescription: { text: title },
    fullDescription: { text: `${what} ${why}` },
    help: { text: fix },
    defaultConfiguration: { level: LEVELS[severity].level },
    properties: {
      "security-severity": LEVELS[severity].score,
      tags: ["security", ...attacks.map((attack) => `attack ${attack}`), ...controlsRestingOn(claims)],
    },
  };
}

function resultOf(finding: Finding, rules: readonly AuditRule[]) {
  const { rule, severity, title, resource, witness, attacks, controls, file, line, column } = finding;
  return {
    ruleId: rule,
    ruleIndex: rules.findIndex(({ id }) => id === rule),
    level: LEVELS[severity].level,
    message: { text: `${resource}: ${title}` },
    locations:
      file === undefined
        ? []
        : [
            {
              physicalLocation: {
                artifactLocation: { uri: uriOf(file) },
                region: { startLine: line, startColumn: column },
              },
              logicalLocations: [{ fullyQualifiedName: resource, kind: "resource" }],
            },
          ],
    partialFingerprints: { "resourceAndRule/v1": `${rule} ${resource} ${title}` },
    properties: { attacks, controls, ...(witness === null ? {} : { witness }) },
  };
}

/** A relative reference stays one; each segment is escaped (RFC 3986). */
function uriOf(file: string): string {
  const path = file.replace(/^\.\//, "").split("/").map(encodeURIComponent).join("/");
  return file.startsWith("/") ? `file://${path}` : path;
}
