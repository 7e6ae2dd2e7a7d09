import { controlsOf, type Framework } from "../framework.ts";

export const nist800207: Framework = {
  name: "nist-800-207",
  label: "NIST SP 800-207",
  title: "NIST SP 800-207, section 2.1",
  scope:
    "Tenets of a zero trust architecture, as far as files of a mesh bear on them. They are about a whole enterprise: files show a part, so that none passes.",
  controls: controlsOf(`
2.1 tenet 1 | Everything is a resource | captured all-in-mesh | what is outside of the mesh
2.1 tenet 2 | All communication is secured, wherever it runs | mutual-tls gateway-tls servers-verified | networks outside
2.1 tenet 3 | Access is granted for a session | mutual-tls users-authenticated | sessions of applications
2.1 tenet 4 | Access by dynamic policy | least-access users-authenticated | state of devices, behaviour
2.1 tenet 5 | Integrity and state of assets are watched | images-signed images-pinned versions-current pods-restricted baseline-kept proxies-least-privilege | watching
2.1 tenet 6 | Authentication and authorization are enforced before access | default-deny policies-hold captured | live configuration
2.1 tenet 7 | Information is collected, to improve | access-logged | what is made of it
`),
};
