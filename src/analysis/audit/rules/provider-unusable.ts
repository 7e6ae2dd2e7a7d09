import { isDryRun } from "../../../policy/authorization.ts";
import type { AuthorizationSpec } from "../../../policy/authorization-spec.ts";
import { compileProviders } from "../../../policy/ext-authz-provider.ts";
import type { AuditContext } from "../audit-context.ts";
import { type ServerClass, serverClasses } from "../facts/server-classes.ts";
import { actionOf } from "../facts/token-demands.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const providerUnusable: AuditRule = {
  id: "BW0623",
  title: "A CUSTOM policy whose authorizer is never asked",
  severity: "medium",
  attacks: [],
  what:
    "CUSTOM policies whose provider the mesh's `extensionProviders` do not have, or have in a form that cannot be used (its service is not among the files, no port …), and workloads with CUSTOM policies of two providers: " +
    "Istio denies there whatever the policies match. Files without mesh settings are not judged, as the providers stand elsewhere then; policies in dry run are not told.",
  why: "Nothing is let in that should not be; but everything that the policy matches is refused, without anybody having been asked, and under that pressure the policy is what goes first.",
  fix: "Name a provider of MeshConfig (`extensionProviders[].name`), the same one for all CUSTOM policies of a workload.",
  claims: ["policies-hold"],
  check: unusable,
};

function* unusable(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  if (Object.keys(mesh.config.raw).length === 0) return;
  const known = compileProviders(mesh);
  const written = new Set(mesh.config.extensionProviders.map(({ name }) => name));
  const several = new Map<unknown, readonly string[]>();
  for (const server of audit.fact(serverClasses)) {
    const names = providersAt(server);
    if (names.length > 1) for (const policy of server.authorization) several.set(policy, names);
  }
  for (const resource of mesh.authorizationPolicies) {
    if (actionOf(resource.spec) !== "CUSTOM" || isDryRun(resource)) continue;
    const name = providerOf(resource.spec);
    const title = !known.has(name)
      ? `the provider \`${name}\` ${written.has(name) ? "cannot be used: its service is not known, or its settings are not valid" : "is not among the mesh's `extensionProviders`"}`
      : severalTitle(several.get(resource));
    if (title !== undefined) yield { resource, path: ["spec", "provider", "name"], title };
  }
}

function severalTitle(names: readonly string[] | undefined): string | undefined {
  return names === undefined
    ? undefined
    : `one workload has CUSTOM policies of several providers: ${names.map((name) => `\`${name}\``).join(", ")}`;
}

function providersAt({ authorization }: ServerClass): readonly string[] {
  const custom = authorization.filter(({ spec }) => actionOf(spec) === "CUSTOM");
  return [...new Set(custom.map(({ spec }) => providerOf(spec)))];
}

function providerOf(spec: unknown): string {
  return (spec as AuthorizationSpec).provider?.name ?? "";
}
