import { checkCondition } from "./authorization-condition.ts";
import {
  checkNotEmpty,
  checkPathTemplates,
  checkPortTexts,
  checkServiceAccounts,
  checkSlips,
  checkTrustDomains,
} from "./authorization-values.ts";
import type { CheckContext } from "./check-context.ts";
import type { Field } from "./field.ts";
import { quoted } from "./field.ts";
import { checkIpBlock } from "./host-names.ts";
import { checkAttachment } from "./labels.ts";

/** @see https://istio.io/latest/docs/reference/config/security/authorization-policy/ */
export function checkAuthorizationPolicy(spec: Field, context: CheckContext): void {
  checkAttachment(spec);
  const action = spec.at("action").text || "ALLOW";
  const rules = spec.at("rules");
  if (action === "CUSTOM") checkCustom(spec);
  else if (spec.at("provider").present) {
    spec
      .at("provider")
      .errorAtKey(
        "BW1207_PROVIDER",
        `\`spec.provider\` is for the action CUSTOM, not ${action}`,
        "remove it, or set `action: CUSTOM`",
      );
  }
  if ((action === "DENY" || action === "CUSTOM") && rules.size === 0) {
    (rules.present ? rules : spec.at("action")).error(
      "BW1206_NO_RULES",
      `${action} without \`rules\` would never apply`,
      "add a rule; the empty rule `- {}` applies to every request",
    );
  }
  if (rules.size > 512) rules.error("BW1105_OUT_OF_BOUNDS", "`spec.rules` has more than 512 entries");
  const hitsTcp = action === "DENY" && !isDryRun(context) && !isForServices(spec);
  for (const rule of rules.items()) checkRule(rule, hitsTcp);
}

function isDryRun({ annotations }: CheckContext): boolean {
  return /^(1|t|T|true|True|TRUE)$/.test(annotations.at("istio.io/dry-run").text);
}

/** Those policies are a waypoint's, which judges what its Services speak. */
function isForServices(spec: Field): boolean {
  const one = spec.at("targetRef");
  const refs = [...(one.present ? [one] : []), ...spec.at("targetRefs").items()];
  return refs.length > 0 && refs.every((ref) => ["Service", "ServiceEntry"].includes(ref.at("kind").text));
}

function checkCustom(spec: Field): void {
  if (spec.at("rules").size > 0 && spec.at("provider", "name").text === "") {
    spec
      .at("provider", "name")
      .error(
        "BW1207_PROVIDER",
        "CUSTOM needs `spec.provider.name`",
        "name one of MeshConfig's extensionProviders",
      );
  }
  for (const rule of spec.at("rules").items()) {
    for (const from of rule.at("from").items()) {
      for (const name of IDENTITY_FIELDS) {
        const field = from.at("source", name);
        if (field.size > 0) notWithCustom(field, name);
      }
    }
    for (const when of rule.at("when").items()) {
      const key = when.at("key");
      if (IDENTITY_KEYS.has(key.text) || key.text.startsWith("request.auth.")) notWithCustom(key, key.text);
    }
  }
}

/** Custom authorizers run before identities are known to the filter chain. */
const IDENTITY_FIELDS: readonly string[] = [
  "namespaces",
  "notNamespaces",
  "serviceAccounts",
  "notServiceAccounts",
  "trustDomains",
  "notTrustDomains",
  "principals",
  "notPrincipals",
  "requestPrincipals",
  "notRequestPrincipals",
];
const IDENTITY_KEYS: ReadonlySet<string> = new Set([
  "source.namespace",
  "source.serviceAccount",
  "source.trustDomain",
  "source.principal",
]);

function notWithCustom(field: Field, what: string): void {
  field.error(
    "BW1208_NOT_WITH_CUSTOM",
    `${quoted(what)} cannot be used with the action CUSTOM`,
    "match by hosts, paths, methods, ports or IP blocks, and let the authorizer look at the identity",
  );
}

/** @param hitsTcp whether it is told where the rule denies more of plain TCP than it seems to. */
export function checkRule(rule: Field, hitsTcp: boolean): void {
  if (!rule.present) {
    empty(rule, "a rule must not be empty text; write `{}` for every request");
    return;
  }
  if (rule.at("from").size > 512)
    rule.at("from").error("BW1105_OUT_OF_BOUNDS", `\`${rule.name}.from\` has more than 512 entries`);
  const froms = rule.at("from").items();
  const tos = rule.at("to").items();
  const fromsWithTcp = froms.filter(checkSource).length;
  const tosWithTcp = tos.filter(checkOperation).length;
  for (const when of rule.at("when").items()) checkCondition(when);
  const hasFrom = froms.some((from) => from.at("source").present);
  const hasTo = tos.some((to) => to.at("operation").present);
  if (!hitsTcp || !((hasFrom && !hasTo && fromsWithTcp === 0) || (hasTo && tosWithTcp === 0))) return;
  const limits = [
    ...(hasFrom && fromsWithTcp === froms.length ? ["from"] : []),
    ...(rule
      .at("when")
      .items()
      .some((when) => TCP_KEYS.has(when.at("key").text))
      ? ["when"]
      : []),
  ];
  rule.warning(
    "BW1302_DENY_HITS_TCP",
    tcpEffect(rule, limits),
    "name the HTTP ports in `to.operation.ports`",
  );
}

