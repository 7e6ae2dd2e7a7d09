import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AMBIENT_ROUTES,
  ambientCaptureOf,
  ambientRules,
} from "../../../src/substrate/netns/ambient-capture.ts";
import { captureRules } from "../../../src/substrate/netns/capture-rules.ts";
import { parseFabric } from "../../../src/substrate/netns/drop-reader.ts";
import {
  ATTEMPT_SETS,
  DROP_REASONS,
  fabricElements,
  fabricRules,
} from "../../../src/substrate/netns/fabric-rules.ts";
import { interceptionOf } from "../../../src/substrate/netns/interception.ts";

const PREFIX = "traffic.sidecar.istio.io/";

function rulesOf(annotations: Record<string, string>): string[] {
  const all = Object.fromEntries(
    Object.entries(annotations).map(([name, value]) => [`${PREFIX}${name}`, value]),
  );
  return captureRules(interceptionOf(all))
    .split("\n")
    .map((line) => line.trim());
}

function before(rules: readonly string[], first: string, second: string): void {
  const [i, j] = [rules.indexOf(first), rules.indexOf(second)];
  assert.ok(i >= 0, `missing: ${first}`);
  assert.ok(j > i, `${first} is not before ${second}`);
}

test("by default all TCP is redirected, the proxy's own and loopback never, DNS to the proxy's own port", () => {
  const rules = rulesOf({});
  before(rules, "meta skuid 1337 return", "meta l4proto tcp redirect to :15001");
  before(rules, "meta skgid 1337 return", "udp dport 53 redirect to :15053");
  before(rules, "ip daddr 127.0.0.0/8 return", "tcp dport 53 redirect to :15053");
  before(rules, 'iifname "lo" return', "meta l4proto tcp redirect to :15006");
  before(rules, 'ip saddr 127.0.0.6 oifname "lo" return', "meta skuid 1337 return");
});

test("annotations take traffic out, and put ports back in, before the rest is redirected", () => {
  const rules = rulesOf({
    excludeInboundPorts: "22, 9000",
    excludeOutboundPorts: "5432",
    includeOutboundPorts: "8443",
    includeOutboundIPRanges: "10.0.0.0/8,fd00::/8",
    excludeOutboundIPRanges: "10.9.0.0/16",
  });
  before(rules, "tcp dport { 22, 9000 } return", "meta l4proto tcp redirect to :15006");
  before(rules, "tcp dport { 5432 } return", "ip daddr 10.9.0.0/16 return");
  before(rules, "ip daddr 10.9.0.0/16 return", "tcp dport { 8443 } meta l4proto tcp redirect to :15001");
  before(rules, "ip daddr 10.9.0.0/16 return", "ip daddr 10.0.0.0/8 meta l4proto tcp redirect to :15001");
  assert.ok(rules.includes("ip6 daddr fd00::/8 meta l4proto tcp redirect to :15001"));
  assert.ok(!rules.includes("meta l4proto tcp redirect to :15001"));
});

test("a list of inbound ports captures these alone; an empty one, and mode NONE, nothing", () => {
  const listed = rulesOf({ includeInboundPorts: "80,443", excludeInboundPorts: "80" });
  assert.ok(listed.includes("tcp dport { 80, 443 } meta l4proto tcp redirect to :15006"));
  assert.ok(!listed.some((rule) => /dport \{ 80 \} return/.test(rule)));
  assert.ok(
    !rulesOf({ includeInboundPorts: "" }).some((rule) => rule.includes("15006") && !rule.includes("skuid")),
  );
  assert.doesNotMatch(
    captureRules(interceptionOf({ "sidecar.istio.io/interceptionMode": "NONE" })),
    /redirect/,
  );
});

test("in an ambient pod ztunnel's own packets pass first, HBONE is left to its port, names and the rest are redirected", () => {
  const rules = ambientRules(ambientCaptureOf({}))
    .split("\n")
    .map((line) => line.trim());
  before(rules, "meta mark & 4095 == 1337 return", "meta l4proto tcp redirect to :15001");
  before(rules, "meta mark & 4095 == 1337 return", "udp dport 53 redirect to :15053");
  before(rules, "tcp dport 15008 return", "meta l4proto tcp redirect to :15006");
  before(rules, 'iifname "lo" return', "meta l4proto tcp redirect to :15006");
  assert.ok(!rules.some((rule) => rule.includes("skuid")), "a user of the pod passes by");
  assert.equal(AMBIENT_ROUTES.length, 6);
});

