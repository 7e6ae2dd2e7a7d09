import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const methodUnknown: AuditRule = {
  id: "BW0305",
  title: "A method in a policy that HTTP does not have",
  severity: "medium",
  same: { kiali: "KIA0102" },
  attacks: ["M6"],
  what:
    "Entries of `methods` and `notMethods` of AuthorizationPolicies that are none of the methods of RFC 9110 (with PATCH), and patterns (`PO*`, `*T`) that none of them fits. Methods in lower case, which never match, are told by the loader (`BW1322`), and by Kiali not at all; " +
    "methods of extensions (WebDAV's PROPFIND …) are told as `info`: servers may know them.",
  why: "The rule is not what it looks like: a DENY with `DELTE` keeps no DELETE out, an ALLOW with it as `notMethods` lets it in. gRPC names its calls by path; its method is always POST.",
  fix: "Mend the method; write the name of a gRPC call into `paths`.",
  claims: ["policies-hold"],
  check: unknown,
};

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"] as const;
/** Registered with IANA by RFC 3253, 3648, 3744, 4791, 4918, 5323 and 5842. */
const EXTENSIONS: ReadonlySet<string> = new Set(
  "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PRI PROPFIND PROPPATCH QUERY REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL".split(
    " ",
  ),
);

function* unknown(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("security.istio.io", "AuthorizationPolicy"))
    for (const [rule, { to }] of itemsOf(fieldsOf(resource.spec).rules))
      for (const [place, { operation }] of itemsOf(to))
        for (const list of ["methods", "notMethods"])
          for (const [index, method] of textsOf(fieldsOf(operation)[list]).entries())
            if (!isMethod(method.trim().toUpperCase()))
              yield {
                resource,
                path: ["spec", "rules", rule, "to", place, "operation", list, index],
                title: `\`${method}\` is no method of HTTP`,
                ...(EXTENSIONS.has(method) ? { severity: "info" as const } : {}),
                ...(method.startsWith("/")
                  ? { title: `\`${method}\` is a path, and stands where methods do` }
                  : {}),
              };
}

/** With a pattern's one star. */
function isMethod(written: string): boolean {
  if (written === "*") return true;
  if (written.startsWith("*")) return METHODS.some((one) => one.endsWith(written.slice(1)));
  if (written.endsWith("*")) return METHODS.some((one) => one.startsWith(written.slice(0, -1)));
  return METHODS.some((one) => one === written);
}
