import { controlsOf, type Framework } from "../framework.ts";

export const pciDss: Framework = {
  name: "pci-dss",
  label: "PCI-DSS 4.0",
  title: "PCI DSS 4.0.1",
  scope:
    'Of the whole mesh: which workloads hold cardholder data is not in the files, so that the whole mesh is taken for the cardholder data environment. Label its namespaces `bulwark.dev/sensitive: "true"` to have their isolation judged.',
  controls: controlsOf(`
1.2.5 | Allowed services, protocols and ports are identified, approved and needed | protocols-declared | that they are approved and needed: \`bulwark map\` lists what is allowed
1.2.6 | Security features for services that are insecure | mutual-tls gateway-tls | measures outside of the mesh
1.2.8 | The configuration of network controls is secured, and the one in force | configuration-in-force hosts-owned | what runs
1.3.1 | Inbound traffic is restricted to what is needed | default-deny sensitive-isolated network-segmented | what is needed
1.3.2 | Outbound traffic is restricted to what is needed | egress-held | firewalls outside of the cluster
1.4.2 | From untrusted networks only what is public is reached | surface-named sensitive-isolated | which systems are meant to be public
1.4.3 | Forged source addresses do not get in | mutual-tls own-trust-domain net-raw-dropped | the network below
2.2.4 | Only functions that are needed are enabled | | which are needed
2.2.6 | Security parameters are set against misuse | components-hardened control-plane-isolated proxies-least-privilege configuration-in-force | systems outside of the mesh
4.2.1 | Strong cryptography in transit, valid and trusted certificates | gateway-tls gateway-certificates servers-verified mutual-tls | which traffic holds card numbers | whole
6.3.3 | Known vulnerabilities are patched | versions-current | applications, libraries and nodes: versions of Istio, Envoy and Kubernetes alone are judged; that deadlines were kept
6.3.2 | Inventory of software components | | all of it: the images are in the files, what is inside of them is not
7.2.2 | Access by least privilege | least-access default-deny | what each job and function needs, so that what is given can be held against it; rights of persons
7.2.5 | Accounts of applications have least privilege | own-accounts least-access rights-bounded rights-of-nobody rights-of-all rights-of-escalation rights-over-secrets rights-over-tokens | what each application needs; reviews
7.3.2 | The access control system enforces what is assigned | policies-hold captured | that what is assigned is right for each job and function; other systems
7.3.3 | Access is denied by default | default-deny | other systems | whole
8.2.2 | Shared accounts only by exception | own-accounts | accounts of persons
8.6.2 | Passwords of accounts of applications stand in no files | credentials-kept | sources and scripts; which accounts persons can log in with
10.2.1 | Audit logs are on | access-logged | logs of applications, databases, nodes and the API server; that they are kept and read
11.4.5 | Segmentation is tested | | a penetration test by a person; \`bulwark attack\` and \`verify\` are supporting evidence
`),
};
