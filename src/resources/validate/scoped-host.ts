import { type Field, quoted } from "./field.ts";
import { badHost, isDnsLabel, isIpAddress, wildcardNameProblem } from "./host-names.ts";

/** `namespace/host`; a Gateway may leave the namespace out. */
export function checkScopedHost(field: Field, where: "gateway" | "sidecar"): void {
  const slash = field.text.indexOf("/");
  if (slash < 0) {
    if (where === "gateway") checkHostPart(field, field.text, where);
    else badHost(field, "has no namespace: write `namespace/host`, `./host` or `*/host`");
    return;
  }
  const namespace = field.text.slice(0, slash);
  const host = field.text.slice(slash + 1);
  if (namespace === "" || host === "") {
    badHost(field, "has an empty part");
    return;
  }
  const scope = where === "sidecar" ? namespace.replace(/^~/, "") : namespace;
  const isKnown = scope === "*" || scope === "." || (where === "sidecar" && scope === "");
  if (!isKnown && !isDnsLabel(scope))
    badHost(field, `has the namespace ${quoted(namespace)}, which none can be`);
  checkHostPart(field, host, where);
}

function checkHostPart(field: Field, host: string, where: "gateway" | "sidecar"): void {
  const problem = wildcardNameProblem(host);
  if (problem !== undefined && (where === "sidecar" || !isIpAddress(host))) badHost(field, problem);
  else if (host !== "*" && !host.includes(".")) {
    badHost(field, "is a short name: write it in full, `name.namespace.svc.cluster.local`");
  } else if (host.includes("*") && host !== "*" && !host.startsWith("*.")) {
    badHost(field, "has a wildcard for a part of a label: write `*.example.com`");
  }
}