const TCP_KEYS: ReadonlySet<string> = new Set([
  "source.ip",
  "remote.ip",
  "source.namespace",
  "source.serviceAccount",
  "source.principal",
  "destination.ip",
  "destination.port",
  "connection.sni",
]);

/** INVARIANT: said only of rules with a clause of HTTP attributes alone, of which ztunnel is left an empty one, which never matches. @param limits the clauses that plain TCP is judged by, too: all others count for nothing there. */
function tcpEffect(rule: Field, limits: readonly string[]): string {
  if (limits.length === 0)
    return `\`${rule.name}\` has only HTTP attributes: behind a sidecar it denies all traffic on TCP ports; at a ztunnel it never matches`;
  const named = limits.map((clause) => `\`${clause}\``).join(" and ");
  const counts = limits.length === 1 ? "counts" : "count";
  return `of \`${rule.name}\` only ${named} ${counts} on TCP ports behind a sidecar: what matches that is denied there; at a ztunnel it never matches`;
}

/** @returns whether the source names anything that plain TCP has, too. */
function checkSource(from: Field): boolean {
  if (!from.present) return empty(from, "`from` must not be empty");
  const source = from.at("source");
  if (!source.present) return empty(source, `\`${from.name}\` needs a \`source\``);
  const named = SOURCE_FIELDS.filter((key) => source.at(key).size > 0);
  if (named.length === 0) empty(source, `\`${source.name}\` names nothing`);
  checkAccountsAlone(source);
  for (const key of ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"]) {
    for (const block of source.at(key).items()) checkIpBlock(block);
  }
  for (const key of ["principals", "requestPrincipals", "namespaces"]) {
    checkNotEmpty(source.at(key));
    checkNotEmpty(source.at(`not${key.slice(0, 1).toUpperCase()}${key.slice(1)}`));
  }
  checkSlips(source, "principals");
  for (const key of ["serviceAccounts", "notServiceAccounts"]) checkServiceAccounts(source.at(key));
  for (const key of ["trustDomains", "notTrustDomains"]) checkTrustDomains(source.at(key));
  return named.some((key) => !HTTP_ONLY.has(key));
}

function checkAccountsAlone(source: Field): void {
  const accounts = ["serviceAccounts", "notServiceAccounts"].find((key) => source.at(key).present);
  const other = ["principals", "notPrincipals", "namespaces", "notNamespaces"].find(
    (key) => source.at(key).present,
  );
  if (accounts === undefined || other === undefined) return;
  source
    .at(accounts)
    .errorAtKey(
      "BW1211_SERVICE_ACCOUNT",
      `\`${accounts}\` cannot stand beside \`${other}\` in one source`,
      "a service account says its namespace itself (`namespace/account`): remove the other, or write two sources",
    );
}

const SOURCE_FIELDS: readonly string[] = [
  "principals",
  "requestPrincipals",
  "namespaces",
  "serviceAccounts",
  "trustDomains",
  "ipBlocks",
  "remoteIpBlocks",
].flatMap((key) => [key, `not${key.slice(0, 1).toUpperCase()}${key.slice(1)}`]);
const HTTP_ONLY: ReadonlySet<string> = new Set([
  "requestPrincipals",
  "notRequestPrincipals",
  "trustDomains",
  "notTrustDomains",
]);

/** @returns whether the operation names ports, the one attribute that plain TCP has. */
function checkOperation(to: Field): boolean {
  if (!to.present) return empty(to, "`to` must not be empty");
  const operation = to.at("operation");
  if (!operation.present) return empty(operation, `\`${to.name}\` needs an \`operation\``);
  if (OPERATION_FIELDS.every((key) => operation.at(key).size === 0)) {
    empty(operation, `\`${operation.name}\` names nothing`);
  }
  for (const key of OPERATION_FIELDS) checkNotEmpty(operation.at(key));
  for (const key of ["ports", "notPorts"]) checkPortTexts(operation.at(key));
  for (const key of ["paths", "notPaths"]) checkPathTemplates(operation.at(key));
  checkSlips(operation, "paths");
  checkSlips(operation, "methods");
  return operation.at("ports").size > 0 || operation.at("notPorts").size > 0;
}

const OPERATION_FIELDS: readonly string[] = [
  "hosts",
  "notHosts",
  "ports",
  "notPorts",
  "methods",
  "notMethods",
  "paths",
  "notPaths",
];

function empty(field: Field, message: string): false {
  field.error(
    "BW1209_EMPTY_CLAUSE",
    message,
    "name what it should match, or remove it; a rule `{}` matches every request",
  );
  return false;
}
