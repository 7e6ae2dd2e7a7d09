import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const wasmUntrusted: AuditRule = {
  id: "BW0841",
  title: "Code for proxies that comes from anywhere, or is left out when it fails",
  severity: "medium",
  attacks: ["C3"],
  what: "WasmPlugins whose `url` is `http://` (`high`), or names no digest (`oci://` without `@sha256:`, `https://` without `sha256`); and (`high`) those of phase AUTHN or AUTHZ with `failStrategy` FAIL_OPEN. `file://` is of the proxy's own image, and not told.",
  why: "The code sees every request of the pods in clear, and may change it: whoever serves it is in all of them. A plugin that decides who gets in, and fails open, lets everybody in whenever it cannot be fetched.",
  fix: "Name the digest (`oci://registry/path@sha256:…`, or `sha256`); leave `failStrategy` at FAIL_CLOSE for what decides.",
  claims: ["images-pinned", "policies-hold"],
  check: untrusted,
};

const DECIDING = new Set(["AUTHN", "AUTHZ"]);

function* untrusted(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("extensions.istio.io", "WasmPlugin")) {
    const { url: written, sha256, failStrategy, phase } = fieldsOf(resource.spec);
    const url = textOf(written);
    const path = ["spec", "url"];
    if (/^http:/i.test(url))
      yield { resource, path, severity: "high", title: `\`${url}\` is fetched in clear` };
    else if (!/^file:/i.test(url) && textOf(sha256) === "" && !url.includes("@sha256:"))
      yield { resource, path, title: `\`${url}\` is without a digest: whatever was pushed last` };
    if (failStrategy === "FAIL_OPEN" && DECIDING.has(textOf(phase)))
      yield {
        resource,
        path: ["spec", "failStrategy"],
        severity: "high",
        title: `phase ${textOf(phase)}, and requests pass when it fails`,
      };
  }
}
