/** How each claim is judged: by a proof over all requests, by the rules of the audit that name it, or by fields that are written out. */
import { ANONYMOUS, EVERYBODY } from "../audit/facts/bound-rights.ts";
import { containersOf, podsOf } from "../audit/facts/pods.ts";
import { podsInMesh } from "../audit/facts/pods-in-mesh.ts";
import type { ClaimInput, Judge } from "./claim.ts";
import type { ClaimId } from "./claim-statements.ts";
import { byProof } from "./judges/by-proof.ts";
import { againstByRules, byRules } from "./judges/by-rules.ts";
import { componentsHardened, ofTheCluster } from "./judges/cluster.ts";
import {
  egressHeld,
  gatewayCertificates,
  gatewayTls,
  networkSegmented,
  serversVerified,
} from "./judges/networks.ts";
import {
  admissionHeld,
  ownAccounts,
  proxiesLeastPrivilege,
  rawPacketsDropped,
  withoutControls,
} from "./judges/pods.ts";
import { accessLogged, imagesPinned, imagesSigned, versionsCurrent } from "./judges/records.ts";
import { withoutRights } from "./judges/rights.ts";

const RBAC = "rbac.authorization.k8s.io";

const policies = ({ audit }: ClaimInput): number => audit.mesh.authorizationPolicies.length;
const containers = ({ audit }: ClaimInput): number =>
  audit.fact(podsOf).reduce((sum, pod) => sum + containersOf(pod).length, 0);
const meshPods = ({ audit }: ClaimInput): number => [...audit.fact(podsInMesh).values()].flat().length;
const gateways = ({ audit }: ClaimInput): number => audit.of("networking.istio.io", "Gateway").length;
const roles = ({ audit }: ClaimInput): number =>
  audit.of(RBAC, "ClusterRole").length + audit.of(RBAC, "Role").length;
const services = ({ audit }: ClaimInput): number => audit.of("", "Service").length;

/** A claim that no rule names and no judge judges cannot be: the type asks for each. */
export const CLAIMS: Readonly<Record<ClaimId, Judge>> = {
  "mutual-tls": byProof("no-plaintext"),
  "no-anonymous": byProof("no-anonymous"),
  "own-trust-domain": byProof("no-foreign-identities"),
  "default-deny": byProof("default-deny", "for an account that no policy can mean"),
  "sensitive-isolated": byProof("sensitive"),
  "least-access": byRules(policies, "AuthorizationPolicies"),
  "policies-hold": byRules(policies, "AuthorizationPolicies"),
  "configuration-in-force": againstByRules("what runs is not in the files (`bulwark diff` compares it)"),
  "protocols-declared": byRules(services, "Services"),
  "hosts-owned": againstByRules("whom a host belongs to is known of Services of the cluster alone"),
  "surface-named": byRules(gateways, "Gateways"),
  captured: byRules(meshPods, "pods of the mesh"),
  "all-in-mesh": byRules(meshPods, "pods of the mesh"),
  "users-authenticated": againstByRules("which workloads take requests of users, and so need tokens"),
  "gateway-tls": gatewayTls,
  "gateway-certificates": gatewayCertificates,
  "servers-verified": serversVerified,
  "egress-held": egressHeld,
  "network-segmented": networkSegmented,
  "control-plane-isolated": againstByRules("nodes and networks of the cluster are not in the files"),
  "own-accounts": ownAccounts,
  "rights-bounded": againstByRules("bindings of the live cluster are not in the files"),
  "rights-of-nobody": withoutRights(undefined, ({ name }) => ANONYMOUS.has(name) || EVERYBODY.test(name)),
  "rights-of-all": withoutRights(["cluster-admin"]),
  "rights-over-secrets": withoutRights(["cluster-admin", "read-secrets"]),
  "rights-named": ofTheCluster(byRules(roles, "roles of RBAC")),
  "rights-over-pods": withoutRights(["cluster-admin", "create-pods", "change-pods", "exec"]),
  "rights-of-escalation": withoutRights([
    "cluster-admin",
    "impersonate-accounts",
    "impersonate-anybody",
    "grant-roles",
  ]),
  "rights-over-volumes": againstByRules("bindings of the live cluster are not in the files"),
  "rights-over-nodes": withoutRights(["cluster-admin", "kubelet-api"]),
  "rights-over-certificates": withoutRights(["cluster-admin", "approve-certificates"]),
  "rights-over-webhooks": withoutRights(["cluster-admin", "write-webhooks", "read-admitted"]),
  "rights-over-tokens": withoutRights(["cluster-admin", "mint-tokens"]),
  "tokens-needed": againstByRules("what applications do with their tokens is not in the files"),
  "default-namespace-unused": byRules(containers, "containers"),
  "admission-held": admissionHeld(/^(baseline|restricted)$/),
  "components-hardened": componentsHardened,
  "admission-restricted": admissionHeld(/^restricted$/),
  "secrets-as-files": byRules(containers, "containers"),
  "credentials-kept": againstByRules("sources and images of applications are not in the files"),
  "access-logged": accessLogged,
  "versions-current": versionsCurrent,
  "images-pinned": imagesPinned,
  "images-signed": imagesSigned,
  "pods-restricted": withoutControls(
    ["allowPrivilegeEscalation", "runAsNonRoot", "runAsUser", "privileged"],
    "run without root and cannot gain rights",
  ),
  "pods-unprivileged": withoutControls(["privileged"], "are not privileged"),
  "host-pid-unused": withoutControls(["hostNamespaces"], "leave `hostPID` alone", "hostPID"),
  "host-ipc-unused": withoutControls(["hostNamespaces"], "leave `hostIPC` alone", "hostIPC"),
  "host-network-unused": withoutControls(["hostNamespaces"], "leave `hostNetwork` alone", "hostNetwork"),
  "host-paths-unused": withoutControls(["hostPathVolumes"], "mount no folder of their nodes"),
  "host-ports-unused": withoutControls(["hostPorts"], "open no port of their nodes"),
  "host-process-unused": withoutControls(["windowsHostProcess"], "are no processes of Windows nodes"),
  "capabilities-dropped": withoutControls(["capabilities_restricted"], "drop all capabilities"),
  "seccomp-set": withoutControls(["seccompProfile_restricted"], "have a seccomp profile"),
  "baseline-kept": withoutControls([], "keep to the baseline"),
  "net-raw-dropped": rawPacketsDropped,
  "proxies-least-privilege": proxiesLeastPrivilege,
};
