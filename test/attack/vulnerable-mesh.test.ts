import assert from "node:assert/strict";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import type { Attack, AttackResult } from "../../src/attack/attack.ts";
import { ATTACKS } from "../../src/attack/attack-registry.ts";
import { runAttacks } from "../../src/attack/run-attacks.ts";
import { loadConfiguration } from "../../src/control/load-configuration.ts";
import {
  blindGateway,
  fakeMesh,
  listen,
  permissiveSidecar,
  serveCarelessly,
  vulnerableSidecar,
} from "./vulnerable-mesh.ts";

/** One attack, only the steps that are called so. */
function only(id: string, tried: RegExp): readonly Attack[] {
  return ATTACKS.filter((attack) => attack.id === id).map((attack) => ({
    ...attack,
    plan: async (mesh) => (await attack.plan(mesh)).filter((step) => tried.test(step.tried)),
  }));
}

async function attackVulnerable(
  context: TestContext,
  net: number,
  id: string,
  tried: RegExp,
): Promise<readonly AttackResult[]> {
  const mesh = fakeMesh(net);
  await vulnerableSidecar(context, mesh);
  return (await runAttacks(mesh, { attacks: only(id, tried) })).results;
}

function outcomes(results: readonly AttackResult[], tried: RegExp): readonly string[] {
  const found = results.filter((result) => tried.test(result.tried));
  assert.ok(
    found.length > 0,
    `nothing was tried like ${tried}: ${results.map((one) => one.tried).join("; ")}`,
  );
  return found.map(({ outcome, tried: what, happened }) =>
    outcome === "succeeded" ? outcome : `${outcome}: ${what}: ${happened}`,
  );
}

function assertSucceeded(results: readonly AttackResult[], tried: RegExp): void {
  for (const outcome of outcomes(results, tried)) assert.equal(outcome, "succeeded");
}

/** Row, what is open, second octet, and the steps that must succeed because of it. */
const OPEN: readonly (readonly [string, string, number, RegExp])[] = [
  [
    "E4",
    "takes any certificate",
    81,
    /^certificate: (self-signed|another CA's|of another trust|two URI|expired|valid from|a CA|for servers)|past its end|revoked since/,
  ],
  ["M1", "asks for no client certificate", 88, /without a client certificate/],
  ["M2", "speaks old TLS with weak suites", 82, /^TLS 1\.[012]$|CBC|CCM_8/],
  [
    "M4",
    "hands every header to the application",
    83,
    /^XFCC: (a forged|twice|an open quote|named in Connection)|^x-envoy/,
  ],
  [
    "M7",
    "finds requests that nobody decided",
    85,
    /^(CL\.TE|TE\.CL|two lengths|a length on a GET|a request in the trailers)$/,
  ],
  ["M13", "takes heads without end", 86, /head of 1 MB|50,000 headers/],
];

for (const [row, open, net, tried] of OPEN) {
  test(`${row} succeeds against a server that ${open}`, async (context) => {
    assertSucceeded(await attackVulnerable(context, net, row.toLowerCase(), tried), tried);
  });
}

test("M6 succeeds against a server without a policy, for each way that the standard reads", async (context) => {
  const families = /^(the path itself|dots written as %2e|encoded slashes)$/;
  const results = await attackVulnerable(context, 84, "m6", families);
  const succeeded = results.filter(({ outcome }) => outcome === "succeeded");
  assertSucceeded(succeeded, /the path itself/);
  assertSucceeded(succeeded, /dots written as %2e/);
  const lenient = results.filter(({ outcome }) => outcome === "allowed by configuration");
  assert.ok(lenient.some(({ happened }) => happened.includes("with %2f and %5c decoded")));
});

test("M1 succeeds against a server that answers in clear where STRICT is promised", async (context) => {
  const mesh = fakeMesh(87);
  await permissiveSidecar(context, mesh);
  const tried = /^plaintext HTTP\/1\.1$|PROXY protocol|STARTTLS/;
  const { results } = await runAttacks(mesh, { attacks: only("m1", tried) });
  assertSucceeded(results, tried);
});

test("E6 succeeds against a gateway that looks at no name", async (context) => {
  const promised = await loadConfiguration(["examples/egress"]);
  assert.ok(promised.ok);
  const mesh = { ...fakeMesh(92, [], promised.mesh), standInCaPem: "some" };
  await blindGateway(context, mesh, 8443);
  const tried = /^(allowed name outside|another name|no name|two|a NUL|encrypted)/;
  const { results } = await runAttacks(mesh, { attacks: only("e6", tried) });
  assert.equal(results.length, 26);
  assertSucceeded(results, tried);
});

test("M10 succeeds against an open admin port and a way out that asks for no secret", async (context) => {
  const mesh = fakeMesh(89);
  const [victim] = mesh.pods;
  assert.ok(victim !== undefined);
  for (const port of [15_000, 15_001])
    await listen(
      context,
      createServer((socket) => serveCarelessly(socket, victim)),
      port,
      victim.address,
    );
  const { results } = await runAttacks(mesh, { only: ["m10"] });
  assertSucceeded(results, /admin port|way out of another/);
});

test("attacks on a mesh where nothing listens are not possible, never stopped", async () => {
  const { counts, results } = await runAttacks(fakeMesh(90));
  assert.equal(counts.succeeded, 0);
  assert.deepEqual(
    results.filter(({ outcome }) => outcome === "stopped").map(({ attack, tried }) => `${attack} ${tried}`),
    [],
  );
});
