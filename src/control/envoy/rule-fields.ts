/** What a field of an AuthorizationPolicy rule asks Envoy's RBAC for. */
import type { EnvoyObject } from "./envoy-object.ts";
import { jwtClaimMatcher, requestPrincipalMatcher } from "./jwt-claim-matcher.ts";
import { headerMatcher, quoteRegex, regexMatcher, schemeMatcher, stringMatcher } from "./string-matcher.ts";
import { principalsOfTrustDomains, trustDomainValues } from "./trust-domain-values.ts";

export interface RuleContext {
  readonly policyNamespace: string;
  /** The mesh's own first. */
  readonly trustDomains: readonly string[];
}

/**
 * Permissions say what is asked for, principals who asks; RBAC has matchers of either kind only. `matchers` gives alternatives;
 * undefined among them: a value that Envoy has no matcher for.
 */
export interface RuleField {
  readonly side: "permission" | "principal";
  readonly httpOnly?: true;
  matchers(values: readonly string[], context: RuleContext): readonly (EnvoyObject | undefined)[];
}

function field(
  side: RuleField["side"],
  matcher: (value: string, context: RuleContext) => EnvoyObject | undefined,
): RuleField {
  return { side, matchers: (values, context) => values.map((value) => matcher(value, context)) };
}

function httpField(
  side: RuleField["side"],
  matcher: (value: string, context: RuleContext) => EnvoyObject | undefined,
): RuleField {
  return { ...field(side, matcher), httpOnly: true };
}

const authenticated = (matcher: EnvoyObject): EnvoyObject => ({ authenticated: { principal_name: matcher } });

const PRINCIPALS: RuleField = {
  side: "principal",
  matchers: (values, { trustDomains }) =>
    values
      .flatMap((value) => principalsOfTrustDomains(value, trustDomains))
      .map((value) => authenticated(schemeMatcher("spiffe://", value))),
};

const TRUST_DOMAINS: RuleField = {
  side: "principal",
  matchers: (values, { trustDomains }) =>
    trustDomainValues(values, trustDomains).map((value) => authenticated(trustDomainMatcher(value))),
};

function trustDomainMatcher(value: string): EnvoyObject {
  const star = value.indexOf("*");
  if (value === "*") return { prefix: "spiffe://" };
  if (star < 0) return { prefix: `spiffe://${value}/` };
  const [head, tail] = [value.slice(0, star), value.slice(star + 1)];
  return regexMatcher(`spiffe://${quoteRegex(head)}[^/]*${quoteRegex(tail)}/.*`);
}

const NAMESPACES = field("principal", (value) =>
  authenticated(regexMatcher(`.*/ns/${value.split("*").map(quoteRegex).join(".*")}/.*`)),
);

const SERVICE_ACCOUNTS = field("principal", (value, { policyNamespace }) => {
  const slash = value.indexOf("/");
  const [namespace, account] =
    slash < 0 ? [policyNamespace, value] : [value.slice(0, slash), value.slice(slash + 1)];
  const regex = `spiffe://.+/ns/${quoteRegex(namespace)}/(.+/|)sa/${quoteRegex(account)}(/.+)?`;
  return authenticated(regexMatcher(regex));
});

/** An address or a block, as `config.core.v3.CidrRange`. */
function cidrRange(value: string): EnvoyObject | undefined {
  const [address = "", length, ...more] = value.split("/");
  const width = address.includes(":") ? 128 : 32;
  const bits = length === undefined ? width : Number(length);
  if (more.length > 0 || !Number.isInteger(bits) || bits < 0 || bits > width) return undefined;
  return { address_prefix: address, prefix_len: bits };
}

function addressField(side: RuleField["side"], kind: string): RuleField {
  return field(side, (value) => {
    const range = cidrRange(value);
    return range === undefined ? undefined : { [kind]: range };
  });
}

