/**
 * What `bulwark blast` computes of examples/compromise, replayed as attacks on that mesh in network namespaces: stolen keys from every kind of place, the CA asked with stolen tokens, traffic past a
 * sidecar both ways; and a proposed cut applied to the running mesh. Each comes out as predicted, what is refused as well as what is let through.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { hasBit } from "../../src/analysis/blast/bits.ts";
import { changeYaml } from "../../src/analysis/blast/cut/change.ts";
import { proposeCut } from "../../src/analysis/blast/cut/propose-cut.ts";
import { BlastModel } from "../../src/analysis/blast/radius.ts";
import { type BlastReport, blastReport } from "../../src/analysis/blast/report.ts";
import { connectThroughHbone } from "../../src/attack/hbone-connect.ts";
import { parseAnswers } from "../../src/attack/http-answer.ts";
import type { Credentials } from "../../src/attack/mesh-under-attack.ts";
import { pastSidecar } from "../../src/attack/position.ts";
import { RunningMeshUnderAttack } from "../../src/attack/running-mesh.ts";
import { serialOf } from "../../src/attack/stolen-identity.ts";
import { converse, dialTls } from "../../src/attack/wire.ts";
import { dialControl } from "../../src/control/control-link.ts";
import type { SignAnswer } from "../../src/control/messages.ts";
import { podSocket } from "../../src/control/netns/pod-folders.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS } from "../../src/identity/key-algorithm.ts";
import { loadMesh } from "../../src/index.ts";
import { LiveMesh, temporaryFolder, until } from "./live-mesh.ts";
import { curl, inPod, SKIP } from "./netns/in-pod.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../examples/compromise");
const PORT = 8080;
const ANSWER_MS = 15_000;
const OPTIONS = { semantics: "strict", witnesses: 100 } as const;

const files = temporaryFolder();
let live: LiveMesh;
let attacker: RunningMeshUnderAttack;
let model: BlastModel;

before(async () => {
  cpSync(EXAMPLE, files, { recursive: true });
  model = await modelOf();
  if (SKIP !== false) return;
  live = await LiveMesh.up([files, "--substrate", "netns"]);
  attacker = await RunningMeshUnderAttack.open(live.state, { signal: new AbortController().signal });
});
after(async () => {
  attacker?.close();
  await live?.dispose();
  rmSync(files, { recursive: true, force: true });
});

async function modelOf(): Promise<BlastModel> {
  const { mesh } = await loadMesh(files);
  return new BlastModel(mesh, "strict");
}

function reportOn(component: string): Promise<BlastReport> {
  return blastReport(model, component, OPTIONS);
}

function podOf(workload: string) {
  return live.pod(`${workload}-0`);
}

function principalOf(workload: string): string {
  const found = model.graph.byKey.get(workload) ?? assert.fail(`no workload ${workload}`);
  return found.spiffeId.slice("spiffe://".length);
}

/** By the sets that radii are computed with: this key, from this pod's network, past its own proxy. */
function isPredicted(own: BlastModel, from: string, as: string, to: string): boolean {
  const place = (key: string): number => own.mesh.workloads.findIndex((workload) => workload.key === key);
  const row = own.network.fromPlace(place(from));
  return (own.entries.byTarget.get(place(to)) ?? []).some((at) => {
    const way = own.entries.all[at]?.way;
    return (way === "direct" || way === "hbone") && own.entries.lets(at, as) && hasBit(row, at);
  });
}

/** The same for real. What goes to a pod in ambient mode goes by its tunnel port. */
async function isReached(from: string, credentials: Credentials, to: string): Promise<boolean> {
  const [source, target] = [podOf(from), podOf(to)];
  if (target.ambient === true)
    return (await connectThroughHbone(source, target, credentials, `${target.address}:${PORT}`)).reached;
  const dialled = await dialTls(
    { host: target.address, port: PORT, ...pastSidecar(source) },
    { credentials, ALPNProtocols: ["istio-http/1.1"] },
  );
  if ("failure" in dialled) return false;
  const say = [Buffer.from("GET /orders HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n")];
  const { bytes } = await converse(dialled.socket, { say, timeoutMs: ANSWER_MS });
  return parseAnswers(bytes)[0]?.status === 200;
}

/** Who is to get there may need another try on a busy machine; who is not gets one, which a pause could only help to fail. */
async function happens(predicted: boolean, attempt: () => Promise<boolean>): Promise<boolean> {
  if (!predicted) return await attempt();
  let reached = false;
  await until(
    async () => {
      reached = await attempt();
      return reached;
    },
    "what is computed happens",
    60_000,
  ).catch(() => {});
  return reached;
}

const TARGETS = [
  "team-a/app-a",
  "team-a/app-a-worker",
  "team-a/app-b",
  "shop/web",
  "shop/orders",
  "ops/deployer",
  "ops/vault",
  "platform/operator",
  "agents/collector",
];
const THIEVES = ["team-a/app-a", "ops/deployer", "shop/waypoint"];
const KEYS = ["team-a/app-a", "team-a/app-b", "ops/deployer", "shop/waypoint", "istio-ingress/ingress"];

