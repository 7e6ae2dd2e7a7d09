import { type Field, quoted } from "./field.ts";
import { isDnsLabel } from "./host-names.ts";

/** Who may see a resource: `.`, `*`, or namespaces; a ServiceEntry may be hidden from all with `~`. */
export function checkExportTo(
  exportTo: Field,
  namespace: string,
  options: { readonly isServiceEntry?: boolean; readonly hasWorkloadSelector?: boolean } = {},
): void {
  const seen = new Set<string>();
  for (const entry of exportTo.items()) {
    const name = entry.text === "." ? namespace : entry.text;
    if (seen.has(name)) problem(entry, `${quoted(entry.text)} stands twice`);
    seen.add(name);
    if (name === "*" || (name === "~" && options.isServiceEntry === true)) continue;
    if (name === "~") problem(entry, "`~` (nobody) is for ServiceEntries only");
    else if (!isDnsLabel(name)) problem(entry, `${quoted(entry.text)} is no namespace`);
  }
  if (seen.size === 0) return;
  for (const alone of ["*", "~"]) {
    if (seen.has(alone) && exportTo.size > 1)
      problem(exportTo, `\`${alone}\` cannot stand beside other entries`);
  }
  if (options.hasWorkloadSelector !== true) return;
  if (!seen.has(namespace))
    problem(exportTo, "a rule with a workload selector reaches no further than its own namespace");
  else if (seen.size > 1)
    problem(exportTo, "a rule with a workload selector may be exported to one namespace, its own");
}

function problem(field: Field, message: string): void {
  field.error("BW1221_EXPORT_TO", message, "write `.` (this namespace), `*` (all), or names of namespaces");
}
