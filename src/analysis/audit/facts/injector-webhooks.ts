/** Which pods the injector's webhooks take. */
import type { Labels } from "../../../model/mesh.ts";
import type { AuditContext } from "../audit-context.ts";
import { type Fields, fieldsOf, itemsOf, labelsOf, textOf, textsOf } from "./written.ts";

/** Of every MutatingWebhookConfiguration, the webhooks whose names end in `istio.io`. */
export function injectorWebhooks(audit: AuditContext): readonly Fields[] {
  return audit
    .every("admissionregistration.k8s.io", "MutatingWebhookConfiguration")
    .flatMap(({ body }) => [...itemsOf(body.webhooks)].map(([, webhook]) => webhook))
    .filter(({ name }) => textOf(name).endsWith("istio.io"));
}

export function isWebhooked(audit: AuditContext, namespace: string, pod: Labels): boolean {
  const labels = audit.every("", "Namespace").find(({ name }) => name === namespace)?.labels ?? {};
  return audit
    .fact(injectorWebhooks)
    .some(
      ({ namespaceSelector, objectSelector }) =>
        isSelected(namespaceSelector, labels) && isSelected(objectSelector, pod),
    );
}

/** A LabelSelector of Kubernetes; without one everything is selected. */
export function isSelected(selector: unknown, labels: Labels): boolean {
  const { matchLabels, matchExpressions } = fieldsOf(selector);
  const equal = Object.entries(labelsOf(matchLabels)).every(([key, value]) => labels[key] === value);
  return equal && [...itemsOf(matchExpressions)].every(([, expression]) => holds(expression, labels));
}

function holds({ key, operator, values }: Fields, labels: Labels): boolean {
  const value = labels[textOf(key)];
  const among = value !== undefined && textsOf(values).includes(value);
  if (operator === "In") return among;
  if (operator === "NotIn") return !among;
  return operator === "Exists" ? value !== undefined : operator === "DoesNotExist" && value === undefined;
}
