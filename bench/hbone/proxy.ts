/** One sidecar in a process of its own, for bench/hbone/main.ts: takes its mesh, then certificates, by messages. */
import { MeshProxy } from "../../src/dataplane/mesh-proxy.ts";
import type { ApplicationAddress } from "../../src/dataplane/proxy-options.ts";
import { SvidSource } from "../../src/identity/rotation.ts";
import type { CertificateGrant } from "../../src/identity/verify-grant.ts";
import type { Placement } from "../../src/model/placement.ts";
import { parseSpiffeId } from "../../src/model/spiffe-id.ts";
import { meshOf } from "../../test/dataplane/mesh-fixture.ts";

export interface ProxyOrder {
  readonly kind: "run";
  readonly mesh: string;
  readonly workload: string;
  readonly placement: Placement;
  readonly application: readonly (readonly [number, ApplicationAddress])[];
  readonly secret: string;
}

export type FromProxy =
  | { readonly kind: "csr"; readonly csr: Buffer; readonly identity: string }
  | { readonly kind: "ready" };

const say = (message: FromProxy): void => void process.send?.(message);
let granted: (grant: CertificateGrant) => void = () => {};

process.on("message", (message: ProxyOrder | { kind: "grant"; grant: CertificateGrant }) => {
  if (message.kind === "grant") granted(message.grant);
  else void run(message);
});
process.on("disconnect", () => process.exit(0));

async function run({ mesh: text, workload: key, placement, application, secret }: ProxyOrder): Promise<void> {
  const mesh = meshOf(text);
  const workload = mesh.workloads.find((own) => own.key === key);
  const pod = placement.pods.find((own) => own.workload === key);
  const id = parseSpiffeId(workload?.spiffeId ?? "")?.id;
  if (workload === undefined || pod === undefined || id === undefined)
    throw new Error(`no such workload: ${key}`);
  const identity = new SvidSource({
    identity: id,
    requestCertificate: (csr) =>
      new Promise((resolve) => {
        granted = resolve;
        say({ kind: "csr", csr, identity: id });
      }),
  });
  await identity.start();
  const proxy = new MeshProxy({
    pod,
    application: new Map(application),
    outboundSecret: secret,
    identity,
    flows: { push: () => {} },
  });
  await proxy.apply(mesh, placement);
  say({ kind: "ready" });
}
