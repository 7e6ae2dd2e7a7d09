import { http } from "../node-http.ts";
import { checkDestination, checkDestinations, checkGatewayNames } from "./destination.ts";
import { checkDuration, parseDurationNs } from "./duration.ts";
import { checkFault } from "./fault.ts";
import { type Field, quoted } from "./field.ts";
import { checkAuthorityOnce, checkCorsHeader, checkHeaderOperations, checkMatchedHeader } from "./headers.ts";
import { checkPort, isDnsLabel } from "./host-names.ts";
import { checkLabels } from "./labels.ts";
import { checkRegex, checkStringMatch } from "./string-match.ts";

/** One entry of a VirtualService's `http`. */
export function checkHttpRoute(route: Field, isDelegate: boolean): void {
  if (!route.present) {
    route.error("BW1222_ROUTE", `\`${route.name}\` is empty`, "remove it");
    return;
  }
  if (!isDelegate && route.at("delegate").present) checkRootRoute(route);
  else checkRouteParts(route, isDelegate);
  for (const match of route.at("match").items()) if (match.present) checkMatch(match);
  checkHeaderOperations(route.at("headers"));
  checkCors(route.at("corsPolicy"));
  checkFault(route.at("fault"));
  checkMirrors(route);
  checkRedirect(route.at("redirect"), route.at("match"));
  checkDirectResponse(route.at("directResponse"));
  checkRetries(route.at("retries"));
  checkRewrite(route.at("rewrite"));
  checkAuthorityOnce(route.at("rewrite"), route.at("headers"));
  checkDestinations(route.at("route"), (destination) => checkHeaderOperations(destination.at("headers")));
  checkDuration(route.at("timeout"));
}

function checkRootRoute(route: Field): void {
  for (const key of ["redirect", "route"]) {
    if (route.at(key).present && (key !== "route" || route.at(key).size > 0)) {
      route
        .at(key)
        .errorAtKey(
          "BW1232_DELEGATE",
          `a route with \`delegate\` cannot have \`${key}\``,
          "the delegate says where requests go",
        );
    }
  }
}

/** A route leads somewhere, or redirects, or answers by itself: exactly one of them. */
function checkRouteParts(route: Field, isDelegate: boolean): void {
  if (isDelegate && route.at("delegate").present) {
    route.at("delegate").errorAtKey("BW1232_DELEGATE", "a delegate cannot delegate again");
  }
  const answer = ["redirect", "directResponse"].find((key) => route.at(key).present);
  if (answer === undefined && route.at("route").size === 0) {
    route.error(
      "BW1222_ROUTE",
      `\`${route.name}\` leads nowhere: it needs \`route\`, \`redirect\` or \`directResponse\``,
    );
  }
  if (answer !== undefined) {
    for (const key of ["route", "fault", "rewrite", "redirect", "directResponse"]) {
      const other = route.at(key);
      if (key === answer || !other.present || (key === "route" && other.size === 0)) continue;
      other.errorAtKey("BW1222_ROUTE", `\`${key}\` cannot stand beside \`${answer}\``, "keep one of the two");
    }
  }
  if (route.at("mirror").present && route.at("mirrors").size > 0) {
    route
      .at("mirror")
      .errorAtKey("BW1231_MIRROR", "only one of `mirror` and `mirrors` may be set", "use `mirrors`");
  }
}

