import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, listOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const encryptionConfiguration: AuditRule = {
  id: "BW0532",
  title: "Secrets that etcd keeps in clear, or a key that stands in a file",
  severity: "high",
  attacks: ["C6"],
  what: "EncryptionConfigurations among the files (1.2.28 of the CIS Kubernetes Benchmark 1.12): Secrets of which the API server writes new ones by `identity`, the first provider of the first entry that names them, or by none, as no entry names them; `medium` for a provider with its keys in the file (`aescbc`, `aesgcm`, `secretbox`), where the file is among those that are audited. Whether the API server is given the file is BW0530.",
  why: "Whoever reads etcd, its disk or a backup of it has all Secrets: keys of gateways, tokens of accounts, and the mesh's own CA. A key beside manifests is in the history of the repository for good.",
  fix: "Write `secrets` under a `kms` provider first, with `identity: {}` last only until all Secrets have been written again. Keep the file on the API servers alone.",
  claims: ["components-hardened"],
  check: inClear,
};

const WITH_KEYS = ["aescbc", "aesgcm", "secretbox"];
/** As the API server matches resources: `*.` is all of the core group. */
const SECRETS: ReadonlySet<string> = new Set(["secrets", "*.", "*.*"]);

function* inClear(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("apiserver.config.k8s.io", "EncryptionConfiguration")) {
    const entries = [...itemsOf(resource.body.resources)];
    const mine = entries.find(([, { resources }]) => textsOf(resources).some((one) => SECRETS.has(one)));
    if (mine === undefined)
      yield {
        resource,
        path: ["resources"],
        title: "no entry names `secrets`: etcd keeps them in clear (CIS 1.2.28)",
      };
    else yield* firstProvider(resource, mine[0], listOf(mine[1].providers)[0]);
    for (const [index, { providers }] of entries) yield* writtenKeys(resource, index, providers);
  }
}

function* firstProvider(resource: Resource, index: number, provider: unknown): Iterable<Hit> {
  if (!Object.hasOwn(fieldsOf(provider), "identity")) return;
  yield {
    resource,
    path: ["resources", index, "providers", 0],
    title: "new Secrets are written by `identity`, which is in clear (CIS 1.2.28)",
  };
}

/** Keys are named by their name alone. */
function* writtenKeys(resource: Resource, index: number, providers: unknown): Iterable<Hit> {
  for (const [at, provider] of itemsOf(providers))
    for (const type of WITH_KEYS)
      for (const [number, { name, secret }] of itemsOf(fieldsOf(provider[type]).keys)) {
        if (textOf(secret) === "") continue;
        const path: FieldPath = ["resources", index, "providers", at, type, "keys", number];
        yield {
          resource,
          path,
          severity: "medium",
          title: `the key \`${textOf(name)}\` of \`${type}\` stands in this file`,
        };
      }
}
