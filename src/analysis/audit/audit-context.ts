/** What rules look at: the mesh as it was compiled, and whatever more than one of them needs, worked out once. */
import type { Mesh } from "../../model/mesh.ts";
import type { Diagnostic } from "../../resources/diagnostic.ts";
import type { RejectedResource } from "../../resources/load.ts";
import type { Resource } from "../../resources/resource.ts";
import { apiGroup } from "../../resources/scope.ts";
import type { TrustSettings } from "../trust/trust-settings.ts";

/** What a mesh does not say of itself. */
export interface AuditSettings {
  /** Milliseconds since the epoch: certificates, suppressions and advisories are judged by it. */
  readonly now: number;
  readonly trust?: TrustSettings;
  /** The first certificate of a PEM text; undefined where there is none that can be read. */
  readonly readCertificate?: (pem: string, key?: string) => CertificateFacts | undefined;
}

/** Times in milliseconds since the epoch. */
export interface CertificateFacts {
  readonly notBefore: number;
  readonly notAfter: number;
  /** DNS names and addresses that it is for. */
  readonly names: readonly string[];
  /** `rsa`, `ec`, `ed25519` … */
  readonly keyType: string;
  /** Bits of an RSA key; undefined for others. */
  readonly keyBits: number | undefined;
  /** Of who signed it, `sha256WithRSAEncryption`; undefined where the platform does not tell, and for one that is its own root. */
  readonly signature: string | undefined;
  /** Whether the private key given with it is its own; undefined where none was, or none that can be read. */
  readonly hasItsKey: boolean | undefined;
}

export class AuditContext {
  readonly mesh: Mesh;
  /** Resources that take no part: they are in `every` alone. */
  readonly rejected: readonly RejectedResource[];
  readonly settings: AuditSettings;
  /** What the loader has to say of resources that take part. */
  readonly warnings: readonly Diagnostic[];
  readonly #facts = new Map<unknown, unknown>();

  constructor(
    mesh: Mesh,
    rejected: readonly RejectedResource[],
    settings: AuditSettings,
    warnings: readonly Diagnostic[] = [],
  ) {
    this.mesh = mesh;
    this.rejected = rejected;
    this.settings = settings;
    this.warnings = warnings;
  }

  /** Every resource of the kind that takes part. @param group `networking.istio.io`; empty for Kubernetes' core. */
  of<Spec = Readonly<Record<string, unknown>>>(group: string, kind: string): readonly Resource<Spec>[] {
    const all = this.fact(resourcesByKind).get(`${group}/${kind}`) ?? [];
    return all as readonly Resource<Spec>[];
  }

  /** As {@link of}, with those that were rejected: fields may be missing, or of any type. For what is wrong with a text rather than with a mesh. */
  every(group: string, kind: string): readonly Resource[] {
    return this.fact(writtenByKind).get(`${group}/${kind}`) ?? [];
  }

  /** What `work` makes of this audit, made once, whoever asks: `work` itself is the key, so it must be a named function of a module. */
  fact<T>(work: (audit: AuditContext) => T): T {
    if (!this.#facts.has(work)) this.#facts.set(work, work(this));
    return this.#facts.get(work) as T;
  }
}

function resourcesByKind({ mesh }: AuditContext): ReadonlyMap<string, readonly Resource[]> {
  return Map.groupBy(mesh.resources, ({ apiVersion, kind }) => `${apiGroup(apiVersion)}/${kind}`);
}

function writtenByKind({ mesh, rejected }: AuditContext): ReadonlyMap<string, readonly Resource[]> {
  const refused = rejected.flatMap(({ resource }) => (resource === undefined ? [] : [resource]));
  return Map.groupBy(
    [...mesh.resources, ...refused],
    ({ apiVersion, kind }) => `${apiGroup(apiVersion)}/${kind}`,
  );
}
