import { load } from "js-yaml";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { isOldTls, isWeakSuite } from "../facts/tls-strength.ts";
import { type Fields, fieldsOf, textOf, textsOf } from "../facts/written.ts";
import type { FindingSeverity, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const kubeletConfiguration: AuditRule = {
  id: "BW0531",
  title: "Kubelets that answer whoever asks",
  severity: "high",
  attacks: ["C1", "C6"],
  what: "KubeletConfigurations among the files, in the ConfigMap `kubelet-config` of `kube-system` or by themselves: anonymous requests taken (4.2.1), `authorization.mode: AlwaysAllow` (4.2.2, `critical`), a read-only port (4.2.4), no CA for clients where webhooks verify no tokens (4.2.3), certificates that are not renewed (4.2.10), suites that are weak (4.2.12), TLS before 1.2, and pods that are fetched in clear (`staticPodURL`). Numbers are of the CIS Kubernetes Benchmark 1.12; what is not written has the default of the configuration file, which is safe.",
  why: "The kubelet runs commands in every pod of its node and shows their environments: whoever it answers has their keys and identities, and neither the mesh nor the API server sees it.",
  fix: "`authentication: {anonymous: {enabled: false}, webhook: {enabled: true}}`, `authorization: {mode: Webhook}`, `readOnlyPort: 0`.",
  claims: ["components-hardened"],
  check: answering,
};

interface Check {
  /** As the benchmark numbers it; empty where it does not. */
  readonly id: string;
  readonly path: FieldPath;
  readonly text: string;
  readonly severity: FindingSeverity;
}

function* answering(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("kubelet.config.k8s.io", "KubeletConfiguration"))
    for (const { id, path, text, severity } of broken(fieldsOf(resource.body)))
      yield { resource, path, severity, title: titled(text, id) };
  for (const resource of audit.every("", "ConfigMap")) {
    if (resource.namespace !== "kube-system" || !resource.name.startsWith("kubelet-config")) continue;
    for (const { id, text, severity } of broken(configurationIn(resource)))
      yield { resource, path: ["data", "kubelet"], severity, title: titled(text, id) };
  }
}

function titled(text: string, id: string): string {
  return id === "" ? text : `${text} (CIS ${id})`;
}

function configurationIn({ body }: Resource): Fields {
  try {
    return fieldsOf(load(textOf(fieldsOf(body.data).kubelet)));
  } catch {
    return {};
  }
}

function* broken(configuration: Fields): Iterable<Check> {
  yield* open(configuration);
  yield* weak(configuration);
}

function* open({ authentication, authorization, readOnlyPort, staticPodURL }: Fields): Iterable<Check> {
  const { anonymous, webhook, x509 } = fieldsOf(authentication);
  if (fieldsOf(anonymous).enabled === true)
    yield {
      id: "4.2.1",
      path: ["authentication", "anonymous", "enabled"],
      text: "whoever has no name is let in",
      severity: "high",
    };
  if (fieldsOf(authorization).mode === "AlwaysAllow")
    yield {
      id: "4.2.2",
      path: ["authorization", "mode"],
      text: "`AlwaysAllow`: whoever is let in may do everything",
      severity: "critical",
    };
  if (fieldsOf(webhook).enabled === false && textOf(fieldsOf(x509).clientCAFile) === "")
    yield {
      id: "4.2.3",
      path: ["authentication"],
      text: "neither tokens nor certificates of clients are verified",
      severity: "high",
    };
  if (typeof readOnlyPort === "number" && readOnlyPort !== 0)
    yield {
      id: "4.2.4",
      path: ["readOnlyPort"],
      text: `port ${readOnlyPort} shows pods and their metrics to whoever asks`,
      severity: "high",
    };
  if (textOf(staticPodURL).startsWith("http://"))
    yield {
      id: "",
      path: ["staticPodURL"],
      text: "pods are fetched in clear: whoever answers makes pods on the node",
      severity: "high",
    };
}

function* weak({ rotateCertificates, tlsCipherSuites, tlsMinVersion }: Fields): Iterable<Check> {
  if (textsOf(tlsCipherSuites).some(isWeakSuite))
    yield {
      id: "4.2.12",
      path: ["tlsCipherSuites"],
      text: "a suite without forward secrecy, or one that can be broken, is taken",
      severity: "low",
    };
  if (isOldTls(textOf(tlsMinVersion)))
    yield { id: "", path: ["tlsMinVersion"], text: "TLS before 1.2 is taken", severity: "medium" };
  if (rotateCertificates === false)
    yield {
      id: "4.2.10",
      path: ["rotateCertificates"],
      text: "the kubelet's certificate is not renewed",
      severity: "low",
    };
}
