/** All claims. Each stands on a proof over all requests, on rules of the audit, or on a field that is written out. */

import { containersOf, podsOf, SYSTEM_NAMESPACES } from "../audit/facts/pods.ts";
import { podsInMesh } from "../audit/facts/pods-in-mesh.ts";
import { fieldsOf, itemsOf, listOf, textOf, textsOf } from "../audit/facts/written.ts";
import { brokenControlsOf } from "../trust/pod-security/check-pod-security.ts";
import {
  type Claim,
  type ClaimEvidence,
  type ClaimInput,
  findingLines,
  judged,
  notShown,
  shortened,
} from "./claim.ts";
import { isolatedPods } from "./isolated-pods.ts";

function byProof(name: string, how = `bulwark verify --builtin ${name}`): Claim["judge"] {
  return ({ proofs, audit }) => {
    const results = proofs.get(name)?.results ?? [];
    const outside = audit.mesh.workloads.filter(
      ({ dataplane, role }) => dataplane === "none" && role === "application",
    );
    const wrong = [
      ...results.flatMap(({ findings }) =>
        findings
          .filter(({ outcome }) => outcome === "violated")
          .map(({ workloads, why }) => `${workloads.slice(0, 3).join(", ")}: ${why}`),
      ),
      ...outside.map(({ key }) => `${key} has no proxy: nothing is enforced before it`),
    ];
    const unclear = results.filter(({ outcome }) => outcome === "unclear");
    const proven = results.reduce((sum, one) => sum + one.proven.length, 0);
    if (wrong.length > 0) return { status: "refuted", evidence: shortened(wrong) };
    if (unclear.length > 0 || proven === 0)
      return notShown(...shortened(unclear.flatMap(({ findings }) => findings.map(({ why }) => why))));
    return {
      status: "shown",
      evidence: [`proven over all requests for ${proven} workloads (${how})`],
    };
  };
}

/** Silent rules show something only where there is what they look at. */
function byRules(
  rules: readonly string[],
  subjectsOf: (input: ClaimInput) => number,
  what: string,
): Claim["judge"] {
  return (input) => {
    const subjects = subjectsOf(input);
    return judged(
      subjects,
      findingLines(input.findings, rules),
      `${subjects} ${what}, and nothing found by ${rules.join(", ")}`,
      `the files have no ${what}`,
    );
  };
}

const gatewayServers = ({ audit }: ClaimInput) =>
  audit
    .of<{ readonly servers?: unknown }>("networking.istio.io", "Gateway")
    .flatMap((resource) =>
      [...itemsOf(fieldsOf(resource.spec).servers)].map(([index, server]) => ({ resource, index, server })),
    );

function gatewayTls(input: ClaimInput): ClaimEvidence {
  const servers = gatewayServers(input);
  const wrong = servers.flatMap(({ resource, index, server }) => {
    const { protocol, number } = fieldsOf(server.port);
    const tls = fieldsOf(server.tls);
    const { file, line } = resource.locate(["spec", "servers", index]);
    const at = `Gateway ${resource.namespace}/${resource.name}, port ${String(number)} (${file}:${line})`;
    const isClear =
      ["HTTP", "HTTP2", "GRPC", "TCP"].includes(textOf(protocol).toUpperCase()) && tls.mode === undefined;
    if (isClear && tls.httpsRedirect !== true) return [`${at} speaks ${textOf(protocol)} in clear`];
    const least = textOf(tls.minProtocolVersion);
    return least === "TLSV1_0" || least === "TLSV1_1" ? [`${at} takes ${least}`] : [];
  });
  return judged(
    servers.length,
    shortened(wrong),
    `${servers.length} servers of gateways: TLS 1.2 or later, or a redirect to it`,
    "the files have no Gateway",
  );
}

function egressHeld(input: ClaimInput): ClaimEvidence {
  const { mesh } = input.audit;
  const isOpen = mesh.config.outboundTrafficPolicy !== "REGISTRY_ONLY";
  const open = mesh.sidecars.filter(({ spec }) =>
    textOf(fieldsOf(spec.outboundTrafficPolicy).mode).startsWith("ALLOW_ANY"),
  );
  const unheld = isolatedPods(input.audit, "egress").open;
  const wrong = [
    ...(isOpen ? [`outboundTrafficPolicy of the mesh is ${mesh.config.outboundTrafficPolicy}`] : []),
    ...open.map(({ namespace, name }) => `Sidecar ${namespace}/${name} lets its pods call any host`),
    ...unheld.map((name) => `no NetworkPolicy holds what ${name} sends: past its proxy it reaches anything`),
  ];
  return judged(
    mesh.workloads.length,
    shortened(wrong),
    "REGISTRY_ONLY, and NetworkPolicies for egress below it, for every pod",
    "the files have no workload",
  );
}

function networkSegmented(input: ClaimInput): ClaimEvidence {
  const { open, held } = isolatedPods(input.audit, "ingress");
  return judged(
    open.length + held,
    shortened(open.map((name) => `no NetworkPolicy selects ${name} for ingress`)),
    `each of ${held} pods is selected by a NetworkPolicy for ingress`,
    "the files have no pod",
  );
}

