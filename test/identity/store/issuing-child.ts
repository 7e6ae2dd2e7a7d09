/** A CA's records as one process after another uses them until it is killed: tells on standard output what was acknowledged, one line each. */
import { openCaStore } from "../../../src/identity/store/open-ca-store.ts";
import { workloadSpiffeId } from "../../../src/model/spiffe-id.ts";
import { CLUSTER_LOCAL } from "../mesh-fixture.ts";
import { auditRecord, issuedRecord, NOW } from "./ca-store-conformance.ts";

const [address = "", prefix = ""] = process.argv.slice(2);
const store = await openCaStore(address);
// Written at once, not when the event loop comes to it: what was told counts.
const tell = (line: string): void => void process.stdout.write(`${line}\n`);
const spiffeId = workloadSpiffeId(CLUSTER_LOCAL, "kill", prefix);
tell("open");

const workers = Array.from({ length: 4 }, async (_, worker) => {
  for (let i = 0; ; i++) {
    const serial = `4${prefix}${worker}${i.toString(16).padStart(8, "0")}`;
    await store.recordIssued(issuedRecord({ serial, spiffeId, keyHash: serial }));
    tell(`issued ${serial}`);
    if (i % 3 !== 0) continue;
    const [revocation] = await store.revoke({ serial }, { reason: "superseded", by: "child", atMs: NOW });
    tell(`revoked ${serial} ${revocation?.sequence}`);
    await store.audit(auditRecord({ serial, kind: "revoked" }));
    tell(`audited ${serial}`);
    const { version } = await store.read(`count-${prefix}`);
    if (await store.compareAndSet(`count-${prefix}`, version, "x")) tell(`set ${version + 1}`);
  }
});
await Promise.all(workers);
