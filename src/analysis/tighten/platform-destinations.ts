/**
 * Where every pod with a sidecar has to get to: the cluster's DNS, and the control plane. By their Services where the files have them, else by the
 * labels that Kubernetes and Istio give them.
 * @see https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
 * @see https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio
 */
import type { Labels, Mesh, Service } from "../../model/mesh.ts";

interface PlatformService {
  readonly namespace: string;
  readonly names: RegExp;
  readonly port: number;
  readonly protocols: readonly ("UDP" | "TCP")[];
}

const DNS: readonly PlatformService[] = [
  { namespace: "kube-system", names: /^(kube-dns|coredns)$/, port: 53, protocols: ["UDP", "TCP"] },
  { namespace: "openshift-dns", names: /^dns-default$/, port: 53, protocols: ["UDP", "TCP"] },
];

const XDS_PORT = 15_012;

/** Rules of an egress NetworkPolicy. */
export function platformRules(mesh: Mesh): readonly object[] {
  const { rootNamespace } = mesh.config;
  const istiod = {
    namespace: rootNamespace,
    names: /^istiod(-.+)?$/,
    port: XDS_PORT,
    protocols: ["TCP"],
  } as const;
  const dns = DNS.flatMap((own) => rulesOf(mesh, own));
  const control = rulesOf(mesh, istiod);
  return [
    ...(dns.length > 0
      ? dns
      : DNS.slice(0, 1).map((own) => ruleTo(own, { "k8s-app": "kube-dns" }, own.port))),
    ...(control.length > 0 ? control : [ruleTo(istiod, { app: "istiod" }, XDS_PORT)]),
  ];
}

function rulesOf({ services, undiscoveredServices }: Mesh, wanted: PlatformService): readonly object[] {
  return [...services, ...undiscoveredServices].flatMap((service) => {
    const { selector = {} } = service.resource.spec as { readonly selector?: Labels };
    const own = service.ports.find(({ port }) => port === wanted.port);
    const isIt = service.origin === "kubernetes" && service.namespace === wanted.namespace;
    if (!isIt || own === undefined || !wanted.names.test(service.name) || Object.keys(selector).length === 0)
      return [];
    return [ruleTo(wanted, selector, ...targetsOf(service, wanted.port))];
  });
}

/** NetworkPolicies look at pods, whose ports they are. */
function targetsOf({ ports }: Service, wanted: number): readonly (number | string)[] {
  return [...new Set(ports.filter(({ port }) => port === wanted).map(({ targetPort }) => targetPort))];
}

function ruleTo(
  { namespace, protocols }: PlatformService,
  selector: Labels,
  ...targets: readonly (number | string)[]
): object {
  return {
    to: [
      {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
        podSelector: { matchLabels: selector },
      },
    ],
    ports: targets.flatMap((port) => protocols.map((protocol) => ({ protocol, port }))),
  };
}
