import { controlsOf, type Framework } from "../framework.ts";

export const nist800204b: Framework = {
  name: "nist-800-204b",
  label: "NIST SP",
  title: "NIST SP 800-204B, with SP 800-204 and 800-204A",
  scope: "Only recommendations whose numbers could be confirmed are listed.",
  controls: controlsOf(`
800-204B APE-SR-3 | Unauthenticated requests are refused by default, access across namespaces by explicit policy only | mutual-tls no-anonymous default-deny users-authenticated | checks inside of applications | whole
800-204B SAUZ-SR-1 | Authorization between services for every service | default-deny policies-hold | checks inside of applications | whole
800-204B EAUN-SR-1 | End users are authenticated | users-authenticated | the identity provider
800-204B 5.2.1 | Authorization by the identities of caller and called | least-access own-trust-domain hosts-owned | rules inside of applications
800-204B AHLC-SR-1 | Containers do not run as root | pods-restricted admission-restricted | what happens at run time | whole
800-204B AHLC-SR-4 | Containers cannot gain rights | pods-restricted admission-restricted | what happens at run time | whole
800-204 MS-SS-4 | Clients and services authenticate each other and encrypt | gateway-tls mutual-tls | clients outside | whole
800-204A SM-DR1 | A proxy lets nothing through that is not allowed | default-deny egress-held | live configuration | whole
800-204A SM-DR6 | Proxies speak mutual TLS alone | mutual-tls captured | live configuration | whole
800-204A SM-DR8 | Outside is closed unless opened by policy | egress-held | firewalls outside of the cluster | whole
800-204A SM-DR11 | An identity for each service | own-accounts | how accounts are handed out | whole
`),
};
