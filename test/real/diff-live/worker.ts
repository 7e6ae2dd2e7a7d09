/**
 * Brings one mesh up and walks it through random pairs of meshes, without a restart: what `diff` and `verify` say is asked of the running
 * servers, before and after. Runs in a private network, where every address of a request is this machine's.
 *
 *     node worker.ts SEED PAIRS WITNESSES
 *
 * prints a line of JSON for each pair.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diffAccess } from "../../../src/analysis/diff/diff-access.ts";
import { invariantOf, isInvariant } from "../../../src/analysis/verify/invariant.ts";
import { verifyAccess } from "../../../src/analysis/verify/verify-access.ts";
import { loadMesh } from "../../../src/index.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import { loadResources } from "../../../src/resources/load.ts";
import { LiveAuthority } from "../../../tools/corpus/live-certificates.ts";
import { ownEveryAddress } from "../../../tools/corpus/private-network.ts";
import { TokenSigner } from "../../../tools/differential/token-signer.ts";
import { LiveMesh, temporaryFolder, until } from "../live-mesh.ts";
import {
  invariantManifests,
  type LivePair,
  SERVER_PORTS,
  samplePairs,
  sideManifests,
  staticManifests,
  yamlOf,
} from "./live-pair.ts";
import type { PairReport, Wrong } from "./pair-report.ts";
import { Replayer } from "./replay.ts";

/** Far more than it takes: the machine may be busy. */
const APPLY_MS = 180_000;
const SEMANTICS = "strict";
const [seed = 1, pairs = 1, witnesses = 1] = process.argv.slice(2).map(Number);

interface Asked {
  readonly request: AccessRequest;
  /** What the analysis says of it, with the old files and with the new. */
  readonly before: boolean;
  readonly after: boolean;
}

class LivePairs {
  readonly #folder: string;
  readonly #mesh: LiveMesh;
  readonly #replayer: Replayer;
  #saves = 0;

  private constructor(folder: string, mesh: LiveMesh, replayer: Replayer) {
    this.#folder = folder;
    this.#mesh = mesh;
    this.#replayer = replayer;
  }