test("a stolen key is worth what is computed, from its own pod and from others', at every workload", {
  skip: SKIP,
}, async () => {
  const wrong: string[] = [];
  const counts = { yes: 0, no: 0 };
  for (const from of THIEVES) {
    const tries = KEYS.flatMap((key) => TARGETS.filter((to) => to !== from).map((to) => ({ key, to })));
    await Promise.all(
      tries.map(async ({ key, to }) => {
        const credentials = await attacker.identityOf(podOf(key));
        const predicted = isPredicted(model, from, principalOf(key), to);
        const happened = await happens(predicted, () => isReached(from, credentials, to));
        counts[happened ? "yes" : "no"]++;
        if (happened !== predicted)
          wrong.push(`${key}'s key from ${from} to ${to}: ${happened}, predicted ${predicted}`);
      }),
    );
  }
  assert.deepEqual(wrong, []);
  assert.ok(counts.yes >= 15 && counts.no >= 60, JSON.stringify(counts));
});

test("a path of two hops: app-a's root takes its key to app-b, and app-b's key opens vault from team-a's pods alone", {
  skip: SKIP,
}, async () => {
  const { reaches, further } = await reportOn("workload/team-a/app-a");
  const first = reaches.find(({ to }) => to === "team-a/app-b") ?? assert.fail("app-b is not reached");
  const second = further.find(({ to }) => to === "ops/vault") ?? assert.fail("vault does not follow");
  assert.deepEqual([second.hop, second.as], [2, principalOf("team-a/app-b")]);
  const own = await thiefOf("team-a/app-a");
  assert.ok(own !== undefined, "root finds no token in the pod");
  assert.equal(await happens(true, () => isReached(first.from ?? "", own, first.to)), true);
  const next = (await thiefOf("team-a/app-b")) ?? assert.fail("root finds no token in app-b's pod");
  assert.equal(await happens(true, () => isReached(second.from ?? "", next, second.to)), true);
  // Without the hop there is no way: vault refuses app-a's key.
  assert.equal(await isReached("team-a/app-a", own, "ops/vault"), false);
});

/** What the pod's root finds of a token of the pod's. */
const LOOT = `
for pid in $(ls /proc | grep -E '^[0-9]+$'); do
  cat /proc/$pid/root/run/bulwark/tokens/$0.jwt 2>/dev/null && echo && exit 0
done; exit 0
`;

/** As root in the pod: its token, if there is one, and by it a certificate; undefined where there is none. */
async function thiefOf(workload: string): Promise<Credentials | undefined> {
  const words = ["sh", "-c", LOOT, `${workload.replace("/", ".")}-0`];
  const { stdout } = await inPod(live, `${workload}-0`, words, true);
  const token = stdout.trim();
  if (token === "") return undefined;
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const control = await dialControl(podSocket(live.state));
  try {
    await assert.rejects(control.request("hello", { token }, ANSWER_MS), { code: "BW_SESSION_TAKEN" });
    const csr = encodeCsr(privateKey).toString("base64");
    const { chainPem } = (await control.request("sign", { token, csr }, ANSWER_MS)) as SignAnswer;
    const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const spiffeId = new X509Certificate(chainPem).subjectAltName?.replace("URI:", "") ?? "";
    return { spiffeId, serial: serialOf(chainPem), keyPem, chainPem };
  } finally {
    control.close();
  }
}

test("the CA gives the token of a sidecar's pod its own identity, and an ambient pod has nothing to ask with", {
  skip: SKIP,
}, async () => {
  for (const workload of ["team-a/app-a", "shop/web"]) {
    const { mayAskFor } = await reportOn(`workload/${workload}`);
    const stolen = await thiefOf(workload);
    assert.deepEqual(
      stolen === undefined ? [] : [stolen.spiffeId.slice("spiffe://".length)],
      mayAskFor,
      workload,
    );
  }
});

test("each ztunnel's token gets the identities that are computed, of its own node's ambient pods, and is refused every other", {
  skip: SKIP,
}, async () => {
  for (const node of ["n1", "n2"]) {
    const { mayAskFor } = await reportOn(`ztunnel/${node}`);
    assert.equal(mayAskFor.length, 1);
    const token = readFileSync(tokenFile(live.state, `istio-system/ztunnel-${node}`), "utf8").trim();
    const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
    const csr = encodeCsr(privateKey).toString("base64");
    const control = await dialControl(live.state.controlSocket);
    try {
      await assert.rejects(control.request("hello", { token }, ANSWER_MS), { code: "BW_SESSION_TAKEN" });
      const got: string[] = [];
      for (const workload of TARGETS) {
        const asked = { token, csr, pod: `${workload}-0`, identity: `spiffe://${principalOf(workload)}` };
        try {
          const { chainPem } = (await control.request("sign", asked, ANSWER_MS)) as SignAnswer;
          got.push(new X509Certificate(chainPem).subjectAltName?.replace("URI:spiffe://", "") ?? "");
        } catch (error) {
          assert.match((error as { code?: string }).code ?? "", /^BW_CA_IMPERSONATION_/, workload);
        }
      }
      assert.deepEqual(got, mayAskFor, node);
    } finally {
      control.close();
    }
  }
});

