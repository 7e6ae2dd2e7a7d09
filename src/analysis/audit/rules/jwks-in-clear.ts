import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const jwksInClear: AuditRule = {
  id: "BW0621",
  title: "Keys of tokens that come without TLS",
  severity: "high",
  attacks: ["M5"],
  what: "`jwksUri` of a RequestAuthentication with the scheme `http`, where no `jwks` stands beside it (which would be used instead).",
  why: "Whoever is on the way between istiod and that server answers with keys of their own, and signs every token that they like: all policies about claims are theirs.",
  fix: "Fetch the keys by `https://`, or write them out in `jwks`.",
  claims: ["users-authenticated"],
  check: inClear,
};

interface TokenRule {
  readonly jwksUri?: string;
  readonly jwks?: string;
}

function* inClear({ mesh }: AuditContext): Iterable<Hit> {
  for (const resource of mesh.requestAuthentications)
    for (const [at, { jwksUri = "", jwks = "" }] of (
      (resource.spec.jwtRules ?? []) as readonly TokenRule[]
    ).entries())
      if (/^http:\/\//i.test(jwksUri) && jwks === "")
        yield {
          resource,
          path: ["spec", "jwtRules", at, "jwksUri"],
          title: `the keys are fetched in clear, from \`${jwksUri}\``,
        };
}
