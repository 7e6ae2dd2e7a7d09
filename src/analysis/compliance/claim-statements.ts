/** What controls of frameworks rest on, each one sentence that a mesh's files can show to be so or not: rules of the audit name those that they speak against. */
export const CLAIM_STATEMENTS = {
  "mutual-tls": "No workload takes plaintext.",
  "no-anonymous": "Nobody without an identity and without a token reaches a workload.",
  "own-trust-domain": "No identity of another trust domain reaches a workload.",
  "default-deny": "An identity that no policy names reaches no workload.",
  "sensitive-isolated": "Namespaces that are labelled sensitive are reached by those that they list alone.",
  "least-access": "No policy lets in anybody, or everybody of the mesh.",
  "policies-hold": "No policy is without effect, slipped by, or open where Istio fails open.",
  "configuration-in-force":
    "What is written is in force: nothing is refused, passed by, or decided by the order of files.",
  "protocols-declared": "Ports say what they speak, and all of them the same.",
  "hosts-owned": "No namespace answers for the hosts or the gateways of another.",
  "surface-named": "Gateways open the hosts and ports that are named, and no others.",
  captured: "No pod of the mesh is past its proxy.",
  "all-in-mesh": "No workload is left out of the mesh.",
  "users-authenticated": "Tokens of users are verified, and needed.",
  "gateway-tls": "Gateways speak TLS 1.2 or later, or redirect to it.",
  "gateway-certificates": "Certificates of gateways are valid.",
  "servers-verified": "Servers outside of the mesh are verified by a CA that is named.",
  "egress-held": "What leaves is registered, and held below the mesh, too.",
  "network-segmented": "Every pod is under a NetworkPolicy for ingress.",
  "control-plane-isolated": "The control plane and the gateways stand apart from applications.",
  "own-accounts": "Every workload has an identity of its own.",
  "rights-bounded": "No workload's account has rights that come to those of the cluster.",
  "secrets-as-files": "No container has Secrets in its environment.",
  "access-logged": "Access is logged for the whole mesh.",
  "versions-current": "No known vulnerability is in the versions that run.",
  "images-pinned": "Images are named by digest, from registries that are trusted.",
  "images-signed": "Signatures of images hold.",
  "pods-restricted": "Containers run without root, and cannot gain rights.",
  "pods-unprivileged": "No container is privileged.",
  "host-pid-unused": "No pod shares the processes of its node.",
  "host-ipc-unused": "No pod shares the memory of its node.",
  "host-network-unused": "No pod is on the network of its node.",
  "host-paths-unused": "No pod mounts a folder of its node.",
  "host-ports-unused": "No container opens a port of its node.",
  "host-process-unused": "No container is a process of a Windows node.",
  "capabilities-dropped": "Containers drop all capabilities, and add none but NET_BIND_SERVICE.",
  "seccomp-set": "Containers have a seccomp profile.",
  "baseline-kept": "Pods keep to the baseline of the Pod Security Standards.",
  "net-raw-dropped": "No container can send raw packets.",
  "proxies-least-privilege": "Proxies have no more rights than they need.",
} as const satisfies Readonly<Record<string, string>>;

export type ClaimId = keyof typeof CLAIM_STATEMENTS;

export function isClaimId(text: string): text is ClaimId {
  return Object.hasOwn(CLAIM_STATEMENTS, text);
}
