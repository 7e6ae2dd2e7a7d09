/** Certificates in the Secrets of the files, and the servers of gateways that serve with them. */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext, CertificateFacts } from "../audit-context.ts";
import { secretData } from "./credentials.ts";
import { gatewaysWithPods } from "./gateway-pods.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "./written.ts";

export interface WrittenCertificate {
  readonly secret: Resource;
  /** Of the Secret's data. */
  readonly key: string;
  readonly facts: CertificateFacts;
  /** It signs the mesh's own certificates, or is what they are verified by. */
  readonly isMeshCa: boolean;
}

const KEYS = ["tls.crt", "cert", "ca-cert.pem", "root-cert.pem"] as const;
/** What istiod signs with: plugged in, or its own. */
const MESH_CA: ReadonlySet<string> = new Set(["cacerts", "istio-ca-secret"]);

/** Those that can be read. */
export function writtenCertificates(audit: AuditContext): readonly WrittenCertificate[] {
  const { readCertificate } = audit.settings;
  if (readCertificate === undefined)
    throw new Error("BUG: an audit of certificates without a reader of certificates");
  return audit.every("", "Secret").flatMap((secret) => {
    const data = secretData(secret);
    return KEYS.flatMap((key) => {
      const pem = data.get(key) ?? "";
      const facts = pem.includes("-----BEGIN CERTIFICATE-----") ? readCertificate(pem) : undefined;
      const isMeshCa =
        secret.namespace === audit.mesh.config.rootNamespace &&
        MESH_CA.has(secret.name) &&
        key.endsWith(".pem");
      return facts === undefined ? [] : [{ secret, key, facts, isMeshCa }];
    });
  });
}

export interface ServedCredential {
  readonly gateway: Resource;
  /** Of the field that names the Secret. */
  readonly path: FieldPath;
  /** `namespace/name` of the Secret. */
  readonly secret: string;
  /** Without the namespaces that may be written before them; empty where every name is served. */
  readonly hosts: readonly string[];
}

/** Of Gateways of both kinds. */
export function servedCredentials(audit: AuditContext): readonly ServedCredential[] {
  return [...istioServers(audit), ...listeners(audit)];
}

function* istioServers(audit: AuditContext): Iterable<ServedCredential> {
  for (const { resource, pods, servers } of audit.fact(gatewaysWithPods))
    for (const [index, { tls, hosts }] of servers.entries()) {
      const name = textOf(fieldsOf(tls).credentialName);
      const home = pods[0]?.namespace;
      if (name === "" || home === undefined) continue;
      yield {
        gateway: resource,
        path: ["spec", "servers", index, "tls", "credentialName"],
        secret: name.includes("/") ? name : `${home}/${name}`,
        hosts: textsOf(hosts).map((host) => host.slice(host.indexOf("/") + 1)),
      };
    }
}

function* listeners(audit: AuditContext): Iterable<ServedCredential> {
  for (const gateway of audit.every("gateway.networking.k8s.io", "Gateway"))
    for (const [index, { hostname, tls }] of itemsOf(fieldsOf(gateway.spec).listeners)) {
      // Of several the one that fits is served: whether one does is not asked here.
      const references = [...itemsOf(fieldsOf(tls).certificateRefs)];
      const [first] = references;
      if (first === undefined || references.length > 1) continue;
      const { name, namespace } = first[1];
      yield {
        gateway,
        path: ["spec", "listeners", index, "tls", "certificateRefs", 0],
        secret: `${textOf(namespace) || gateway.namespace}/${textOf(name)}`,
        hosts: textOf(hostname) === "" ? [] : [textOf(hostname)],
      };
    }
}

/** Whether clients that ask for the host take the certificate (RFC 9525: a wildcard stands for one label, at the left). */
export function isNamed({ names }: CertificateFacts, host: string): boolean {
  const wanted = host.toLowerCase();
  const dot = wanted.indexOf(".");
  return names.some((name) => {
    const own = name.toLowerCase();
    return own === wanted || (own.startsWith("*.") && dot > 0 && own.slice(1) === wanted.slice(dot));
  });
}
