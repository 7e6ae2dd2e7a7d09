import { controlsOf, type Framework } from "../framework.ts";

export const cra: Framework = {
  name: "cra",
  label: "CRA",
  title: "Cyber Resilience Act (Regulation (EU) 2024/2847), Annex I",
  scope:
    "It binds those who make products: a mesh is evidence of how one is operated, and of nothing else: no control of this table passes.",
  controls: controlsOf(`
I.I(2)(a) | No known vulnerability that can be exploited | versions-current | own code and libraries: versions of Istio, Envoy and Kubernetes alone are judged
I.I(2)(b) | Secure by default | mutual-tls default-deny egress-held | that a reset brings this back
I.I(2)(d) | Protection from access without authorization | default-deny policies-hold users-authenticated rights-bounded rights-of-nobody rights-of-all rights-of-escalation rights-over-secrets rights-over-tokens credentials-kept | other ways in
I.I(2)(e) | Confidentiality of data in transit | mutual-tls gateway-tls servers-verified | data at rest
I.I(2)(f) | Integrity of data, programs and configuration | mutual-tls images-signed hosts-owned configuration-in-force | storage
I.I(2)(i) | Little harm to others | egress-held | load on others
I.I(2)(j) | A small attack surface | least-access gateway-tls captured surface-named host-network-unused host-ports-unused baseline-kept | interfaces outside of the mesh
I.I(2)(k) | Incidents reach little | network-segmented own-accounts pods-restricted pods-unprivileged host-pid-unused host-ipc-unused host-paths-unused capabilities-dropped proxies-least-privilege control-plane-isolated | \`bulwark blast\` says how far
I.I(2)(l) | Activity is recorded | access-logged | that users can opt out
I.I(2)(m) | Users can remove their data | | all of it
I.II(1) | Components are documented | | all of it: the images are in the files, what is inside of them is not
I.II(2) | Vulnerabilities are remedied without delay | versions-current | whether it was without delay
`),
};
