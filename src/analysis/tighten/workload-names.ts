/** Finds the workload that a log means: by key, by address, by the name of one of its pods. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { meshDirectory } from "../../policy/path/compiled-policies.ts";

export class WorkloadNames {
  readonly #byKey: ReadonlyMap<string, Workload>;
  readonly #byAddress: ReadonlyMap<string, Workload>;
  readonly #byPod = new Map<string, Workload | null>();

  constructor(mesh: Mesh) {
    const { workloads, byAddress } = meshDirectory(mesh);
    this.#byKey = workloads;
    this.#byAddress = byAddress;
  }

  byKey(key: string): Workload | undefined {
    return this.#byKey.get(key);
  }

  /** Addresses of pods that files tell; nobody's on the host's network. */
  byAddress(address: string): Workload | undefined {
    return this.#byAddress.get(address);
  }

  /**
   * A pod's own name is its workload's with what controllers add: `-<hash>-<random>`, `-<random>` or `-<number>`. Only a name that leads
   * to one workload is taken.
   */
  byPod(namespace: string, pod: string): Workload | undefined {
    const key = `${namespace}/${pod}`;
    const known = this.#byPod.get(key);
    if (known !== undefined) return known ?? undefined;
    const found = this.#search(namespace, pod);
    // A log with hostile names must not fill memory.
    if (this.#byPod.size < MAX_KNOWN_PODS) this.#byPod.set(key, found ?? null);
    return found;
  }

  #search(namespace: string, pod: string): Workload | undefined {
    const candidates = [
      pod,
      ...SUFFIXES.flatMap((suffix) => (suffix.test(pod) ? [pod.replace(suffix, "")] : [])),
    ];
    const found = candidates.flatMap((name) => this.byKey(`${namespace}/${name}`) ?? []);
    return new Set(found).size === 1 ? found[0] : undefined;
  }
}

const MAX_KNOWN_PODS = 100_000;

/** What ReplicaSets of Deployments, other controllers and StatefulSets add; Kubernetes' random letters have no vowels, and not 0, 1 and 3. */
const SUFFIXES: readonly RegExp[] = [
  /-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$/,
  /-[bcdfghjklmnpqrstvwxz2456789]{5}$/,
  /-\d{1,5}$/,
];
