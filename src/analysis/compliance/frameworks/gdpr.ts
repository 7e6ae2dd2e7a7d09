import { controlsOf, type Framework } from "../framework.ts";

export const gdpr: Framework = {
  name: "gdpr",
  label: "GDPR",
  title: "GDPR (Regulation (EU) 2016/679)",
  scope:
    "A law is not passed by a configuration: no control of this table passes, some fail. The table says what speaks for and against the technical measures, where the files show any. Which data are personal is not in the files.",
  controls: controlsOf(`
5(1)(f) | Integrity and confidentiality | mutual-tls default-deny policies-hold hosts-owned | which data, and what happens to them inside of applications
25(1) | Protection by design | default-deny network-segmented least-access | purposes
25(2) | Protection by default | default-deny least-access | what is necessary
28(3)(c) | Processors take the same measures | servers-verified egress-held | contracts
30(1)(g) | Description of the measures | | the record itself; this report can be a part of it
32(1)(a) | Encryption in transit | mutual-tls gateway-tls servers-verified | encryption at rest, pseudonymisation
32(1)(b) | Confidentiality and integrity that last | mutual-tls policies-hold versions-current control-plane-isolated | operation, availability
32(1)(c) | Restoring access after an incident | | all of it
32(1)(d) | Measures are tested regularly | | all of it: keep the dated reports of \`audit\`, \`verify\` and \`attack\`
32(4) | Whoever acts under the controller acts on instructions alone | rights-bounded rights-of-nobody rights-of-all rights-of-escalation rights-over-secrets rights-over-tokens | persons, and their instructions
`),
};
