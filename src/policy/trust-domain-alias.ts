/** Trust domains in policies: the mesh's own stands for its aliases, and `cluster.local` for the mesh's own. */

const DEFAULT_TRUST_DOMAIN = "cluster.local";

/** The mesh's trust domain first, then its aliases. */
export type TrustDomains = readonly string[];

/**
 * Principals with their trust domain replaced by each of the mesh's, where it is one of them.
 * Principals that are not of five segments, and those of any trust domain (`*`), stay.
 */
export function expandPrincipals(principals: readonly string[], trustDomains: TrustDomains): string[] {
  return principals.flatMap((principal) => expandPrincipal(principal, trustDomains));
}

function expandPrincipal(principal: string, trustDomains: TrustDomains): readonly string[] {
  const [own = "", ...rest] = principal.split("/");
  if (rest.length !== 4) return [principal];
  if (own !== DEFAULT_TRUST_DOMAIN && !trustDomains.some((trustDomain) => overlaps(own, trustDomain)))
    return [principal];
  const expanded = trustDomains.map((trustDomain) =>
    isSuffixPattern(own, trustDomain) ? principal : [trustDomain, ...rest].join("/"),
  );
  return [...new Set(expanded)];
}

/** `trustDomains` with each of the mesh's own replaced by all of them. Patterns stay. */
export function expandTrustDomains(values: readonly string[], trustDomains: TrustDomains): string[] {
  return [...new Set(values.flatMap((value) => (trustDomains.includes(value) ? trustDomains : [value])))];
}

function overlaps(a: string, b: string): boolean {
  return (
    a === b ||
    isPrefixPattern(b, a) ||
    isPrefixPattern(a, b) ||
    isSuffixPattern(b, a) ||
    isSuffixPattern(a, b)
  );
}

function isPrefixPattern(pattern: string, text: string): boolean {
  return pattern.endsWith("*") && text.startsWith(pattern.slice(0, -1));
}

function isSuffixPattern(pattern: string, text: string): boolean {
  return pattern.startsWith("*") && text.endsWith(pattern.slice(1));
}
