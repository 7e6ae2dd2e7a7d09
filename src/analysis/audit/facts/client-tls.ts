/** How DestinationRules verify the servers that they encrypt to. */
import type { Resource } from "../../../resources/resource.ts";
import type { Hit } from "../finding.ts";
import { type Fields, fieldsOf, textOf } from "./written.ts";

const ENCRYPTING = new Set(["SIMPLE", "MUTUAL"]);

/** TLS to outside of the mesh without a CA of one's own. @param tls ClientTLSSettings of the DestinationRule `resource` */
export function isUnverified(tls: Fields, resource: Resource): boolean {
  const { mode, caCertificates, credentialName } = tls;
  if (skipsVerification(tls)) return true;
  if (!ENCRYPTING.has(textOf(mode)) || textOf(caCertificates) !== "") return false;
  const isSelective = fieldsOf(resource.spec).workloadSelector !== undefined;
  return textOf(credentialName) === "" || !isSelective;
}

/** Whether any certificate is taken, whatever CA is named beside it. */
export function skipsVerification({ mode, insecureSkipVerify }: Fields): boolean {
  return ENCRYPTING.has(textOf(mode)) && insecureSkipVerify === true;
}

/** What to say of TLS that is unverified, at `host`; high where nobody is verified at all. */
export function unverifiedText(tls: Fields, host: string): Pick<Hit, "title" | "severity" | "why" | "fix"> {
  const mode = textOf(tls.mode);
  if (!skipsVerification(tls))
    return { title: `${host} is called by TLS of mode ${mode} without \`caCertificates\`` };
  return {
    title: `${host} is called by TLS of mode ${mode} with \`insecureSkipVerify\``,
    severity: "high",
    why: "Any certificate is taken, of any CA or of none: somebody on the way reads and changes everything, and both ends look secure.",
    fix: "Take `insecureSkipVerify` away, and name the CA in `caCertificates` and the server's names in `subjectAltNames`.",
  };
}
