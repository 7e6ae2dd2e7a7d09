/** A mesh of a few pods, of every kind that the firewall tells apart, and random network policies about it. */
import fc from "fast-check";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";
import { podAddresses } from "../../../src/substrate/netns/addresses.ts";
import { policyResourcesArbitrary } from "../../policy/network/arbitrary-policies.ts";

type Json = Readonly<Record<string, unknown>>;

/** Slots are given from 2 on, in the order of the pods. */
const FIRST_SLOT = 2;
const NO_SIDECAR = { "sidecar.istio.io/inject": "false" };

interface MeshPod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const PODS: readonly MeshPod[] = [
  { namespace: "a", labels: { app: "x", ...NO_SIDECAR } },
  { namespace: "b", labels: { app: "y", tier: "x", ...NO_SIDECAR } },
  { namespace: "c", labels: { app: "z", ...NO_SIDECAR } },
  { namespace: "a", labels: { tier: "y", ...NO_SIDECAR } },
  { namespace: "b", labels: NO_SIDECAR },
  { namespace: "c", labels: { app: "x", tier: "z", ...NO_SIDECAR } },
  // Its proxy does not run: what comes to it is what the firewall lets through.
  {
    namespace: "c",
    labels: { app: "y", "sidecar.istio.io/inject": "true" },
    annotations: { "inject.istio.io/templates": "gateway" },
  },
  {
    namespace: "a",
    labels: { app: "z", "sidecar.istio.io/inject": "true", "security.istio.io/tlsMode": "istio" },
  },
];

export const GATEWAY = "c/pod-6";
export const CAPTURED = "a/pod-7";

function podResource({ namespace, labels, annotations }: MeshPod, at: number): Resource {
  const { address, address6 } = podAddresses(FIRST_SLOT + at);
  return resource("v1", "Pod", namespace, `pod-${at}`, at, {
    labels,
    ...(annotations === undefined ? {} : { annotations }),
    spec: {
      containers: [
        {
          name: "app",
          image: "app",
          ports: [
            { name: "web", containerPort: at % 2 === 0 ? 80 : 8080 },
            { name: "dns", containerPort: 53, protocol: "UDP" },
          ],
        },
      ],
    },
    status: { podIP: address, podIPs: [{ ip: address }, { ip: address6 }] },
  });
}

interface Body {
  readonly labels: Json;
  readonly annotations?: Json;
  readonly spec?: Json;
  readonly status?: Json;
}

function resource(
  apiVersion: string,
  kind: string,
  namespace: string,
  name: string,
  createdAt: number,
  { labels, annotations = {}, ...body }: Body,
): Resource {
  const metadata = { name, ...(namespace === "" ? {} : { namespace }), labels, annotations };
  return resourceFromJson({ apiVersion, kind, metadata, ...body }, { file: "pods.yaml", createdAt });
}

const NAMESPACES = ["a", "b", "c"].map((name, at) =>
  resource("v1", "Namespace", "", name, at, { labels: { team: name === "b" ? "blue" : "red" } }),
);

export function meshOf(policies: readonly Resource[]): Mesh {
  return buildMesh([...NAMESPACES, ...PODS.map(podResource), ...policies]);
}

/** Blocks of the arbitrary policies, and those of the pods' and the outside's addresses that stand for them, by family. */
const BLOCKS: Readonly<Record<string, readonly [ipv4: string, ipv6: string]>> = {
  "10.0.0.0/8": ["10.244.0.0/16", "fd00:10:244::/64"],
  "10.0.0.0/9": ["10.244.0.0/29", "fd00:10:244::/125"],
  "10.0.1.0/24": ["10.244.0.4/30", "fd00:10:244::4/126"],
  "10.128.0.0/9": ["10.244.0.8/32", "fd00:10:244::8/128"],
  "192.0.2.0/24": ["198.18.1.0/24", "2001:db8:18::100/120"],
  "0.0.0.0/0": ["0.0.0.0/0", "::/0"],
  "2001:db8::/32": ["198.18.0.0/15", "2001:db8:18::/64"],
};

export const OUTSIDE = {
  4: ["198.18.0.1", "198.18.1.1", "198.19.0.1"],
  6: ["2001:db8:18::1", "2001:db8:18::101"],
} as const;

/** Each block is taken of the one or the other family, with its exceptions. */
function relocated(value: unknown, next: () => boolean): unknown {
  if (Array.isArray(value)) return value.map((entry) => relocated(entry, next));
  if (typeof value === "string") {
    const block = BLOCKS[value];
    return block === undefined ? value : block[next() ? 1 : 0];
  }
  if (typeof value !== "object" || value === null) return value;
  if ("cidr" in value) {
    const family = next();
    return mapped(value, (own) => relocated(own, () => family));
  }
  return mapped(value, (own) => relocated(own, next));
}

function mapped(value: object, change: (own: unknown) => unknown): Json {
  return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, change(own)]));
}

/** Of all three kinds, with blocks of both families. */
export const livePoliciesArbitrary: fc.Arbitrary<Resource[]> = fc
  .tuple(policyResourcesArbitrary, fc.infiniteStream(fc.boolean()))
  .map(([resources, families]) => {
    const next = (): boolean => families.next().value === true;
    return resources.map(({ body, spec, createdAt }) =>
      resourceFromJson({ ...body, spec: relocated(spec, next) }, { file: "x", createdAt }),
    );
  });