test("ambient annotations leave plaintext to the application, or names to the cluster; sidecars' say nothing there", () => {
  const of = (annotations: Record<string, string>) => ambientRules(ambientCaptureOf(annotations));
  assert.doesNotMatch(of({ "ambient.istio.io/bypass-inbound-capture": "true" }), /15006/);
  assert.match(of({ "ambient.istio.io/bypass-inbound-capture": "false" }), /15006/);
  assert.doesNotMatch(of({ "ambient.istio.io/dns-capture": "false" }), /15053/);
  assert.equal(of({ [`${PREFIX}excludeInboundPorts`]: "22" }), of({}));
});

test("every reason has sets for both families, of at most the five fields that nft joins, and a chain that ends in a drop", () => {
  const rules = fabricRules();
  for (const reason of DROP_REASONS) {
    const sets = ATTEMPT_SETS.filter((set) => set.reason === reason);
    assert.deepEqual([...new Set(sets.map(({ family }) => family))], [4, 6], reason);
    for (const { name, fields } of sets) {
      assert.ok(fields.length <= 5, name);
      assert.ok(rules.includes(`update @${name} {`), name);
    }
    const [, chain = ""] = rules.split(`chain drop_${reason.replaceAll("-", "_")} {\n`);
    assert.equal(
      chain.slice(0, chain.indexOf("\n  }")).split("\n").at(-1)?.trim(),
      "counter name dropped drop",
    );
  }
  assert.match(rules, /type filter hook forward priority 0; policy drop;/);
  assert.match(rules, /type filter hook input priority 0; policy drop;/);
});

test("who is behind which link, and who may leave, is replaced in one transaction, also by nobody", () => {
  const pod = (slot: number, role: "application" | "gateway", mayLeave: boolean) => ({
    name: `p${slot}`,
    workload: "ns/p",
    replica: 0,
    address: `10.244.0.${slot}`,
    address6: `fd00:10:244::${slot}`,
    namespace: "ns",
    uid: "u",
    serviceAccount: "p",
    spiffeId: "spiffe://cluster.local/ns/ns/sa/p",
    role,
    proxied: true,
    outboundSecret: "",
    applicationPorts: [],
    network: {
      namespace: `bw-x-${slot}`,
      slot,
      link: `pod${slot}`,
      firstUid: 1,
      node: "n",
      mayLeave,
      applicationUid: 1000,
    },
  });
  const lines = fabricElements([pod(2, "application", false), pod(3, "gateway", true)]).split("\n");
  assert.ok(lines.includes('add element inet bulwark links4 { "pod2" . 10.244.0.2, "pod3" . 10.244.0.3 }'));
  assert.ok(lines.includes("add element inet bulwark leaving6 { fd00:10:244::3 }"));
  const plain = { ...pod(4, "application", true), proxied: false };
  const kinds = fabricElements([
    pod(2, "application", true),
    plain,
    { ...plain, address: "x", ambient: true },
  ]);
  assert.match(kinds, /^add element inet bulwark plain4 \{ 10\.244\.0\.4 \}$/m);
  assert.match(kinds, /^add element inet bulwark plain6 \{ fd00:10:244::4 \}$/m);
  const none = fabricElements([])
    .split("\n")
    .filter((line) => line !== "");
  assert.ok(none.length === 8 && none.every((line) => line.startsWith("flush set ")));
});

test("what nft lists is read by set: addresses, ports where there are some, the link where the address is not believed", () => {
  const element = (concat: unknown[], packets: number) => ({
    elem: { val: { concat }, counter: { packets, bytes: 1 } },
  });
  const set = (name: string, ...elem: unknown[]) => ({
    set: { family: "inet", name, table: "bulwark", elem },
  });
  const { attempts, counters } = parseFabric(
    JSON.stringify({
      nftables: [
        { metainfo: {} },
        { counter: { name: "dropped", packets: 9 } },
        set("not_tcp_4", element(["10.244.0.2", "198.18.0.1", "udp", 5000, 443], 2)),
        set("not_tcp_bare_6", element(["fd00::2", "fd00::3", "ipv6-icmp"], 1)),
        set("spoofed_address_4", element(["pod2", "10.244.0.5", "198.18.0.1", "tcp"], 3)),
        set("links4", "x"),
        set("not_tcp_4", { elem: {} }),
      ],
    }),
  );
  assert.deepEqual(counters, { dropped: 9 });
  assert.deepEqual(attempts, [
    {
      reason: "not-tcp",
      sourceIp: "10.244.0.2",
      destinationIp: "198.18.0.1",
      protocol: "udp",
      sourcePort: 5000,
      destinationPort: 443,
      packets: 2,
    },
    { reason: "not-tcp", sourceIp: "fd00::2", destinationIp: "fd00::3", protocol: "ipv6-icmp", packets: 1 },
    {
      reason: "spoofed-address",
      link: "pod2",
      sourceIp: "10.244.0.5",
      destinationIp: "198.18.0.1",
      protocol: "tcp",
      packets: 3,
    },
  ]);
});