function checkMatch(match: Field): void {
  for (const [name, header] of match.at("headers").entries()) {
    checkMatchedHeader(header, name);
    checkStringMatch(header);
  }
  for (const [name, header] of match.at("withoutHeaders").entries()) {
    checkMatchedHeader(header, name);
    // `*` stands for "is there" and is no regular expression.
    if (header.at("regex").text !== "*") checkStringMatch(header);
  }
  checkStringMatch(match.at("uri"), { emptyPrefix: true });
  for (const key of ["scheme", "method", "authority"]) checkStringMatch(match.at(key));
  for (const [, parameter] of match.at("queryParams").entries()) checkStringMatch(parameter);
  if (match.at("port").number !== 0) checkPort(match.at("port"));
  checkLabels(match.at("sourceLabels"));
  checkGatewayNames(match.at("gateways"));
  const source = match.at("sourceNamespace");
  if (source.text !== "" && !isDnsLabel(source.text)) {
    source.error(
      "BW1224_STRING_MATCH",
      `\`${source.name}\` is ${quoted(source.text)}, which is no namespace`,
    );
  }
}

const CORS_METHODS: readonly string[] = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "*",
];

function checkCors(cors: Field): void {
  for (const origin of cors.at("allowOrigins").items()) {
    if (["exact", "prefix", "regex"].every((key) => origin.at(key).text === "")) {
      origin.error("BW1229_CORS", `\`${origin.name}\` names no origin`, "set `exact`, `prefix` or `regex`");
    } else if (origin.at("regex").text !== "") checkRegex(origin.at("regex"));
  }
  for (const method of cors.at("allowMethods").items()) {
    if (!CORS_METHODS.includes(method.text))
      method.error("BW1229_CORS", `${quoted(method.text)} is no HTTP method`, "methods are in upper case");
  }
  for (const list of ["allowHeaders", "exposeHeaders"])
    for (const name of cors.at(list).items()) checkCorsHeader(name);
  const maxAge = cors.at("maxAge");
  checkDuration(maxAge);
  if (((parseDurationNs(maxAge.text) ?? 0) / 1e9) % 1 !== 0) {
    maxAge.error("BW1229_CORS", `\`${maxAge.name}\` is ${quoted(maxAge.text)}: whole seconds only`);
  }
}

function checkMirrors(route: Field): void {
  checkDestination(route.at("mirror"));
  for (const key of ["mirrorPercent", "mirror_percent"]) {
    const percent = route.at(key);
    if (!percent.present) continue;
    checkPercent(percent);
    percent.warning("BW1307_DEPRECATED", `\`${key}\` is deprecated`, "use `mirrorPercentage.value`");
  }
  checkPercent(route.at("mirrorPercentage", "value"));
  for (const mirror of route.at("mirrors").items()) {
    if (!mirror.at("destination").present)
      mirror.error("BW1231_MIRROR", `\`${mirror.name}\` needs a \`destination\``);
    checkDestination(mirror.at("destination"));
    checkPercent(mirror.at("percentage", "value"));
  }
}

function checkPercent(percent: Field): void {
  if (percent.number >= 0 && percent.number <= 100) return;
  percent.error("BW1231_MIRROR", `\`${percent.name}\` is ${quoted(percent.value)}; it must be 0 to 100`);
}

function checkRedirect(redirect: Field, matches: Field): void {
  if (!redirect.present) return;
  const fail = (message: string, help?: string): void =>
    redirect.error("BW1228_REDIRECT_OR_REWRITE", message, help);
  const { uri, prefixRewrite, authority, scheme } = {
    uri: redirect.at("uri").text,
    prefixRewrite: redirect.at("prefixRewrite").text,
    authority: redirect.at("authority").text,
    scheme: redirect.at("scheme").text,
  };
  const hasPort = redirect.at("port").present || redirect.at("derivePort").present;
  if (uri !== "" && prefixRewrite !== "") fail("a redirect has `uri` or `prefixRewrite`, not both");
  const notPrefix = matches
    .items()
    .some((match) => match.at("uri").present && !match.at("uri", "prefix").present);
  if (prefixRewrite !== "" && notPrefix)
    fail("`prefixRewrite` needs every match of the URI to be a `prefix`");
  if (uri === "" && prefixRewrite === "" && authority === "" && scheme === "" && !hasPort) {
    fail("a redirect must change something", "set `uri`, `authority`, `scheme` or `port`");
  }
  const code = redirect.at("redirectCode").number;
  if (code !== 0 && (code < 300 || code > 399))
    fail(`${code} is no code of a redirect`, "301, 302, 303, 307 or 308");
  if (scheme !== "" && scheme !== "http" && scheme !== "https")
    fail(`the scheme ${quoted(scheme)} is neither http nor https`);
  if (redirect.at("port").number > 0) checkPort(redirect.at("port"));
}

