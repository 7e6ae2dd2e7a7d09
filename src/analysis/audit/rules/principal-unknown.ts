import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const principalUnknown: AuditRule = {
  id: "BW0302",
  title: "A policy that names an account that is not there",
  severity: "low",
  same: { kiali: "KIA0106" },
  attacks: ["E4"],
  what: "`principals` of an AuthorizationPolicy, without `*`, of the mesh's trust domain or one of its aliases, whose account neither a ServiceAccount nor a workload of the files has, in a namespace of which the files have workloads or accounts. Where the trust domain is neither the mesh's nor one of a federation (`KIA0108`) no workload of the mesh can have the name at all.",
  why: "An ALLOW grants to nobody, and a DENY keeps nobody out; whoever may create an account of that name in that namespace gets what was granted to it.",
  fix: "Mend the name, or take it out of the policy.",
  claims: ["configuration-in-force"],
  check: unknown,
};

function* unknown(audit: AuditContext): Iterable<Hit> {
  const { accounts, namespaces } = audit.fact(knownAccounts);
  const { trustDomain, trustDomainAliases, federatedTrustDomains } = audit.mesh.config;
  const own = new Set([trustDomain, "cluster.local", ...trustDomainAliases]);
  for (const resource of audit.of("security.istio.io", "AuthorizationPolicy"))
    for (const [rule, { from }] of itemsOf(fieldsOf(resource.spec).rules))
      for (const [place, { source }] of itemsOf(from))
        for (const [index, principal] of textsOf(fieldsOf(source).principals).entries()) {
          const parts = /^([^/*]+)\/ns\/([^/*]+)\/sa\/([^/*]+)$/.exec(principal);
          if (parts === null) continue;
          const [, domain = "", namespace = "", account = ""] = parts;
          const path = ["spec", "rules", rule, "from", place, "source", "principals", index];
          if (!own.has(domain)) {
            if (!federatedTrustDomains.includes(domain))
              yield {
                resource,
                path,
                kiali: "KIA0108",
                title: `\`${domain}\` is no trust domain of this mesh`,
              };
          } else if (namespaces.has(namespace) && !accounts.has(`${namespace}/${account}`))
            yield { resource, path, title: `there is no account \`${account}\` in \`${namespace}\`` };
        }
}

function knownAccounts(audit: AuditContext): {
  readonly accounts: ReadonlySet<string>;
  readonly namespaces: ReadonlySet<string>;
} {
  const made = audit.of("", "ServiceAccount").map(({ namespace, name }) => ({ namespace, account: name }));
  const run = audit.mesh.workloads.map(({ namespace, serviceAccount }) => ({
    namespace,
    account: serviceAccount,
  }));
  const all = [...made, ...run];
  return {
    accounts: new Set(all.map(({ namespace, account }) => `${namespace}/${account}`)),
    namespaces: new Set(all.map(({ namespace }) => namespace)),
  };
}
