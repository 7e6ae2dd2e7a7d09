/** Tests that need pods as network namespaces: run where they can be made, skipped by name with the reason where not. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { whyNoNetns } from "../../../src/substrate/netns/ability.ts";
import { meshTag } from "../../../src/substrate/netns/addresses.ts";
import { isOfMesh, NETNS_FOLDER, USERNS_FOLDER } from "../../../src/substrate/netns/names.ts";
import { bulwark, type Finished } from "../../cli/run-bulwark.ts";
import { type LiveMesh, processesOn } from "../live-mesh.ts";
import { run } from "../programs.ts";

const missing = await whyNoNetns();

/** For the options of a test. */
export const SKIP = missing === undefined ? false : `pods cannot be network namespaces here: ${missing}`;

/** Runs a command in a pod as its application, or as its root. */
export function inPod(
  mesh: LiveMesh,
  pod: string,
  words: readonly string[],
  asRoot = false,
): Promise<Finished> {
  const how = ["--state", mesh.state.root, ...(asRoot ? ["--root"] : [])];
  return bulwark(["shell", pod, ...how, "--", ...words]);
}

export interface CurlOutcome {
  /** HTTP status; 0 where none came. */
  readonly status: number;
  readonly body: string;
  readonly error: string;
}

/** Plain curl: nothing tells it of a mesh. */
export async function curl(
  mesh: LiveMesh,
  pod: string,
  args: readonly string[],
  prefix: readonly string[] = [],
  asRoot = false,
): Promise<CurlOutcome> {
  const words = [...prefix, "curl", "-s", "-m", "10", "-w", "\n%{http_code} %{errormsg}", ...args];
  const { stdout, stderr } = await inPod(mesh, pod, words, asRoot);
  const last = stdout.lastIndexOf("\n");
  const [, status, error = ""] =
    /^(\d{3}) ?(.*)$/s.exec(stdout.slice(last + 1)) ?? assert.fail(`${stdout}${stderr}`);
  return { status: Number(status), body: stdout.slice(0, Math.max(last, 0)), error };
}

/** As the proxy: its traffic is not captured. */
export const AS_PROXY = ["setpriv", "--reuid=1337", "--regid=1337", "--clear-groups"];

/** Runs a program in a namespace of the mesh that is no pod's. */
export async function inNamespace(mesh: LiveMesh, part: string, words: readonly string[]): Promise<string> {
  const namespace = `${NETNS_FOLDER}/bw-${meshTag(mesh.state.root)}-${part}`;
  const { code, stdout, stderr } = await run("nsenter", [`--net=${namespace}`, "--", ...words]);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** Packets that arrived outside, by source address. */
export async function arrivedOutside(mesh: LiveMesh): Promise<ReadonlyMap<string, number>> {
  const text = await inNamespace(mesh, "outside", ["nft", "-j", "list", "table", "inet", "bulwark"]);
  const { nftables } = JSON.parse(text) as {
    nftables: { set?: { elem?: { elem?: { val: string; counter: { packets: number } } }[] } }[];
  };
  const elements = nftables.flatMap(({ set }) => set?.elem ?? []);
  return new Map(
    elements.flatMap(({ elem }) => (elem === undefined ? [] : [[elem.val, elem.counter.packets]])),
  );
}

/** Everything of the machine that a mesh on network namespaces could leave behind. */
export function leftBehind(statePath: string): readonly string[] {
  const tag = meshTag(statePath);
  const names = [NETNS_FOLDER, USERNS_FOLDER].flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((name) => `${folder}/${name}`) : [],
  );
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return [
    ...names.filter((path) => isOfMesh(path.slice(path.lastIndexOf("/") + 1), tag)),
    ...mounts.filter((line) => line.includes(`bw-${tag}-`) || line.includes(statePath)),
    ...processesOn(statePath).map((pid) => `process ${pid}`),
  ];
}
