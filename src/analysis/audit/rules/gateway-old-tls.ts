import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayOldTls: AuditRule = {
  id: "BW0836",
  title: "A Gateway that takes TLS of old",
  severity: "medium",
  attacks: ["M2"],
  what: "Servers of Gateways that end TLS with a `minProtocolVersion` of TLS 1.0 or 1.1 (RFC 8996), a `maxProtocolVersion` below 1.2, or `cipherSuites` without forward secrecy, with CBC and SHA-1, or with 3DES (RFC 9325, 4.1 and 4.2).",
  why: "Whoever records the traffic reads all of it once the key is lost; and who is on the way has clients that know better use what can be broken.",
  fix: "Leave `minProtocolVersion` at TLSV1_2, or set TLSV1_3; name suites of ECDHE with GCM or ChaCha20 alone, or none: Istio's defaults are such.",
  claims: ["gateway-tls"],
  check: oldTls,
};

const OLD = new Set(["TLSV1_0", "TLSV1_1"]);
const SOUND = /^ECDHE-.*(GCM|CHACHA20)/;

function* oldTls(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "Gateway"))
    for (const [index, { tls: written, port }] of itemsOf(fieldsOf(resource.spec).servers)) {
      const tls = fieldsOf(written);
      const at = `port ${String(fieldsOf(port).number)}`;
      if (/PASSTHROUGH$/.test(textOf(tls.mode)) || tls.mode === undefined) continue;
      for (const field of ["minProtocolVersion", "maxProtocolVersion"] as const)
        if (OLD.has(textOf(tls[field])))
          yield {
            resource,
            path: ["spec", "servers", index, "tls", field],
            title: `${at} ${field === "minProtocolVersion" ? "takes" : "takes no more than"} ${textOf(tls[field])}`,
          };
      const weak = textsOf(tls.cipherSuites).filter((suite) => !SOUND.test(nameOf(suite)));
      if (weak.length > 0)
        yield {
          resource,
          path: ["spec", "servers", index, "tls", "cipherSuites"],
          title: `${at} takes ${weak.map((suite) => `\`${suite}\``).join(", ")}`,
        };
    }
}

/** Equal preference is written `[A|B]`; suites of TLS 1.3, which are not chosen here, are sound. */
function nameOf(suite: string): string {
  return suite.startsWith("TLS_") ? "ECDHE-GCM" : suite.replace(/^\[|\]$/g, "").trim();
}
