import type { Field } from "./field.ts";
import { quoted } from "./field.ts";
import { checkSelector } from "./labels.ts";

/** @see https://istio.io/latest/docs/reference/config/security/peer_authentication/ */
export function checkPeerAuthentication(spec: Field): void {
  checkSelector(spec.at("selector"), "matchLabels");
  const ports = spec.at("portLevelMtls");
  if (!ports.present) return;
  if (spec.at("selector", "matchLabels").size === 0) {
    ports.errorAtKey(
      "BW1216_PORT_MTLS",
      "`portLevelMtls` needs a `selector` with labels",
      "ports belong to workloads: select them, or remove `portLevelMtls`",
    );
  }
  for (const [port, mode] of ports.entries()) {
    if (/^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535) continue;
    mode.errorAtKey(
      "BW1204_BAD_PORT",
      `${quoted(port)} is no port: 1 to 65535, the workload's own port and not the Service's`,
    );
  }
}
