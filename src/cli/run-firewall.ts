import { dump } from "js-yaml";
import { loadMesh } from "../index.ts";
import { parseCidrBlock } from "../policy/ip-address.ts";
import { egressFirewall, egressNetworkPolicies, egressNftables } from "../policy/network/egress-firewall.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { leavingWorkloads } from "../substrate/netns/may-leave.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { writeDecisionNotes } from "./render/decisions.ts";

export interface FirewallOptions {
  readonly format: "nftables" | "networkpolicy";
  readonly cluster?: readonly string[];
  readonly gateway?: readonly string[];
}

/** @throws {BulwarkError} BW_MESH_INVALID, BW_CLI_INPUT */
export async function runFirewallExport(
  paths: readonly string[],
  options: FirewallOptions,
): Promise<ExitCode> {
  const loaded = await loadMesh(paths);
  writeDecisionNotes(loaded);
  const { mesh } = loaded;
  const gateways = mesh.workloads.filter(({ role }) => role === "gateway").filter(leavingWorkloads(mesh));
  if (gateways.length === 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "the files have no egress gateway: no Gateway that pods serve has a host of a ServiceEntry outside the mesh, and without a way out there is nothing to leave open",
    );
  const firewall = egressFirewall(mesh, gateways);
  if (options.format === "networkpolicy") {
    const documents = egressNetworkPolicies(firewall).map((policy) => dump(policy, { noRefs: true }));
    process.stdout.write(documents.join("---\n"));
    return EXIT.ok;
  }
  const known = gateways.flatMap(({ addresses }) => addresses);
  const addresses = { cluster: options.cluster ?? [], gateways: options.gateway ?? known };
  checkAddresses(addresses);
  process.stdout.write(egressNftables(firewall, addresses));
  return EXIT.ok;
}

function checkAddresses(addresses: {
  readonly cluster: readonly string[];
  readonly gateways: readonly string[];
}): void {
  if (addresses.cluster.length === 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "name the cluster's addresses: --cluster CIDR, for pods and for nodes",
    );
  if (addresses.gateways.length === 0)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "no file tells the gateways' addresses (status.podIP): name what the router sees, --gateway ADDRESS",
    );
  const wrong = [...addresses.cluster, ...addresses.gateways].find(
    (text) => parseCidrBlock(text) === undefined,
  );
  if (wrong !== undefined)
    throw new BulwarkError("BW_CLI_INPUT", `\`${wrong}\` is neither an address nor a CIDR block`);
}
