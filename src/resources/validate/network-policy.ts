import { type Field, quoted } from "./field.ts";
import { checkLabelSelector } from "./label-selector.ts";
import { checkStrictCidr, strictCidr } from "./strict-cidr.ts";

const CODE = "BW1249_NETWORK_POLICY";
const MAX_PORT = 65_535;

/** A NetworkPolicy as the API server of Kubernetes 1.36 takes it (pkg/apis/networking/validation: ValidateNetworkPolicySpec). */
export function checkNetworkPolicy(spec: Field): void {
  checkLabelSelector(spec.at("podSelector"));
  checkPolicyTypes(spec.at("policyTypes"));
  for (const [rules, peers] of [
    ["ingress", "from"],
    ["egress", "to"],
  ] as const) {
    for (const rule of spec.at(rules).items()) {
      for (const port of rule.at("ports").items()) checkPort(port);
      for (const peer of rule.at(peers).items()) checkPeer(peer);
    }
  }
}

function checkPolicyTypes(types: Field): void {
  if (types.size > 2) types.error(CODE, "there are two policy types only", "Ingress, Egress, or both");
  for (const type of types.items())
    if (type.text !== "Ingress" && type.text !== "Egress")
      type.error(
        "BW1103_NOT_ONE_OF",
        `\`${type.name}\` is ${quoted(type.value)}; it must be one of Ingress, Egress`,
      );
}

function checkPort(entry: Field): void {
  const [port, endPort, protocol] = [entry.at("port"), entry.at("endPort"), entry.at("protocol")];
  if (protocol.present && !["TCP", "UDP", "SCTP"].includes(protocol.text))
    protocol.error(
      "BW1103_NOT_ONE_OF",
      `\`${protocol.name}\` is ${quoted(protocol.value)}; it must be one of TCP, UDP, SCTP`,
    );
  if (typeof port.value === "number") {
    checkNumber(port);
    if (!endPort.present) return;
    checkNumber(endPort);
    if (endPort.number < port.number)
      endPort.error(
        CODE,
        `\`endPort\` ${endPort.number} is smaller than \`port\` ${port.number}`,
        "swap them",
      );
    return;
  }
  if (port.present && !isPortName(port.text))
    port.error(
      "BW1204_BAD_PORT",
      `${quoted(port.value)} is neither a port nor the name of one`,
      "a number from 1 to 65535, or at most 15 lower-case letters, digits and single dashes with a letter among them",
    );
  if (endPort.present)
    endPort.errorAtKey(CODE, "`endPort` goes with a `port` that is a number", "write both as numbers");
}

/** @see IANA service names, RFC 6335 §5.1, as Kubernetes' IsValidPortName reads it. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && /^[a-z0-9](-?[a-z0-9])*$/.test(text) && /[a-z]/.test(text);
}

function checkNumber(port: Field): void {
  if (Number.isInteger(port.value) && port.number >= 1 && port.number <= MAX_PORT) return;
  port.error("BW1204_BAD_PORT", `\`${port.name}\` is ${quoted(port.value)}`, "ports are 1 to 65535");
}

function checkPeer(peer: Field): void {
  const block = peer.at("ipBlock");
  const selectors = [peer.at("podSelector"), peer.at("namespaceSelector")].filter(({ present }) => present);
  for (const selector of selectors) checkLabelSelector(selector);
  if (block.present) checkIpBlock(block);
  if (block.present && selectors.length > 0)
    block.errorAtKey(
      CODE,
      "`ipBlock` stands alone: not beside a selector in one peer",
      "write two entries of the list, each with a dash of its own",
    );
  if (!block.present && selectors.length === 0)
    peer.error(
      CODE,
      `\`${peer.name}\` names no peer`,
      "`podSelector`, `namespaceSelector` or `ipBlock`; leave the whole list out for anybody",
    );
}

function checkIpBlock(block: Field): void {
  const whole = strictCidr(block.at("cidr").text);
  if (!checkStrictCidr(block.at("cidr")) || whole === undefined) return;
  for (const except of block.at("except").items()) {
    const own = strictCidr(except.text);
    if (!checkStrictCidr(except) || own === undefined) continue;
    const isInside =
      own.bits === whole.bits &&
      own.length > whole.length &&
      own.network >> BigInt(whole.bits - whole.length) === whole.network >> BigInt(whole.bits - whole.length);
    if (!isInside)
      except.error(
        CODE,
        `${quoted(except.text)} is not a part of ${quoted(block.at("cidr").text)}`,
        "what is excepted must lie in `cidr`, and be smaller",
      );
  }
}