const SOURCE_IP = addressField("principal", "direct_remote_ip");
const REMOTE_IP = addressField("principal", "remote_ip");
const DESTINATION_IP = addressField("permission", "destination_ip");

const PORTS = field("permission", (value) =>
  /^\d+$/.test(value) && Number(value) <= 65_535 ? { destination_port: Number(value) } : undefined,
);

const SNI = field("permission", (value) => ({ requested_server_name: stringMatcher(value) }));
const HOSTS = httpField("permission", (value) => ({
  header: headerMatcher(":authority", value, { ignoreCase: true }),
}));
const METHODS = httpField("permission", (value) => ({ header: headerMatcher(":method", value) }));
const PATHS = httpField("permission", (value) =>
  /\{\*\*?\}/.test(value)
    ? { uri_template: uriTemplate(value) }
    : { url_path: { path: stringMatcher(value) } },
);

function uriTemplate(value: string): EnvoyObject {
  return {
    name: "uri-template",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
      path_template: value.replaceAll("{**}", "**").replaceAll("{*}", "*"),
    },
  };
}

const REQUEST_PRINCIPALS = httpField("principal", requestPrincipalMatcher);

/** All values in one matcher: a claim's path is looked up once. */
function claimField(path: readonly string[]): RuleField {
  return {
    side: "principal",
    httpOnly: true,
    matchers: (values) => (values.length === 0 ? [] : [jwtClaimMatcher(path, values)]),
  };
}

function headerField(name: string): RuleField {
  return httpField("principal", (value) => ({ header: headerMatcher(name, value) }));
}

/** Fields of a source, each with its negation. */
export const SOURCE_FIELDS = [
  ["principals", "notPrincipals", PRINCIPALS],
  ["requestPrincipals", "notRequestPrincipals", REQUEST_PRINCIPALS],
  ["namespaces", "notNamespaces", NAMESPACES],
  ["serviceAccounts", "notServiceAccounts", SERVICE_ACCOUNTS],
  ["trustDomains", "notTrustDomains", TRUST_DOMAINS],
  ["ipBlocks", "notIpBlocks", SOURCE_IP],
  ["remoteIpBlocks", "notRemoteIpBlocks", REMOTE_IP],
] as const;

/** Fields of an operation, each with its negation. */
export const OPERATION_FIELDS = [
  ["hosts", "notHosts", HOSTS],
  ["methods", "notMethods", METHODS],
  ["paths", "notPaths", PATHS],
  ["ports", "notPorts", PORTS],
] as const;

const CONDITIONS: ReadonlyMap<string, RuleField> = new Map([
  ["source.ip", SOURCE_IP],
  ["remote.ip", REMOTE_IP],
  ["source.namespace", NAMESPACES],
  ["source.principal", PRINCIPALS],
  ["source.serviceAccount", SERVICE_ACCOUNTS],
  ["source.trustDomain", TRUST_DOMAINS],
  ["request.auth.principal", REQUEST_PRINCIPALS],
  ["request.auth.audiences", claimField(["aud"])],
  ["request.auth.presenter", claimField(["azp"])],
  ["destination.ip", DESTINATION_IP],
  ["destination.port", PORTS],
  ["connection.sni", SNI],
]);

/** The field behind a `when` key; undefined for keys that Istio does not know. */
export function conditionField(key: string): RuleField | undefined {
  const known = CONDITIONS.get(key);
  if (known !== undefined) return known;
  const header = /^request\.headers\[(.+)\]$/.exec(key)?.[1];
  if (header !== undefined) return headerField(header);
  const claims = /^request\.auth\.claims(\[.+\])$/.exec(key)?.[1];
  return claims === undefined ? undefined : claimField(claimPath(claims));
}

/** `[a][b]` names a claim inside another; where the brackets do not pair off, they are part of one name. */
function claimPath(brackets: string): string[] {
  const names = brackets.slice(1, -1).split("][");
  return names.some((name) => /[[\]]/.test(name)) ? [brackets.slice(1, -1)] : names;
}
