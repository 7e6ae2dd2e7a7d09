/** How DestinationRules verify the servers that they encrypt to. */
import type { Resource } from "../../../resources/resource.ts";
import { type Fields, fieldsOf, textOf } from "./written.ts";

const ENCRYPTING = new Set(["SIMPLE", "MUTUAL"]);

/** TLS to outside of the mesh without a CA of one's own. @param tls ClientTLSSettings of the DestinationRule `resource` */
export function isUnverified({ mode, caCertificates, credentialName }: Fields, resource: Resource): boolean {
  if (!ENCRYPTING.has(textOf(mode)) || textOf(caCertificates) !== "") return false;
  const isSelective = fieldsOf(resource.spec).workloadSelector !== undefined;
  return textOf(credentialName) === "" || !isSelective;
}
