/** Injectors' webhooks against each other, and against the Services that they name. */
import type { Labels } from "../../../model/mesh.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { isSelected } from "./injector-webhooks.ts";
import { type Fields, fieldsOf, itemsOf, labelsOf, textOf, textsOf } from "./written.ts";

const REVISION = "istio.io/rev";

interface Injector {
  readonly resource: Resource;
  /** `configuration/webhook`, unique. */
  readonly name: string;
  readonly webhook: Fields;
}

function injectors(audit: AuditContext): readonly Injector[] {
  return audit.every("admissionregistration.k8s.io", "MutatingWebhookConfiguration").flatMap((resource) => {
    const webhooks = [...itemsOf(resource.body.webhooks)].map(([, webhook]) => webhook);
    const isIstios = webhooks.some(({ name }) => textOf(name).endsWith("istio.io"));
    if (!isIstios && revisionsOf(resource, webhooks).length === 0) return [];
    return webhooks.map((webhook) => ({
      resource,
      webhook,
      name: `${resource.name}/${textOf(webhook.name)}`,
    }));
  });
}

function revisionsOf({ labels }: Resource, webhooks: readonly Fields[]): readonly string[] {
  const own = labels[REVISION];
  const selected = webhooks.flatMap(({ namespaceSelector, objectSelector }) =>
    [namespaceSelector, objectSelector].flatMap((selector) => {
      const { matchLabels, matchExpressions } = fieldsOf(selector);
      const equal = labelsOf(matchLabels)[REVISION];
      const among = [...itemsOf(matchExpressions)].flatMap(([, { key, values }]) =>
        key === REVISION ? textsOf(values) : [],
      );
      return equal === undefined ? among : [equal, ...among];
    }),
  );
  return own === undefined ? selected : [own, ...selected];
}

export interface WebhookOverlap {
  readonly webhook: string;
  readonly resource: Resource;
  readonly others: readonly string[];
}

/** Each webhook that takes pods of another, for some labels that selectors can tell apart. */
export function webhookOverlaps(audit: AuditContext): readonly WebhookOverlap[] {
  const all = audit.fact(injectors);
  const revisions = [...new Set(all.flatMap(({ resource, webhook }) => revisionsOf(resource, [webhook])))];
  const overlapping = new Map<Injector, Set<string>>();
  for (const namespace of variants("istio-injection", ["enabled", "disabled"], revisions))
    for (const pod of variants("sidecar.istio.io/inject", ["true", "false"], revisions)) {
      const taking = all.filter(
        ({ webhook }) =>
          isSelected(webhook.namespaceSelector, namespace) && isSelected(webhook.objectSelector, pod),
      );
      if (taking.length < 2) continue;
      for (const one of taking) {
        const others = overlapping.get(one) ?? new Set();
        for (const { name } of taking) if (name !== one.name) others.add(name);
        overlapping.set(one, others);
      }
    }
  return [...overlapping].map(([{ name, resource }, others]) => ({
    webhook: name,
    resource,
    others: [...others].sort(),
  }));
}

/** Labels with and without each value of the key, and each revision. */
function variants(key: string, values: readonly string[], revisions: readonly string[]): readonly Labels[] {
  const own: readonly Labels[] = [{}, ...values.map((value) => ({ [key]: value }))];
  return own.flatMap((labels) => [
    labels,
    ...revisions.map((revision) => ({ ...labels, [REVISION]: revision })),
  ]);
}

export interface LostWebhook {
  readonly webhook: string;
  readonly resource: Resource;
  readonly service: string;
}

export function webhooksWithoutService(audit: AuditContext): readonly LostWebhook[] {
  const services = new Set(audit.every("", "Service").map(({ namespace, name }) => `${namespace}/${name}`));
  return audit.fact(injectors).flatMap(({ name: webhook, resource, webhook: { clientConfig } }) => {
    const { service: named } = fieldsOf(clientConfig);
    if (named === undefined) return [];
    const { namespace, name } = fieldsOf(named);
    const service = `${textOf(namespace)}/${textOf(name)}`;
    return services.has(service) ? [] : [{ webhook, resource, service }];
  });
}