function ownAccounts({ audit }: ClaimInput): ClaimEvidence {
  const applications = audit.mesh.workloads.filter(
    ({ role, namespace }) => role === "application" && !SYSTEM_NAMESPACES.has(namespace),
  );
  const byAccount = Map.groupBy(applications, ({ spiffeId }) => spiffeId);
  const wrong = [
    ...applications
      .filter(({ serviceAccount }) => serviceAccount === "default")
      .map(({ key }) => `${key} runs as the default account of its namespace`),
    ...[...byAccount]
      .filter(([, sharing]) => sharing.length > 1)
      .map(([account, sharing]) => `${account} is shared by ${sharing.map(({ key }) => key).join(", ")}`),
  ];
  return judged(
    applications.length,
    shortened(wrong),
    `each of ${applications.length} workloads has a service account of its own`,
    "the files have no workload",
  );
}

function accessLogged({ audit, findings }: ClaimInput): ClaimEvidence {
  const wrong = findingLines(findings, ["BW0157"]);
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const { accessLogFile, defaultProviders } = audit.mesh.config.raw;
  const root = audit.of("telemetry.istio.io", "Telemetry").filter(({ namespace, spec }) => {
    const { accessLogging, selector } = fieldsOf(spec);
    return (
      namespace === audit.mesh.config.rootNamespace &&
      selector === undefined &&
      [...itemsOf(accessLogging)].some(([, one]) => one.disabled !== true)
    );
  });
  if (textOf(accessLogFile) !== "")
    return { status: "shown", evidence: [`accessLogFile of the mesh is ${textOf(accessLogFile)}`] };
  if (listOf(fieldsOf(defaultProviders).accessLogging).length > 0)
    return { status: "shown", evidence: ["defaultProviders.accessLogging of the mesh is set"] };
  const [first] = root;
  if (first !== undefined)
    return {
      status: "shown",
      evidence: [`Telemetry ${first.namespace}/${first.name} switches access logs on for the mesh`],
    };
  return notShown(
    "neither the mesh's configuration nor a Telemetry of the root namespace switches access logs on",
  );
}

function usersAuthenticated(input: ClaimInput): ClaimEvidence {
  const asking = input.audit.mesh.requestAuthentications.length;
  return judged(
    asking,
    findingLines(input.findings, ["BW0608", "BW0609", "BW0610", "BW0621", "BW0149"]),
    `${asking} RequestAuthentications, and policies that need a token wherever one is read`,
    "the files have no RequestAuthentication: whether users are authenticated elsewhere cannot be seen",
  );
}

function restricted({ audit }: ClaimInput): ClaimEvidence {
  const pods = audit.fact(podsOf).filter(({ namespace }) => !SYSTEM_NAMESPACES.has(namespace));
  const wrong = pods.flatMap(({ resource }) =>
    brokenControlsOf(resource, "restricted")
      .filter(({ control }) =>
        ["allowPrivilegeEscalation", "runAsNonRoot", "runAsUser", "privileged"].includes(control),
      )
      .map(({ control }) => `${resource.kind} ${resource.namespace}/${resource.name} breaks ${control}`),
  );
  return judged(
    pods.length,
    shortened(wrong),
    `${pods.length} pods run without root and cannot gain rights`,
    "the files have no pod",
  );
}

function rawPacketsDropped({ audit }: ClaimInput): ClaimEvidence {
  const all = audit
    .fact(podsOf)
    .filter(({ namespace }) => !SYSTEM_NAMESPACES.has(namespace))
    .flatMap((pod) => containersOf(pod).map((one) => ({ ...one, resource: pod.resource })));
  const wrong = all.filter(({ container }) => {
    const dropped = textsOf(fieldsOf(fieldsOf(container.securityContext).capabilities).drop);
    return !dropped.includes("ALL") && !dropped.includes("NET_RAW");
  });
  return judged(
    all.length,
    shortened(
      wrong.map(
        ({ name, resource }) =>
          `container ${name} of ${resource.kind} ${resource.namespace}/${resource.name} keeps NET_RAW`,
      ),
    ),
    `each of ${all.length} containers drops NET_RAW`,
    "the files have no container",
  );
}

const policies = ({ audit }: ClaimInput): number => audit.mesh.authorizationPolicies.length;
const images = ({ audit }: ClaimInput): number =>
  audit.fact(podsOf).reduce((sum, pod) => sum + containersOf(pod).length, 0);
const meshPods = ({ audit }: ClaimInput): number => [...audit.fact(podsInMesh).values()].flat().length;
const outsideRules = ({ audit }: ClaimInput): number =>
  audit.mesh.destinationRules.filter(({ spec }) =>
    ["SIMPLE", "MUTUAL"].includes(textOf(fieldsOf(spec.trafficPolicy?.tls).mode)),
  ).length;

