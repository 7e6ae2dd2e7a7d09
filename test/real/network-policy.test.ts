/** Compiled network policies in the kernel: connections between network namespaces come out as they are decided. Needs root and nft. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { decideNetwork, type NetworkEnd } from "../../src/policy/network/decide-network.ts";
import { egressNftables } from "../../src/policy/network/egress-firewall.ts";
import type { NetworkPod } from "../../src/policy/network/network-pod.ts";
import type { NetworkPolicies } from "../../src/policy/network/network-policies.ts";
import { nftablesPods, nftablesScript } from "../../src/policy/network/nftables.ts";
import { networkPoliciesArbitrary } from "../policy/network/arbitrary-policies.ts";
import { program } from "./programs.ts";

const SEED = 20_261_122;
const SETS = Number(process.env.BULWARK_RUNS ?? 20);
const PORTS: readonly number[] = [80, 81, 8080, 9000];
const ROUTER = `bwnp${process.pid}`;
const TABLE = "inet bulwark_policy";

interface Host {
  readonly address: string;
  readonly namespace: string;
  /** Absent: it is no pod. */
  readonly pod?: NetworkPod;
  agent?: Agent;
}

const LABELS: readonly Readonly<Record<string, string>>[] = [
  { app: "x" },
  { app: "y", tier: "x" },
  { app: "z" },
  { tier: "y" },
  {},
  { app: "x", tier: "z" },
];
const TEAMS: Readonly<Record<string, string>> = { a: "red", b: "blue", c: "red" };

const HOSTS: readonly Host[] = [
  ...["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.2", "10.200.0.1", "192.168.0.1"].map(
    (address, at): Host => {
      const namespace = "abc"[at % 3] ?? "a";
      return {
        address,
        namespace: `${ROUTER}-${at}`,
        pod: {
          name: `${namespace}/pod-${at}`,
          namespace,
          namespaceLabels: { team: TEAMS[namespace] ?? "", "kubernetes.io/metadata.name": namespace },
          labels: LABELS[at] ?? {},
          ports:
            at % 2 === 0
              ? [{ name: "web", port: 80, protocol: "TCP" }]
              : [{ name: "web", port: 8080, protocol: "TCP" }],
          addresses: [address],
          hostNetwork: false,
        },
      };
    },
  ),
  { address: "192.0.2.9", namespace: `${ROUTER}-6` },
];

/** A process in a namespace that listens and connects. */
class Agent {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(namespace: string) {
    const agent = join(import.meta.dirname, "network-policy-agent.ts");
    this.#child = spawn(program("ip"), [
      "netns",
      "exec",
      namespace,
      process.execPath,
      agent,
      ...PORTS.map(String),
    ]);
    this.#child.stderr.resume();
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the agent ended");
    return value;
  }

  async connect(
    targets: readonly { readonly host: string; readonly port: number }[],
  ): Promise<readonly boolean[]> {
    this.#child.stdin.write(`${JSON.stringify(targets)}\n`);
    return JSON.parse(await this.line()) as boolean[];
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}

function ip(...args: readonly string[]): void {
  execFileSync(program("ip"), args);
}

function nft(script: string): void {
  execFileSync(program("ip"), ["netns", "exec", ROUTER, program("nft"), "-f", "-"], { input: script });
}

before(async () => {
  assert.equal(process.getuid?.(), 0, "network namespaces need root");
  ip("netns", "add", ROUTER);
  for (const key of ["net.ipv4.ip_forward=1"])
    execFileSync(program("ip"), ["netns", "exec", ROUTER, "sysctl", "-qw", key]);
  for (const [at, host] of HOSTS.entries()) {
    const link = `np${at}`;
    ip("netns", "add", host.namespace);
    ip("-n", ROUTER, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host.namespace);
    ip("-n", ROUTER, "addr", "add", `169.254.${at}.1/32`, "dev", link);
    ip("-n", ROUTER, "link", "set", link, "up");
    ip("-n", ROUTER, "route", "add", `${host.address}/32`, "dev", link);
    ip("-n", host.namespace, "link", "set", "lo", "up");
    ip("-n", host.namespace, "addr", "add", `${host.address}/32`, "dev", "eth0");
    ip("-n", host.namespace, "link", "set", "eth0", "up");
    ip("-n", host.namespace, "route", "add", `169.254.${at}.1/32`, "dev", "eth0");
    ip(
      "-n",
      host.namespace,
      "route",
      "add",
      "default",
      "via",
      `169.254.${at}.1`,
      "dev",
      "eth0",
      "src",
      host.address,
    );
    host.agent = new Agent(host.namespace);
  }
  for (const { agent } of HOSTS) assert.equal(await agent?.line(), "ready");
});

