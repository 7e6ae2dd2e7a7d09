import { compileCors } from "../../../policy/outbound/cors.ts";
import type { CorsPolicy } from "../../../policy/outbound/resource-shapes.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const originsUnnamed: AuditRule = {
  id: "BW0869",
  title: "Web sites that nobody named may call as the user who visits them",
  severity: "medium",
  attacks: ["M5"],
  what: '`corsPolicy` of a VirtualService\'s route with `allowCredentials` and origins that are not bounded: every one (`exact: "*"`, `regex: .*`), or by a prefix, which has no end: `https://shop.example` is the beginning of `https://shop.example.attacker.test`. Expressions are tried with such names; one that takes other names by a dot that is not escaped is not found.',
  why: "Envoy answers with the origin that asks, and browsers then send the user's cookies along and show the answer to the site: what the user may see and do there, the site may.",
  fix: "Name the origins with `exact`, or leave `allowCredentials` out.",
  claims: [],
  check: unnamed,
};

const STRANGER = "https://attacker.invalid";

function* unnamed({ mesh }: AuditContext): Iterable<Hit> {
  for (const resource of mesh.virtualServices)
    for (const [at, { corsPolicy }] of routesOf(resource.spec).entries()) {
      const origin = corsPolicy?.allowCredentials === true ? strangerIn(corsPolicy) : undefined;
      if (origin !== undefined)
        yield {
          resource,
          path: ["spec", "http", at, "corsPolicy"],
          title: `pages of \`${origin}\` may call with the user's cookies and read the answer`,
        };
    }
}

function routesOf(spec: object): readonly { readonly corsPolicy?: CorsPolicy }[] {
  return (spec as { readonly http?: readonly { readonly corsPolicy?: CorsPolicy }[] }).http ?? [];
}

/** An origin that is let in and that nobody can have meant. */
function strangerIn(policy: CorsPolicy): string | undefined {
  const { allowsOrigin } = compileCors(policy);
  const named = (policy.allowOrigins ?? []).flatMap(({ prefix = "" }) => {
    const isHost = /^https?:\/\/[^/:]+$/.test(prefix);
    return isHost ? [`${prefix}${prefix.endsWith(".") ? "" : "."}attacker.invalid`] : [];
  });
  return [STRANGER, ...named].find((origin) => allowsOrigin(origin));
}
