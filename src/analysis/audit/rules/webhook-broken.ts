import type { AuditContext } from "../audit-context.ts";
import { webhookOverlaps, webhooksWithoutService } from "../facts/injector-overlaps.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const webhookBroken: AuditRule = {
  id: "BW0139",
  title: "Injectors that two take the same pod, or that nobody answers for",
  severity: "high",
  same: { istio: "IST0139" },
  attacks: ["M12"],
  what: "Webhooks of MutatingWebhookConfigurations of Istio (a revision label, or names that end in `istio.io`) that take the same pods, by the labels of namespaces and pods that their selectors can tell apart; and such whose Service is in none of the files.",
  why: "Two injectors give a pod the proxy of one and the configuration of the other; an injector whose Service is gone lets pods start without a proxy, or not at all, by its `failurePolicy`.",
  fix: "Let one revision be the default (`istioctl tag set default`), and remove webhooks of revisions that are gone.",
  claims: ["captured"],
  check: broken,
};

function* broken(audit: AuditContext): Iterable<Hit> {
  for (const { webhook, resource, others } of audit.fact(webhookOverlaps))
    yield {
      resource,
      title: `webhook \`${webhook}\` takes the same pods as ${others.map((name) => `\`${name}\``).join(", ")}`,
    };
  for (const { webhook, resource, service } of audit.fact(webhooksWithoutService))
    yield { resource, title: `webhook \`${webhook}\` asks Service \`${service}\`, which is not there` };
}
