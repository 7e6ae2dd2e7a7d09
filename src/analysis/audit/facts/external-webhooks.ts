/** Where Istio's webhooks lead. */
import ipaddr from "ipaddr.js";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf } from "./written.ts";

export interface ExternalWebhook {
  readonly resource: Resource;
  readonly path: FieldPath;
  readonly webhook: string;
  readonly url: string;
  readonly endpoint: "blank" | "malformed" | "address" | "name" | "service";
}

export function externalWebhooks(audit: AuditContext): readonly ExternalWebhook[] {
  const validating = audit
    .every("admissionregistration.k8s.io", "ValidatingWebhookConfiguration")
    .filter(({ name }) => name === "istiod-default-validator" || name.startsWith("istio-validator"));
  const mutating = audit
    .every("admissionregistration.k8s.io", "MutatingWebhookConfiguration")
    .filter(({ name }) => name.startsWith("istio-sidecar-injector"));
  return [...validating, ...mutating].flatMap((resource) =>
    [...itemsOf(resource.body.webhooks)].map(([index, { name, clientConfig }]) => {
      const { url, service } = fieldsOf(clientConfig);
      const endpoint =
        url === undefined ? (service === undefined ? "blank" : "service") : endpointOf(textOf(url));
      return {
        resource,
        path: ["webhooks", index, "clientConfig"],
        webhook: textOf(name),
        url: textOf(url),
        endpoint,
      };
    }),
  );
}

function endpointOf(url: string): ExternalWebhook["endpoint"] {
  // A host may hold what URL refuses and Go takes (`_`): only what is no URL at all is malformed.
  const [, host] = /^[a-z][a-z0-9+.-]*:\/\/(\[[^\]]*\]|[^/:?#[\]]*)(?::\d*)?(?:[/?#]|$)/i.exec(url) ?? [];
  if (host === undefined || /[\s%](?![0-9a-f]{2})/i.test(url)) return "malformed";
  return ipaddr.isValid(host.replace(/^\[|\]$/g, "")) ? "address" : "name";
}
