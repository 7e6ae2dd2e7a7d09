/**
 * Trust domains in an AuthorizationPolicy's values: the mesh's own stands for all of its aliases, too.
 * @see https://istio.io/latest/docs/tasks/security/authorization/authz-td-migration/
 */

/** What every mesh calls its own trust domain by. */
const LOCAL = "cluster.local";

/** The principal under each of the mesh's trust domains, where its own is one of them; else the principal alone. */
export function principalsOfTrustDomains(principal: string, trustDomains: readonly string[]): string[] {
  const parts = principal.split("/");
  const own = parts[0] ?? "";
  const rest = parts.slice(1).join("/");
  // Only whole identities name a trust domain, and one that is any names none.
  if (parts.length !== 5 || own === "*") return [principal];
  if (own !== LOCAL && !trustDomains.some((trustDomain) => mayBeTheSame(own, trustDomain)))
    return [principal];
  const named = trustDomains.map((trustDomain) =>
    hasSuffixPattern(own, trustDomain) ? principal : `${trustDomain}/${rest}`,
  );
  return [...new Set(named)];
}

/** `trustDomains` values: each of the mesh's own becomes all of them. */
export function trustDomainValues(values: readonly string[], trustDomains: readonly string[]): string[] {
  return [...new Set(values.flatMap((value) => (trustDomains.includes(value) ? trustDomains : [value])))];
}

/** Either may be a pattern. */
function mayBeTheSame(a: string, b: string): boolean {
  if (a === b || b === "*") return true;
  return [
    [a, b],
    [b, a],
  ].some(([pattern = "", text = ""]) => hasPrefixPattern(pattern, text) || hasSuffixPattern(pattern, text));
}

function hasPrefixPattern(pattern: string, text: string): boolean {
  return pattern.endsWith("*") && text.startsWith(pattern.slice(0, -1));
}

function hasSuffixPattern(pattern: string, text: string): boolean {
  return pattern.startsWith("*") && text.endsWith(pattern.slice(1));
}
