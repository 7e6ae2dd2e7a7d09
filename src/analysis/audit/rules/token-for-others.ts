import { isDryRun } from "../../../policy/authorization.ts";
import type { AuditContext } from "../audit-context.ts";
import { rulesOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const tokenForOthers: AuditRule = {
  id: "BW0626",
  title: "Tokens that were issued for others are taken",
  severity: "medium",
  attacks: ["E4", "M5"],
  what: "Rules of RequestAuthentications without `audiences`, where no AuthorizationPolicy of the same namespace or of the root namespace asks for `request.auth.audiences` or `request.auth.claims[aud]`. Whether the issuer has other clients at all is not in the files.",
  why: "Whoever the issuer gives a token for any service at all may bring it here; and so may each service that somebody else's token was sent to (RFC 8725, section 3.9).",
  fix: "Name in `audiences` what the issuer writes into tokens for this service.",
  claims: ["users-authenticated"],
  check: withoutAudience,
};

interface TokenRule {
  readonly issuer?: string;
  readonly audiences?: readonly string[];
}

const AUDIENCE_KEYS: ReadonlySet<string> = new Set(["request.auth.audiences", "request.auth.claims[aud]"]);

function* withoutAudience({ mesh }: AuditContext): Iterable<Hit> {
  const asking = new Set(
    mesh.authorizationPolicies
      .filter((policy) => !isDryRun(policy))
      .filter(({ spec }) =>
        rulesOf(spec).some(({ when = [] }) => when.some(({ key }) => AUDIENCE_KEYS.has(key))),
      )
      .map(({ namespace }) => namespace),
  );
  for (const resource of mesh.requestAuthentications) {
    if (asking.has(resource.namespace) || asking.has(mesh.config.rootNamespace)) continue;
    const rules = (resource.spec.jwtRules ?? []) as readonly TokenRule[];
    for (const [at, { issuer = "", audiences = [] }] of rules.entries())
      if (audiences.length === 0)
        yield {
          resource,
          path: ["spec", "jwtRules", at, "issuer"],
          title: `tokens of \`${issuer}\` are taken whomever they were issued for`,
        };
  }
}
