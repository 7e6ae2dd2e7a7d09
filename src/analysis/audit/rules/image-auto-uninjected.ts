import type { AuditContext } from "../audit-context.ts";
import { injectorWebhooks, isWebhooked } from "../facts/injector-webhooks.ts";
import { containersOf, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const imageAutoUninjected: AuditRule = {
  id: "BW0146",
  title: "A proxy whose image the injector is to fill in, where no injector does",
  severity: "medium",
  same: { istio: "IST0146" },
  attacks: ["M12"],
  what: "A Deployment with a container `istio-proxy` of image `auto`, which no MutatingWebhookConfiguration in the files (webhooks whose names end in `istio.io`) takes, by its selectors of namespaces and objects. `info` where the files have no such configuration at all, or not the Namespace.",
  why: "`auto` is no image: the pods never start, or, with an image of that name in the registry, run somebody else's proxy.",
  fix: "Label the namespace or the template so that the injector takes it, or name the proxy's image.",
  claims: ["captured"],
  check: unfilled,
};

function* unfilled(audit: AuditContext): Iterable<Hit> {
  const hasWebhooks = audit.fact(injectorWebhooks).length > 0;
  const written = new Set(audit.every("", "Namespace").map(({ name }) => name));
  for (const pod of audit.fact(podsOf)) {
    const { resource, namespace, labels } = pod;
    if (resource.kind !== "Deployment" || isWebhooked(audit, namespace, labels)) continue;
    const proxy = containersOf(pod).find(
      ({ name, role }) => name === PROXY_CONTAINER && role === "containers",
    );
    if (proxy?.image === "auto")
      yield {
        resource,
        path: [...proxy.path, "image"],
        ...(hasWebhooks && written.has(namespace)
          ? { title: "image `auto` is left as it is: no injector takes its pods" }
          : {
              severity: "info" as const,
              title: `image \`auto\` is left as it is, unless an injector takes its pods: the files have ${hasWebhooks ? `no Namespace \`${namespace}\`` : "no injector's webhook"}`,
            }),
      };
  }
}