/** `not shown` where what the rules need is not there: no version, no signature. */
function versionsCurrent(input: ClaimInput): ClaimEvidence {
  const wrong = findingLines(input.findings, ["BW0710"]);
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const unknown = findingLines(input.findings, ["BW0711", "BW0712"]);
  if (unknown.length > 0) return notShown(...unknown);
  const proxies = input.audit
    .fact(podsOf)
    .filter((pod) => containersOf(pod).some(({ image }) => /istio|envoy/.test(image)));
  return proxies.length === 0
    ? notShown("the files name no version of Istio, Envoy or Kubernetes")
    : { status: "shown", evidence: ["no advisory is known for the versions in the files"] };
}

function imagesSigned(input: ClaimInput): ClaimEvidence {
  const wrong = findingLines(input.findings, ["BW0705", "BW0706"]);
  if (wrong.length > 0) return { status: "refuted", evidence: wrong };
  const verified = Object.keys(input.audit.settings.trust?.signatures ?? {}).length;
  return verified === 0
    ? notShown("no signatures were given to be verified (bulwark audit --help)")
    : { status: "shown", evidence: [`signatures of ${verified} images were verified`] };
}

const LIST: readonly Claim[] = [
  { id: "mutual-tls", statement: "No workload takes plaintext.", judge: byProof("no-plaintext") },
  {
    id: "no-anonymous",
    statement: "Nobody without an identity and without a token reaches a workload.",
    judge: byProof("no-anonymous"),
  },
  {
    id: "own-trust-domain",
    statement: "No identity of another trust domain reaches a workload.",
    judge: byProof("no-foreign-identities"),
  },
  {
    id: "default-deny",
    statement: "An identity that no policy names reaches no workload.",
    judge: byProof("default-deny", "for an account that no policy can mean"),
  },
  {
    id: "sensitive-isolated",
    statement: "Namespaces that are labelled sensitive are reached by those that they list alone.",
    judge: byProof("sensitive"),
  },
  {
    id: "least-access",
    statement: "No policy lets in anybody, or everybody of the mesh.",
    judge: byRules(["BW0612", "BW0613", "BW0616", "BW0624"], policies, "AuthorizationPolicies"),
  },
  {
    id: "policies-hold",
    statement: "No policy is without effect, slipped by, or open where Istio fails open.",
    judge: byRules(
      [
        "BW0106",
        "BW0127",
        "BW0166",
        "BW0171",
        "BW0602",
        "BW0604",
        "BW0607",
        "BW0614",
        "BW0617",
        "BW0618",
        "BW0619",
        "BW0951",
        "BW0952",
        "BW0953",
        "BW0954",
        "BW0960",
        "BW0961",
      ],
      policies,
      "AuthorizationPolicies",
    ),
  },
  {
    id: "captured",
    statement: "No pod of the mesh is past its proxy.",
    judge: byRules(
      ["BW0103", "BW0123", "BW0125", "BW0139", "BW0144", "BW0146", "BW0147"],
      meshPods,
      "pods of the mesh",
    ),
  },
  {
    id: "users-authenticated",
    statement: "Tokens of users are verified, and needed.",
    judge: usersAuthenticated,
  },
  { id: "gateway-tls", statement: "Gateways speak TLS 1.2 or later, or redirect to it.", judge: gatewayTls },
  {
    id: "gateway-certificates",
    statement: "Certificates of gateways are valid.",
    judge: byRules(
      ["BW0161"],
      ({ audit }) => audit.of("", "Secret").filter(({ body }) => body.type === "kubernetes.io/tls").length,
      "Secrets with certificates",
    ),
  },
  {
    id: "servers-verified",
    statement: "Servers outside of the mesh are verified by a CA that is named.",
    judge: byRules(["BW0128", "BW0129", "BW0651"], outsideRules, "DestinationRules with TLS to outside"),
  },
  {
    id: "egress-held",
    statement: "What leaves is registered, and held below the mesh, too.",
    judge: egressHeld,
  },
  {
    id: "network-segmented",
    statement: "Every pod is under a NetworkPolicy for ingress.",
    judge: networkSegmented,
  },
  { id: "own-accounts", statement: "Every workload has an identity of its own.", judge: ownAccounts },
  { id: "access-logged", statement: "Access is logged for the whole mesh.", judge: accessLogged },
  {
    id: "versions-current",
    statement: "No known vulnerability is in the versions that run.",
    judge: versionsCurrent,
  },
  {
    id: "images-pinned",
    statement: "Images are named by digest, from registries that are trusted.",
    judge: byRules(["BW0701", "BW0702", "BW0703", "BW0704"], images, "images"),
  },
  { id: "images-signed", statement: "Signatures of images hold.", judge: imagesSigned },
  {
    id: "pods-restricted",
    statement: "Containers run without root, and cannot gain rights.",
    judge: restricted,
  },
  { id: "net-raw-dropped", statement: "No container can send raw packets.", judge: rawPacketsDropped },
  {
    id: "proxies-least-privilege",
    statement: "Proxies have no more rights than they need.",
    judge: byRules(["BW0720"], meshPods, "pods of the mesh"),
  },
];

export const CLAIMS: ReadonlyMap<string, Claim> = new Map(LIST.map((claim) => [claim.id, claim]));
