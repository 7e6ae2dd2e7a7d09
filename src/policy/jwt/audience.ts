/** Audiences as Envoy compares them: the scheme and one trailing slash do not count. */
export function sanitizeAudience(audience: string): string {
  const bare = audience.replace(/^https?:\/\//, "");
  return bare.endsWith("/") ? bare.slice(0, -1) : bare;
}

/** @param claim the token's `aud`; one without stands for an empty name. */
export function isAudienceAllowed(allowed: ReadonlySet<string>, claim: readonly string[]): boolean {
  if (allowed.size === 0) return true;
  const audiences = claim.length === 0 ? [""] : claim;
  return audiences.some((audience) => allowed.has(sanitizeAudience(audience)));
}
