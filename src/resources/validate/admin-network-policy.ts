import { type Field, quoted } from "./field.ts";
import { isCidr } from "./host-names.ts";
import { checkLabelSelector } from "./label-selector.ts";
import { isPortName } from "./network-policy.ts";

const CODE = "BW1250_ADMIN_NETWORK_POLICY";

/** What the CRD of AdminNetworkPolicy (network-policy-api v0.1.5) says of values; the types are checked by its schema. */
export function checkAdminNetworkPolicy(spec: Field): void {
  const priority = spec.at("priority");
  if (priority.present && (priority.number < 0 || priority.number > 1000))
    priority.error(CODE, `\`spec.priority\` is ${quoted(priority.value)}`, "0 (first) to 1000");
  checkRules(spec);
}

export function checkBaselineAdminNetworkPolicy(spec: Field, metadata: Field): void {
  if (metadata.at("name").text !== "default")
    metadata
      .at("name")
      .error(CODE, "a cluster has one BaselineAdminNetworkPolicy, named `default`", "name it `default`");
  checkRules(spec);
}

function checkRules(spec: Field): void {
  checkSides(spec.at("subject"));
  for (const [direction, peers] of [
    ["ingress", "from"],
    ["egress", "to"],
  ] as const) {
    const rules = spec.at(direction);
    checkSize(rules, 0, 100);
    for (const rule of rules.items()) checkRule(rule, rule.at(peers));
  }
}

function checkRule(rule: Field, peers: Field): void {
  if (rule.at("name").text.length > 100)
    rule
      .at("name")
      .error("BW1105_OUT_OF_BOUNDS", `\`${rule.at("name").name}\` is longer than 100 characters`);
  if (peers.present) checkSize(peers, 1, 100);
  for (const peer of peers.items()) {
    checkSides(peer);
    if (peer.at("nodes").present) checkLabelSelector(peer.at("nodes"));
    if (peer.at("networks").present) checkSize(peer.at("networks"), 1, 25);
    for (const network of peer.at("networks").items()) checkNetwork(network);
  }
  checkSize(rule.at("ports"), 0, 100);
  const isOutside = peers.items().some((peer) => peer.at("networks").present || peer.at("nodes").present);
  const named = rule
    .at("ports")
    .items()
    .find((port) => port.at("namedPort").present);
  if (isOutside && named !== undefined)
    named.error(CODE, "`networks` and `nodes` have no named ports", "write the numbers, or two rules");
  for (const port of rule.at("ports").items()) checkPort(port);
}

/** Host bits may be set: the CRD does not mind. */
function checkNetwork(network: Field): void {
  if (isCidr(network.text) && network.text.includes(":") !== network.text.includes(".")) return;
  network.error(
    "BW1203_BAD_CIDR",
    `\`${network.name}\` is ${quoted(network.value)}, which is no CIDR block`,
    "as in `10.0.0.0/8` or `2001:db8::/32`",
  );
}

/** Exactly one way to name the other side, or the subject. */
function checkSides(peer: Field): void {
  checkOneField(peer, "namespaces, pods, networks or nodes");
  checkLabelSelector(peer.at("namespaces"));
  checkLabelSelector(peer.at("pods", "namespaceSelector"));
  checkLabelSelector(peer.at("pods", "podSelector"));
}

function checkOneField(field: Field, which: string): void {
  if (field.present && field.size !== 1)
    field.error(CODE, `\`${field.name}\` sets ${field.size} fields`, `exactly one of ${which}`);
}

function checkSize(list: Field, least: number, most: number): void {
  if (!list.present || (list.size >= least && list.size <= most)) return;
  list.error("BW1105_OUT_OF_BOUNDS", `\`${list.name}\` has ${list.size} entries`, `${least} to ${most}`);
}

function checkPort(entry: Field): void {
  checkOneField(entry, "portNumber, portRange or namedPort");
  const [number, range, name] = [entry.at("portNumber"), entry.at("portRange"), entry.at("namedPort")];
  for (const own of [number.at("port"), range.at("start"), range.at("end")])
    if (own.present && (own.number < 1 || own.number > 65_535))
      own.error("BW1204_BAD_PORT", `\`${own.name}\` is ${quoted(own.value)}`, "ports are 1 to 65535");
  if (range.present && range.at("start").number > range.at("end").number)
    range.error(CODE, "the range ends before it starts", "swap `start` and `end`");
  if (name.present && !isPortName(name.text))
    name.error(
      "BW1204_BAD_PORT",
      `${quoted(name.value)} is no name of a port`,
      "as a container's port is named",
    );
  for (const { protocol } of [number, range].map((own) => ({ protocol: own.at("protocol") })))
    if (protocol.present && !["TCP", "UDP", "SCTP"].includes(protocol.text))
      protocol.error(
        "BW1103_NOT_ONE_OF",
        `\`${protocol.name}\` is ${quoted(protocol.value)}; it must be one of TCP, UDP, SCTP`,
      );
}
