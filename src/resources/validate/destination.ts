import type { Field } from "./field.ts";
import { quoted } from "./field.ts";
import { badHost, checkPort, checkWildcardHost, isDnsLabel, nameProblem } from "./host-names.ts";

/** Where a route leads: host, subset, port. */
export function checkDestination(destination: Field): void {
  if (!destination.present) return;
  const host = destination.at("host");
  if (host.text === "*") badHost(host, "names every host: a route leads to one");
  else checkWildcardHost(host);
  if (destination.at("subset").text !== "") checkSubsetName(destination.at("subset"));
  const port = destination.at("port");
  if (port.present) checkPort(port.at("number"));
}

export function checkSubsetName(name: Field): void {
  if (isDnsLabel(name.text)) return;
  name.error(
    "BW1225_DESTINATION",
    `\`${name.name}\` is ${quoted(name.text)}, which is no subset name`,
    "up to 63 letters, digits and `-`",
  );
}

/** The destinations of one route share its requests by weight. */
export function checkDestinations(routes: Field, each: (route: Field) => void = () => {}): void {
  let total = 0;
  for (const route of routes.items()) {
    if (!route.present || !route.at("destination").present) {
      route.error("BW1225_DESTINATION", `\`${route.name}\` needs a \`destination\``);
      continue;
    }
    each(route);
    checkDestination(route.at("destination"));
    const weight = route.at("weight").number;
    if (weight < 0) route.at("weight").error("BW1225_DESTINATION", "a weight must not be negative");
    total += weight;
  }
  if (routes.size > 1 && total === 0) {
    routes.error(
      "BW1225_DESTINATION",
      `the weights of \`${routes.name}\` add up to 0`,
      "give each destination a weight; together 100",
    );
  }
}

/** Names of gateways that a route is bound to: `mesh`, a name, or `namespace/name`. */
export function checkGatewayNames(names: Field): void {
  for (const name of names.items()) {
    const slash = name.text.indexOf("/");
    if (slash < 0) {
      if (name.text.includes(".")) legacyName(name);
      const problem = nameProblem(name.text);
      if (problem !== undefined) gatewayName(name, problem);
      // Istio looks no further than the first name without a namespace.
      return;
    }
    const wrong = [name.text.slice(0, slash), name.text.slice(slash + 1)].find((part) => !isDnsLabel(part));
    if (wrong !== undefined) gatewayName(name, `has the part ${quoted(wrong)}`);
  }
}

function gatewayName(name: Field, problem: string): void {
  name.error(
    "BW1233_GATEWAY_NAME",
    `\`${name.name}\` is ${quoted(name.text)}, which ${problem}`,
    "write `mesh`, `name` or `namespace/name`",
  );
}

function legacyName(name: Field): void {
  const [gateway = "", namespace = ""] = name.text.split(".");
  name.warning(
    "BW1305_LEGACY_GATEWAY_NAME",
    `${quoted(name.text)} is the old way to name a gateway`,
    `write \`${namespace}/${gateway}\``,
  );
}
