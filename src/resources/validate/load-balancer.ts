import { checkDuration } from "./duration.ts";
import { type Field, quoted } from "./field.ts";

export function checkLoadBalancer(balancer: Field, hasOutlierDetection: boolean): void {
  if (!balancer.present) return;
  checkConsistentHash(balancer.at("consistentHash"));
  const locality = balancer.at("localityLbSetting");
  const zone = balancer.at("zoneAwareLbSetting");
  if (locality.present && zone.present)
    fail(zone, "only one of `localityLbSetting` and `zoneAwareLbSetting` may be set");
  checkLocality(locality, hasOutlierDetection);
  checkZoneAware(zone, hasOutlierDetection);
  const warmup = balancer.at("warmup");
  checkDuration(warmup.at("duration"));
  if (warmup.at("minimumPercent").number > 100)
    fail(warmup.at("minimumPercent"), "`minimumPercent` must not be above 100");
  if (warmup.at("aggression").present && warmup.at("aggression").number <= 0)
    fail(warmup.at("aggression"), "`aggression` must be above 0");
  checkDuration(balancer.at("warmupDurationSecs"));
}

/** Envoy's own bound on Maglev tables. */
const MAGLEV_BOUND = 5_000_011;

function checkConsistentHash(hash: Field): void {
  const cookie = hash.at("httpCookie");
  if (cookie.present && cookie.at("name").text === "") fail(cookie, "`httpCookie` needs a `name`");
  const names = new Set<string>();
  for (const attribute of cookie.at("attributes").items()) {
    const name = attribute.at("name").text;
    if (name === "") fail(attribute, "a cookie attribute needs a `name`");
    else if (names.has(name)) fail(attribute, `the cookie attribute ${quoted(name)} stands twice`);
    names.add(name);
  }
  const minimum = hash.at("minimumRingSize");
  if (minimum.number !== 0) {
    minimum.warning(
      "BW1307_DEPRECATED",
      "`minimumRingSize` is deprecated here",
      "use `ringHash.minimumRingSize`",
    );
    if (hash.at("ringHash").present || hash.at("maglev").present)
      fail(minimum, "`minimumRingSize` cannot stand beside `ringHash` or `maglev`");
  }
  if (!hash.at("maglev").present) return;
  const size = hash.at("maglev", "tableSize").number;
  if (size === 0 || size >= MAGLEV_BOUND || !isPrime(size)) {
    fail(hash.at("maglev"), `the size of a Maglev table must be a prime below ${MAGLEV_BOUND}, not ${size}`);
  }
}

/** As Envoy has it: 1 counts as prime. */
function isPrime(value: number): boolean {
  if (value !== 0 && value < 4) return true;
  if (value % 2 === 0) return false;
  for (let factor = 3; factor * factor <= value; factor += 2) if (value % factor === 0) return false;
  return true;
}

const TOPOLOGY: ReadonlySet<string> = new Set([
  "topology.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  "topology.istio.io/subzone",
]);

export function checkLocality(locality: Field, hasOutlierDetection: boolean): void {
  if (!locality.present) return;
  const distribute = locality.at("distribute");
  const failover = locality.at("failover");
  const priority = locality.at("failoverPriority");
  if (distribute.size > 0 && failover.size > 0) {
    fail(failover, "only one of `distribute` and `failover` may be set");
    return;
  }
  const topology = priority.items().find((label) => TOPOLOGY.has(label.text));
  if (failover.size > 0 && topology !== undefined) {
    fail(
      topology,
      `\`failover\` cannot stand beside the label ${quoted(topology.text)} in \`failoverPriority\``,
    );
    return;
  }
  const sources: Field[] = [];
  for (const entry of distribute.items()) {
    sources.push(entry.at("from"));
    const weights = entry.at("to").entries();
    if (weights.some(([, weight]) => weight.number <= 0 || weight.number > 100)) {
      fail(entry, "the weight of a locality must be 1 to 100");
      return;
    }
    const total = weights.reduce((sum, [, weight]) => sum + weight.number, 0);
    if (total !== 100) {
      fail(entry, `the weights of \`${entry.name}.to\` add up to ${total}; they must add up to 100`);
      return;
    }
    checkLocalities(
      entry.at("to"),
      weights.map(([name]) => name),
    );
  }
  checkLocalities(
    distribute,
    sources.map((source) => source.text),
  );
  checkFailover(locality, hasOutlierDetection);
}

function checkZoneAware(zone: Field, hasOutlierDetection: boolean): void {
  if (!zone.present) return;
  for (const label of zone.at("failoverPriority").items()) {
    if (TOPOLOGY.has(label.text)) fail(label, `zone-aware balancing handles ${quoted(label.text)} by itself`);
  }
  checkFailover(zone, hasOutlierDetection);
}

function checkFailover(setting: Field, hasOutlierDetection: boolean): void {
  const failover = setting.at("failover");
  if ((failover.size > 0 || setting.at("failoverPriority").size > 0) && !hasOutlierDetection) {
    setting.warning(
      "BW1310_FAILOVER_WITHOUT_OUTLIERS",
      `\`${setting.name}\` fails over, but nothing says when`,
      "add `outlierDetection`",
    );
  }
  for (const entry of failover.items()) {
    const from = entry.at("from").text;
    const to = entry.at("to").text;
    if (from === to) fail(entry, "failover must lead to another region");
    if (`${from}${to}`.includes("/")) fail(entry, "failover names regions only, without zones");
    if (`${from}${to}`.includes("*")) fail(entry, "failover names regions without `*`");
  }
}

/** Region, region/zone or region/zone/subzone, perhaps ending in `*`; none may cover another. */
function checkLocalities(field: Field, localities: readonly string[]): void {
  const seen: string[][] = [];
  for (const locality of localities) {
    const stars = locality.split("*").length - 1;
    const parts = splitLocality(locality);
    if (stars > 1 || (stars === 1 && !locality.endsWith("*")))
      fail(field, `${quoted(locality)}: one \`*\`, at the end, is all there may be`);
    else if (parts.includes("")) fail(field, `${quoted(locality)} has an empty part`);
    else if (seen.some((other) => covers(other, parts) || covers(parts, other)))
      fail(field, `${quoted(locality)} overlaps with another locality`);
    seen.push(parts);
  }
}

function splitLocality(locality: string): string[] {
  const [region = "", zone, ...rest] = locality.split("/");
  return [region, ...(zone === undefined ? [] : [zone]), ...(rest.length === 0 ? [] : [rest.join("/")])];
}

function covers(outer: readonly string[], inner: readonly string[]): boolean {
  for (const [index, part] of inner.entries()) {
    const own = outer[index];
    if (own === undefined || own === "*") return true;
    if (own !== part) return false;
  }
  return outer.length === inner.length;
}

function fail(field: Field, message: string): void {
  field.error(
    "BW1238_LOAD_BALANCER",
    message,
    "see https://istio.io/latest/docs/reference/config/networking/destination-rule/#LoadBalancerSettings",
  );
}