const LARGE_BODY_BYTES = 100 * 1024;
const MAX_BODY_BYTES = 1024 * 1024;

function checkDirectResponse(response: Field): void {
  if (!response.present) return;
  const status = response.at("status");
  if (status.number < 200 || status.number > 600) {
    status.error(
      "BW1230_DIRECT_RESPONSE",
      `\`${status.name}\` is ${quoted(status.value)}; it must be 200 to 599`,
    );
  }
  const body = response.at("body");
  const bytes = Math.max(
    Buffer.byteLength(body.at("string").text),
    Buffer.byteLength(body.at("bytes").text, "base64"),
  );
  if (bytes > MAX_BODY_BYTES)
    body.error("BW1230_DIRECT_RESPONSE", `the body has ${bytes} bytes; the most is ${MAX_BODY_BYTES}`);
  else if (bytes > LARGE_BODY_BYTES)
    body.warning(
      "BW1308_LARGE_BODY",
      `the body has ${bytes} bytes, which every proxy is sent`,
      "serve it from an application",
    );
}

const RETRY_ON: ReadonlySet<string> = new Set([
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "retriable-4xx",
  "refused-stream",
  "retriable-status-codes",
  "retriable-headers",
  "envoy-ratelimited",
  "http3-post-connect-failure",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
]);
/** The one code that Node knows and Go, and so Istio, does not. */
const NOT_IN_GO = "509";

export function checkRetries(retries: Field): void {
  if (!retries.present) return;
  const attempts = retries.at("attempts").number;
  if (attempts < 0) retries.at("attempts").error("BW1226_RETRIES", "`attempts` must not be negative");
  const set = ["perTryTimeout", "retryOn", "retryRemoteLocalities"].find(
    (key) => retries.at(key).present && retries.at(key).value !== "",
  );
  if (attempts === 0 && set !== undefined) {
    retries
      .at(set)
      .errorAtKey(
        "BW1226_RETRIES",
        `\`${set}\` is set, but \`attempts\` is 0: nothing is retried`,
        "set `attempts`, or remove it",
      );
  }
  checkDuration(retries.at("perTryTimeout"));
  checkDuration(retries.at("backoff"));
  const retryOn = retries.at("retryOn");
  if (retryOn.text === "") return;
  for (const policy of retryOn.text.split(",")) {
    if (RETRY_ON.has(policy) || (Object.hasOwn(http.STATUS_CODES, policy) && policy !== NOT_IN_GO)) continue;
    retryOn.error(
      "BW1226_RETRIES",
      `${quoted(policy)} is nothing that can be retried on`,
      "like `5xx,connect-failure` (no blanks), or a status code",
    );
  }
}

function checkRewrite(rewrite: Field): void {
  if (!rewrite.present) return;
  const fail = (message: string): void => rewrite.error("BW1228_REDIRECT_OR_REWRITE", message);
  const regex = rewrite.at("uriRegexRewrite");
  const uri = rewrite.at("uri").text;
  if (uri !== "" && regex.present) fail("a rewrite has `uri` or `uriRegexRewrite`, not both");
  if (uri === "" && !regex.present && rewrite.at("authority").text === "") {
    fail("a rewrite must change something: set `uri`, `uriRegexRewrite` or `authority`");
  }
  if (!regex.present) return;
  if (regex.at("match").text === "" || regex.at("rewrite").text === "")
    fail("`uriRegexRewrite` needs `match` and `rewrite`");
  else checkRegex(regex.at("match"));
}
