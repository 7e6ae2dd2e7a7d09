import { apiGroup } from "../scope.ts";
import { type Field, quoted } from "./field.ts";
import { checkLabels } from "./labels.ts";

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
/** What becomes one part of a path: RBAC allows `system:node` and the like. */
const PATH_SEGMENT = /^(?!\.{1,2}$)[^/%]+$/;
/** Kinds whose name is a label of DNS. */
const NAMED_BY_LABEL: ReadonlySet<string> = new Set(["Namespace", "Service"]);

/**
 * Names as the API server takes them. Identities are put together from them (`…/ns/NAMESPACE/sa/ACCOUNT`), so nothing that
 * could pass for another name, such as one with a slash, may come in.
 */
export function checkMetadata(root: Field, apiVersion: string, kind: string): void {
  const metadata = root.at("metadata");
  const name = metadata.at("name");
  const namespace = metadata.at("namespace");
  const isRbac = apiGroup(apiVersion) === "rbac.authorization.k8s.io";
  const pattern = isRbac ? PATH_SEGMENT : NAMED_BY_LABEL.has(kind) ? LABEL : SUBDOMAIN;
  if (!fits(name.text, pattern, pattern === LABEL ? 63 : 253)) badName(name, `no ${kind} can have`);
  if (namespace.present && !fits(namespace.text, LABEL, 63)) badName(namespace, "no namespace can have");
  checkLabels(metadata.at("labels"));
  for (const template of POD_SPECS[kind] ?? []) {
    for (const key of ["serviceAccountName", "serviceAccount"]) {
      const account = root.at(...template, key);
      if (account.text !== "" && !fits(account.text, SUBDOMAIN, 253))
        badName(account, "no service account can have");
    }
  }
}

/** The name of a service account, where one is given. */
export function checkAccountName(account: Field): void {
  if (account.text === "" || fits(account.text, SUBDOMAIN, 253)) return;
  badName(account, "no service account can have");
}

const TEMPLATE: readonly (readonly string[])[] = [["spec", "template", "spec"]];
const POD_SPECS: Readonly<Record<string, readonly (readonly string[])[]>> = Object.assign(
  Object.create(null),
  {
    Pod: [["spec"]],
    Deployment: TEMPLATE,
    StatefulSet: TEMPLATE,
    DaemonSet: TEMPLATE,
    ReplicaSet: TEMPLATE,
    Job: TEMPLATE,
    CronJob: [["spec", "jobTemplate", "spec", "template", "spec"]],
  },
);

function fits(text: string, pattern: RegExp, maxLength: number): boolean {
  return text.length <= maxLength && pattern.test(text);
}

function badName(field: Field, who: string): void {
  field.error(
    "BW1109_BAD_NAME",
    `\`${field.name}\` is ${quoted(field.value)}, a name that ${who}`,
    "lower-case letters, digits and `-`, beginning and ending in a letter or digit",
  );
}
