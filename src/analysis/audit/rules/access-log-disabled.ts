import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { sensitiveNamespaces } from "../facts/sensitive-namespaces.ts";
import { type Fields, fieldsOf, itemsOf, labelsOf, listOf, selectorText } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const accessLogDisabled: AuditRule = {
  id: "BW0861",
  title: "Access logs that are switched off for a part of the mesh",
  severity: "low",
  attacks: ["E3"],
  what: "An `accessLogging` entry of a Telemetry with `disabled: true`, for servers or for both sides, where no other entry of the same Telemetry asks for logs: for the mesh (root namespace), a namespace, or what it selects; `medium` in a namespace that is labelled sensitive. An entry that names no provider switches off the mesh's default ones, or those of the root namespace's Telemetry: where there are none it switches off nothing (`accessLogFile` stays), and is not told. Entries for clients alone are not told: the server's proxy still writes.",
  why: "What is done there leaves no trace, though the mesh's configuration says that access is logged: who looks afterwards finds nothing, and does not know that there should have been something.",
  fix: "Take the entry away; to have less written use a `filter` (`response.code >= 400 || connection.mtls == false`).",
  claims: ["access-logged"],
  check: silenced,
};

function* silenced(audit: AuditContext): Iterable<Hit> {
  const { rootNamespace } = audit.mesh.config;
  const telemetries = audit.every("telemetry.istio.io", "Telemetry");
  const root = telemetries.filter(({ namespace }) => namespace === rootNamespace);
  const isNamed = hasDefaults(audit) || root.some(asksByName);
  for (const resource of telemetries) {
    const { accessLogging } = fieldsOf(resource.spec);
    const entries = [...itemsOf(accessLogging)].filter(([, entry]) => isForServers(entry));
    const off = entries.find(
      ([, { disabled, providers }]) => disabled === true && (isNamed || listOf(providers).length > 0),
    );
    if (off === undefined || entries.some(([, { disabled }]) => disabled !== true)) continue;
    const isSensitive = audit.fact(sensitiveNamespaces).has(resource.namespace);
    yield {
      resource,
      path: ["spec", "accessLogging", off[0], "disabled"],
      ...(isSensitive ? { severity: "medium" as const } : {}),
      title: `no access is logged for ${scopeOf(resource, rootNamespace)}`,
    };
  }
}

function hasDefaults({ mesh }: AuditContext): boolean {
  return listOf(fieldsOf(mesh.config.raw.defaultProviders).accessLogging).length > 0;
}

function asksByName({ spec }: Resource): boolean {
  return [...itemsOf(fieldsOf(spec).accessLogging)].some(([, { providers }]) => listOf(providers).length > 0);
}

function isForServers({ match }: Fields): boolean {
  return fieldsOf(match).mode !== "CLIENT";
}

function scopeOf({ namespace, spec }: Resource, rootNamespace: string): string {
  const { selector, targetRef, targetRefs } = fieldsOf(spec);
  const labels = labelsOf(fieldsOf(selector).matchLabels);
  if (Object.keys(labels).length > 0) return `\`${selectorText(labels)}\` of \`${namespace}\``;
  const [target] = [...listOf(targetRefs), targetRef].map(fieldsOf).filter(({ name }) => name !== undefined);
  if (target !== undefined) return `${String(target.kind)} \`${namespace}/${String(target.name)}\``;
  return namespace === rootNamespace ? "the whole mesh" : `namespace \`${namespace}\``;
}
