import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connections, loadMesh } from "../../src/index.ts";
import { bulwark } from "./run-bulwark.ts";

const EXAMPLE = "examples/egress";

test("firewall export --format networkpolicy: with it the egress gateway alone reaches the outside, and pods reach each other", async () => {
  const { code, stdout } = await bulwark(["firewall", "export", EXAMPLE, "--format", "networkpolicy"]);
  assert.equal(code, 0);
  const folder = mkdtempSync(join(tmpdir(), "bulwark-firewall-"));
  try {
    const file = join(folder, "egress.yaml");
    writeFileSync(file, stdout);
    const { mesh, rejected } = await loadMesh([EXAMPLE, file]);
    assert.deepEqual(rejected, []);
    const entries = [...connections(mesh)];
    const out = entries.filter(({ destination }) => destination === undefined);
    assert.ok(out.length > 0);
    for (const { from, to, connections: allowed } of out) {
      assert.equal(from, "istio-egress/istio-egressgateway[Deployment]");
      assert.equal(allowed, "TCP 443");
      assert.notEqual(to, "169.254.0.0-169.254.255.255");
    }
    const inside = (from: string, to: string): boolean =>
      entries.some((entry) => entry.from.startsWith(from) && entry.to.startsWith(to));
    assert.ok(inside("team-a/app-a", "istio-egress/istio-egressgateway"));
    assert.ok(!inside("0.0.0.0", "istio-egress/istio-egressgateway"), "nobody outside uses the gateway");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("firewall export --format nftables names the gateways, the known ports and what it keeps in", async () => {
  const args = ["--format", "nftables", "--cluster", "10.0.0.0/8", "--gateway", "10.3.0.7"];
  const { code, stdout } = await bulwark(["firewall", "export", EXAMPLE, ...args]);
  assert.equal(code, 0);
  assert.match(stdout, /set cluster4 .*10\.0\.0\.0-10\.255\.255\.255/);
  assert.match(stdout, /set gateways4 .*10\.3\.0\.7 /);
  assert.match(stdout, /tcp dport \{ 443 \}/);
});

for (const [what, args, message] of [
  ["no cluster", [EXAMPLE, "--format", "nftables", "--gateway", "10.3.0.7"], /--cluster CIDR/],
  [
    "no address of a gateway",
    [EXAMPLE, "--format", "nftables", "--cluster", "10.0.0.0/8"],
    /--gateway ADDRESS/,
  ],
  [
    "what is no address",
    [EXAMPLE, "--format", "nftables", "--cluster", "10/8", "--gateway", "10.3.0.7"],
    /`10\/8` is neither/,
  ],
  [
    "a mesh without an egress gateway",
    ["examples/network", "--format", "networkpolicy"],
    /no egress gateway/,
  ],
] as const)
  test(`firewall export refuses ${what}, and prints no rules`, async () => {
    const { code, stdout, stderr } = await bulwark(["firewall", "export", ...args]);
    assert.equal(code, 3);
    assert.equal(stdout, "");
    assert.match(stderr, message);
  });
