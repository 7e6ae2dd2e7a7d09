import { controlsOf, type Framework } from "../framework.ts";

export const cis: Framework = {
  name: "cis",
  label: "CIS Kubernetes 1.12",
  title: "CIS Kubernetes Benchmark 1.12",
  scope:
    "Policies that manifests show. There is no CIS benchmark for Istio. An AuthorizationPolicy is no NetworkPolicy: 5.3.2 rests on NetworkPolicies alone.",
  controls: controlsOf(`
1 to 4 | Components of Kubernetes run with their defences | components-hardened | files' permissions, what configuration files say; single numbers stand in the findings
5.1.1 | cluster-admin only where it is needed | rights-of-all | bindings of the live cluster | whole
5.1.2 | Few may read Secrets | rights-over-secrets | bindings of the live cluster | whole
5.1.3 | Roles have no wildcards | rights-named | roles of the live cluster | whole
5.1.4 | Few may create pods | rights-over-pods | bindings of the live cluster | whole
5.1.5 | Default service accounts are not used | own-accounts | that the default accounts of all namespaces mount no token and have no rights
5.1.6 | Tokens are mounted where they are needed alone | tokens-needed | what applications do with them
5.1.8 | Few may bind, impersonate and escalate | rights-of-escalation | bindings of the live cluster | whole
5.1.9 | Few may create PersistentVolumes | rights-over-volumes | bindings of the live cluster
5.1.10 | Few may use nodes/proxy | rights-over-nodes | bindings of the live cluster | whole
5.1.11 | Few may approve certificates | rights-over-certificates | bindings of the live cluster | whole
5.1.12 | Few may write webhook configurations | rights-over-webhooks | bindings of the live cluster | whole
5.1.13 | Few may create tokens of accounts | rights-over-tokens | bindings of the live cluster | whole
5.2.1 | Some control of pods is active | admission-held | admission of the live cluster | whole
5.2.2 | Containers are not privileged | pods-unprivileged admission-held | admission of the live cluster | whole
5.2.3 | Pods do not share the processes of nodes | host-pid-unused admission-held | admission of the live cluster | whole
5.2.4 | Pods do not share the memory of nodes | host-ipc-unused admission-held | admission of the live cluster | whole
5.2.5 | Pods are not on the network of nodes | host-network-unused admission-held | admission of the live cluster | whole
5.2.6 | Containers cannot gain rights | pods-restricted admission-restricted | admission of the live cluster | whole
5.2.7 | Containers do not run as root | pods-restricted admission-restricted | admission of the live cluster | whole
5.2.8 | Containers do without NET_RAW | net-raw-dropped admission-restricted | admission of the live cluster | whole
5.2.9 | Containers have few capabilities | capabilities-dropped admission-restricted | admission of the live cluster | whole
5.2.10 | Containers are no processes of Windows nodes | host-process-unused admission-held | admission of the live cluster | whole
5.2.11 | Pods do not mount folders of nodes | host-paths-unused admission-held | admission of the live cluster | whole
5.2.12 | Containers do not open ports of nodes | host-ports-unused admission-held | admission of the live cluster | whole
5.3.2 | All namespaces have NetworkPolicies | network-segmented | whether the network enforces them | whole
5.4.1 | Secrets are files rather than environment | secrets-as-files | what applications do with them | whole
5.5.1 | Where images come from is controlled | images-signed images-pinned | that an admission plugin asks for it
5.6.2 | Pods have a seccomp profile | seccomp-set admission-restricted | what the profile allows | whole
5.6.4 | The namespace \`default\` is not used | default-namespace-unused | what is only in the live cluster | whole
`),
};
