import { durationMs } from "../../model/mesh-config.ts";
import type { CorsPolicy } from "./resource-shapes.ts";
import { compileStringMatch } from "./string-match.ts";
import type { CorsPlan } from "./types.ts";

export function compileCors(policy: CorsPolicy): CorsPlan {
  const matchers = policy.allowOrigins ?? (policy.allowOrigin ?? []).map((exact) => ({ exact }));
  const origins = matchers.map((match) => compileStringMatch(match));
  // Envoy asks every matcher about `*`, too: one that takes it, `exact: "*"` among them, takes every origin.
  const takesAll = origins.some((matches) => matches("*"));
  const maxAgeMs = durationMs(policy.maxAge);
  return {
    allowsOrigin: (origin) => takesAll || origins.some((matches) => matches(origin)),
    allowMethods: (policy.allowMethods ?? []).join(","),
    allowHeaders: (policy.allowHeaders ?? []).join(","),
    exposeHeaders: (policy.exposeHeaders ?? []).join(","),
    maxAge: maxAgeMs === undefined ? "" : String(Math.floor(maxAgeMs / 1000)),
    ...(policy.allowCredentials === undefined ? {} : { allowCredentials: policy.allowCredentials }),
    forwardNotMatchingPreflights: policy.unmatchedPreflights !== "IGNORE",
  };
}