test("a waypoint passes as itself to whom it is computed to reach, and has the identities of none that it serves", {
  skip: SKIP,
}, async () => {
  const { reaches, mayAskFor, position } = await reportOn("waypoint/shop/waypoint");
  const own = await attacker.identityOf(podOf("shop/waypoint"));
  assert.deepEqual([own.spiffeId.slice("spiffe://".length)], mayAskFor);
  assert.deepEqual(position.traffic, ["shop/orders", "shop/web"]);
  for (const to of position.traffic) {
    const predicted = reaches.some((step) => step.to === to);
    assert.equal(await happens(predicted, () => isReached("shop/waypoint", own, to)), predicted, to);
  }
});

test("code in an ambient pod calls as itself, whom it is computed to reach and nobody else: ztunnel captures", {
  skip: SKIP,
}, async () => {
  const { reaches } = await reportOn("workload/shop/web");
  for (const workload of ["shop/orders", "team-a/app-a", "team-a/app-b", "ops/vault", "ops/deployer"]) {
    const url = `http://${workload.split("/").reverse().join(".")}/orders`;
    const predicted = reaches.some(({ to }) => to === workload);
    const attempt = async (): Promise<boolean> => (await curl(live, "shop/web-0", [url])).status === 200;
    assert.equal(await happens(predicted, attempt), predicted, workload);
  }
  // Past the waypoint it is not computed to come, and does not.
  const { status } = await curl(live, "shop/web-0", [
    `http://${podOf("shop/orders").address}:${PORT}/orders`,
  ]);
  assert.equal(status, 0);
});

test("root in a sidecar's pod is past it both ways: it lets in whom policies refuse, as is computed of its traffic", {
  skip: SKIP,
}, async () => {
  const { position } = await reportOn("workload/team-a/app-a");
  assert.equal(position.text, "its pod; past its own sidecar both ways");
  const { address } = podOf("team-a/app-a");
  const ask = async (): Promise<number> =>
    (await curl(live, "shop/web-0", [`http://${address}:${PORT}/`])).status;
  assert.notEqual(await ask(), 200);
  const rules = "nft list ruleset > /tmp/rules; nft flush ruleset";
  assert.equal((await inPod(live, "team-a/app-a-0", ["sh", "-c", rules], true)).code, 0);
  try {
    await until(async () => (await inClear(address)) === 200, "the application itself answers");
  } finally {
    assert.equal((await inPod(live, "team-a/app-a-0", ["sh", "-c", "nft -f /tmp/rules"], true)).code, 0);
  }
  await until(async () => (await inClear(address)) !== 200, "its sidecar refuses again");
});

/** Plaintext from a pod without a proxy. */
async function inClear(address: string): Promise<number> {
  return (await curl(live, "istio-system/istio-cni-node-0", [`http://${address}:${PORT}/`])).status;
}

test("the cut that is proposed, applied to the running mesh, closes the path that it is computed to close, and no other", {
  skip: SKIP,
}, async () => {
  const component = "workload/team-a/app-a";
  const before = await reportOn(component);
  const { steps } = await proposeCut(model.mesh, component, { semantics: "strict", steps: 1 });
  const [step] = steps;
  const [change] = step?.changes ?? [];
  assert.ok(step !== undefined && change !== undefined);
  const credentials = await attacker.identityOf(podOf("team-a/app-a"));
  writeFileSync(join(files, "zz-cut.yaml"), changeYaml(change));
  const cut = await modelOf();
  assert.deepEqual(cut.countsOf(component), step.counts);
  const now = await blastReport(cut, component, OPTIONS);
  const closed = before.reaches
    .filter(({ to }) => !now.reaches.some((one) => one.to === to))
    .map(({ to }) => to);
  assert.deepEqual(closed, ["team-a/app-b"]);
  await until(
    async () => !(await isReached("team-a/app-a", credentials, "team-a/app-b")),
    "the path is closed",
  );
  for (const to of TARGETS.filter((one) => one !== "team-a/app-a")) {
    const predicted = isPredicted(cut, "team-a/app-a", principalOf("team-a/app-a"), to);
    assert.equal(await happens(predicted, () => isReached("team-a/app-a", credentials, to)), predicted, to);
  }
  const other = await attacker.identityOf(podOf("team-a/app-b"));
  assert.equal(await happens(true, () => isReached("team-a/app-b", other, "ops/vault")), true);
});