  static async start(): Promise<LivePairs> {
    const folder = temporaryFolder();
    const signer = new TokenSigner();
    writeFileSync(join(folder, "mesh.yaml"), yamlOf(staticManifests(signer)));
    writeFileSync(join(folder, "policies.yaml"), "# none yet\n");
    const mesh = new LiveMesh([folder]);
    try {
      await mesh.start();
      const domain = parseTrustDomain("cluster.local");
      if (domain === undefined) throw new Error("BUG: no trust domain");
      const forge = await LiveAuthority.of(mesh.state.root, domain);
      return new LivePairs(folder, mesh, new Replayer(forge, signer));
    } catch (error) {
      await mesh.dispose();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#mesh.dispose();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async run(pair: LivePair): Promise<PairReport> {
    const wrong: Wrong[] = [];
    const oldFiles = await sideManifests(pair.before);
    const newFiles = await sideManifests(pair.after);
    this.#write(oldFiles);
    const old = await this.#load();
    const verified = await this.#verifiable(pair, old);
    this.#write(newFiles);
    const now = await this.#load();
    const { changes, notAnalysed } = diffAccess(old, now, { semantics: SEMANTICS, regionLimit: 1000 });
    const flips = spread(
      changes.filter(({ heldBack }) => heldBack !== true),
      witnesses,
    ).map(
      ({ change, witness }): Asked => ({
        request: witness,
        before: change === "narrowed",
        after: change === "widened",
      }),
    );
    const [asked, unheard] = partition(flips, ({ request }) => canBeSent(request));
    await this.#apply(oldFiles);
    for (const { request, before } of asked) wrong.push(...(await this.#ask("old", request, before)));
    for (const { request, allowed } of verified) wrong.push(...(await this.#ask("verify", request, allowed)));
    await this.#apply(newFiles);
    for (const { request, after } of asked) wrong.push(...(await this.#ask("new", request, after)));
    return {
      changes: changes.length,
      replayed: asked.length,
      notSent: unheard.length,
      verified: verified.length,
      notAnalysed: notAnalysed.length,
      kinds: asked.map(({ request }) => kindOf(request)),
      wrong,
    };
  }

  async #verifiable(
    pair: LivePair,
    mesh: Mesh,
  ): Promise<readonly { readonly request: AccessRequest; readonly allowed: boolean }[]> {
    const file = join(this.#folder, "invariants.txt");
    writeFileSync(file, yamlOf(await invariantManifests(pair)));
    const { resources } = await loadResources([file]);
    const invariants = resources.filter(isInvariant).map((resource) => invariantOf(resource, mesh));
    const { results } = await verifyAccess(mesh, invariants, { semantics: SEMANTICS });
    return results
      .flatMap(({ findings }) => findings.flatMap(({ witness }) => witness ?? []))
      .filter(({ request }) => canBeSent(request));
  }

  #write(manifests: readonly object[]): void {
    writeFileSync(join(this.#folder, "policies.yaml"), `# ${this.#saves++}\n${yamlOf(manifests)}`);
  }

  async #load(): Promise<Mesh> {
    const { mesh, rejected } = await loadMesh(this.#folder);
    if (rejected.length > 0) throw new Error(`BUG: rejected ${JSON.stringify(rejected[0]?.errors)}`);
    return mesh;
  }

  /** Saves, and waits until every proxy has it. */
  async #apply(manifests: readonly object[]): Promise<void> {
    const { configuration } = await this.#mesh.status();
    this.#write(manifests);
    await until(
      async () => {
        const now = await this.#mesh.status();
        const { version } = now.configuration;
        return (
          version > configuration.version && now.pods.every((pod) => pod.configurationVersion === version)
        );
      },
      "every proxy has the new files",
      APPLY_MS,
    ).catch(async (error: unknown) => {
      const told = {
        configuration: (await this.#mesh.status()).configuration,
        events: this.#mesh.events.slice(-3),
      };
      throw new Error(`the mesh does not take the new files: ${JSON.stringify(told)}`, { cause: error });
    });
  }

  /** By the record of the newest such request: whoever asks waits for each before the next. */
  async #isRecordedAllowed({ to, method = "", path }: AccessRequest, sinceMs: number): Promise<boolean> {
    let verdict: string | undefined;
    await until(() => {
      const record = this.#mesh
        .flows("kind = 'request'")
        .findLast(
          (own) =>
            Date.parse(own.time) >= sinceMs &&
            own.reporter.startsWith(to.workload ?? "") &&
            own.method === method &&
            own.path === path,
        );
      verdict = record?.verdict;
      return verdict !== undefined;
    }, "the record of the request");
    return verdict !== "deny";
  }

  async #ask(when: string, request: AccessRequest, expected: boolean): Promise<readonly Wrong[]> {
    const { workload = "", port } = request.to;
    const pod = this.#mesh.assignments.pods.find((own) => own.workload === workload);
    if (pod === undefined) throw new Error(`no pod of ${workload}`);
    const offset = port < 1024 ? this.#mesh.assignments.privilegedPortOffset : 0;
    const target = { address: pod.address, socketPort: port + offset, opaque: port === 9000 };
    const sinceMs = Date.now();
    const { allowed: seenAllowed, seen } = await this.#replayer.replay(request, target);
    const allowed = seenAllowed ?? (await this.#isRecordedAllowed(request, sinceMs));
    return allowed === expected ? [] : [{ when, request, expected, seen }];
  }
}

/** The pods have these ports alone, and IPv4 alone. */
function canBeSent({ from = {}, to }: AccessRequest): boolean {
  return SERVER_PORTS.includes(to.port) && from.ip?.includes(":") !== true;
}

/** So many of a list, from everywhere in it. */
function spread<T>(list: readonly T[], count: number): readonly T[] {
  const step = Math.max(1, list.length / count);
  return Array.from({ length: Math.min(count, list.length) }, (_, at) => list[Math.floor(at * step)]).filter(
    (own) => own !== undefined,
  );
}

function partition<T>(list: readonly T[], isIn: (own: T) => boolean): [readonly T[], readonly T[]] {
  return [list.filter(isIn), list.filter((own) => !isIn(own))];
}

function kindOf({ from = {}, protocol = "http", jwt }: AccessRequest): string {
  const peer = from.principal === null ? (from.tls ?? "plaintext") : "mtls";
  return `${protocol} ${peer}${jwt === undefined ? "" : " token"}`;
}

ownEveryAddress();
const live = await LivePairs.start();
try {
  for (const pair of samplePairs(seed, pairs)) console.log(JSON.stringify(await live.run(pair)));
} finally {
  await live.stop();
}
