import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, listOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const accessLogOff: AuditRule = {
  id: "BW0862",
  title: "A mesh that writes no access log",
  severity: "low",
  attacks: ["E3"],
  what: "A mesh whose configuration is among the files and has neither `accessLogFile`, nor an access log service (`enableEnvoyAccessLogService`), nor `defaultProviders.accessLogging`, where no Telemetry asks for access logs either. A log of some namespaces alone is taken to be meant.",
  why: "Nobody can say afterwards who called what: an attack leaves no trace in the mesh.",
  fix: "Set `defaultProviders: {accessLogging: [envoy]}`, or a Telemetry with `accessLogging` in the root namespace, and collect what is written.",
  claims: ["access-logged"],
  check: unlogged,
};

function* unlogged(audit: AuditContext): Iterable<Hit> {
  const { raw, rootNamespace } = audit.mesh.config;
  const config = audit
    .of("", "ConfigMap")
    .find(({ name, namespace }) => name === "istio" && namespace === rootNamespace);
  if (config === undefined || !audit.mesh.workloads.some(({ dataplane }) => dataplane !== "none")) return;
  const isWritten = textOf(raw.accessLogFile) !== "" || raw.enableEnvoyAccessLogService === true;
  const isProvided = listOf(fieldsOf(raw.defaultProviders).accessLogging).length > 0;
  const isAsked = audit
    .of("telemetry.istio.io", "Telemetry")
    .some(({ spec }) =>
      [...itemsOf(fieldsOf(spec).accessLogging)].some(
        ([, { disabled, providers }]) => disabled !== true && listOf(providers).length > 0,
      ),
    );
  if (!isWritten && !isProvided && !isAsked)
    yield { resource: config, path: ["data", "mesh"], title: "no proxy writes down who called what" };
}