after(() => {
  for (const { agent } of HOSTS) agent?.end();
  for (const { namespace } of [...HOSTS, { namespace: ROUTER }]) {
    try {
      ip("netns", "del", namespace);
    } catch {
      // It was not made.
    }
  }
});

const PODS = HOSTS.flatMap(({ pod }) => pod ?? []);
const OPTIONS = { table: TABLE, priority: 10, refusal: "reset", logGroup: 7 } as const;

/** What really gets through between all hosts, against what is decided. */
async function check(policies: NetworkPolicies, pods: readonly NetworkPod[], which: string): Promise<number> {
  let refused = 0;
  for (const source of HOSTS) {
    const targets = HOSTS.filter((target) => target !== source).flatMap((target) =>
      PORTS.map((port) => ({ target, port })),
    );
    const results = await source.agent?.connect(
      targets.map(({ target, port }) => ({ host: target.address, port })),
    );
    for (const [at, { target, port }] of targets.entries()) {
      const expected = allowed(policies, pods, source, target, port);
      if (!expected) refused++;
      assert.equal(results?.[at], expected, `${which}: ${source.address} to ${target.address}:${port}`);
    }
  }
  return refused;
}

function allowed(
  policies: NetworkPolicies,
  pods: readonly NetworkPod[],
  source: Host,
  target: Host,
  port: number,
): boolean {
  const podAt = ({ address }: Host): NetworkPod | undefined =>
    pods.find(({ addresses }) => addresses[0] === address);
  const end = (host: Host): NetworkEnd => {
    const pod = podAt(host);
    return pod === undefined ? { address: host.address } : { pod };
  };
  const says = (
    subject: NetworkPod | undefined,
    direction: "ingress" | "egress",
    other: NetworkEnd,
  ): boolean =>
    subject === undefined ||
    decideNetwork(policies, { direction, subject, other, protocol: "TCP", port }).outcome === "allow";
  return says(podAt(source), "egress", end(target)) && says(podAt(target), "ingress", end(source));
}

test(`${SETS} random sets of network policies let through in the kernel what is decided, between every two of six pods and a host outside`, async () => {
  let refused = 0;
  for (const [at, policies] of fc.sample(networkPoliciesArbitrary, { seed: SEED, numRuns: SETS }).entries()) {
    nft(nftablesScript(policies, PODS, OPTIONS));
    refused += await check(policies, PODS, `set ${at} of seed ${SEED}`);
  }
  assert.ok(refused > SETS, `only ${refused} connections were refused`);
});

test("pods come and go by elements alone, under the same rules", async () => {
  const [policies] = fc.sample(
    networkPoliciesArbitrary.filter(({ policies: own }) => own.length > 2),
    { seed: SEED, numRuns: 1 },
  );
  assert.ok(policies !== undefined);
  nft(nftablesScript(policies, PODS.slice(0, 3), OPTIONS));
  await check(policies, PODS.slice(0, 3), "three pods");
  nft(nftablesPods(policies, PODS, TABLE));
  await check(policies, PODS, "six pods");
});

/** Packets that a counter has seen. */
function counted(counter: string): number {
  const args = [
    "netns",
    "exec",
    ROUTER,
    program("nft"),
    "list",
    "counter",
    "inet",
    "bulwark_egress",
    counter,
  ];
  return Number(/packets (\d+)/.exec(execFileSync(program("ip"), args, { encoding: "utf8" }))?.[1]);
}

test("the exported firewall lets gateways out, and nobody else", async () => {
  const [gateway, other, outside] = [HOSTS[0], HOSTS[1], HOSTS[6]];
  assert.ok(gateway?.agent !== undefined && other?.agent !== undefined && outside !== undefined);
  nft(`delete table ${TABLE}\n`);
  nft(
    egressNftables(
      { gateways: [], namespaces: [], ports: [80] },
      { cluster: ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"], gateways: [gateway.address] },
    ),
  );
  assert.deepEqual(await gateway.agent.connect([{ host: outside.address, port: 80 }]), [true]);
  assert.deepEqual(await other.agent.connect([{ host: gateway.address, port: 9000 }]), [true]);
  assert.ok(counted("left_by_gateways") > 0);
  assert.equal(counted("refused"), 0);
  // Nobody answers these: that they are refused is what the counter tells.
  const unanswered = (): readonly boolean[] => [];
  void other.agent.connect([{ host: outside.address, port: 80 }]).catch(unanswered);
  void gateway.agent.connect([{ host: outside.address, port: 9000 }]).catch(unanswered);
  while (counted("refused") < 2) await new Promise((settle) => setTimeout(settle, 20));
});
