import { checkProtocol, isHttp, isTls } from "./app-protocols.ts";
import { checkBind } from "./bind.ts";
import type { CheckContext } from "./check-context.ts";
import { type Field, quoted } from "./field.ts";
import { checkPort, isDnsLabel } from "./host-names.ts";
import { checkScopedHost } from "./scoped-host.ts";
import { checkServerTls } from "./server-tls.ts";

/** @see https://istio.io/latest/docs/reference/config/networking/gateway/ */
export function checkGateway(spec: Field, { name }: CheckContext): void {
  if (!isDnsLabel(name)) {
    spec.error(
      "BW1109_BAD_NAME",
      `a Gateway cannot be named ${quoted(name)}`,
      "up to 63 letters, digits and `-`, no dots: VirtualServices name it as `namespace/name`",
    );
  }
  const servers = spec.at("servers");
  if (servers.size === 0) spec.error("BW1239_SERVER", "a Gateway needs at least one server");
  const names = new Set<string>();
  for (const server of servers.items()) {
    checkServer(server);
    const port = server.at("port", "name");
    if (names.has(port.text))
      port.error(
        "BW1220_DUPLICATE",
        `the port name ${quoted(port.text)} stands twice`,
        "give each server's port its own name",
      );
    names.add(port.text);
  }
}

function checkServer(server: Field): void {
  const port = server.at("port");
  const tls = server.at("tls");
  if (server.at("hosts").size === 0)
    server.error("BW1239_SERVER", `\`${server.name}\` needs \`hosts\``, "`*` takes any host");
  for (const host of server.at("hosts").items()) checkScopedHost(host, "gateway");
  checkServerPort(server);
  checkBind(server.at("bind"), port);
  checkServerTls(tls);
  const protocol = port.at("protocol").text;
  if (isTls(protocol) && !tls.present) {
    server.error(
      "BW1240_SERVER_TLS",
      `${protocol} needs \`tls\``,
      "`tls: {mode: SIMPLE, credentialName: …}` ends TLS here; `tls: {mode: PASSTHROUGH}` passes it on",
    );
  }
  if (!isTls(protocol) && tls.present) checkTlsOnPlainPort(tls, protocol);
  if (tls.at("httpsRedirect").isTrue && !isHttp(protocol)) {
    tls.at("httpsRedirect").warning("BW1313_HTTPS_REDIRECT", "`httpsRedirect` is for HTTP servers");
  }
}

function checkServerPort(server: Field): void {
  const port = server.at("port");
  if (!port.present) return;
  checkProtocol(port.at("protocol"), { mayBeEmpty: false });
  if (port.at("number").number > 0 || !server.at("bind").text.startsWith("unix://"))
    checkPort(port.at("number"));
  if (port.at("targetPort").number > 0)
    port.at("targetPort").errorAtKey("BW1239_SERVER", "`targetPort` does nothing in a Gateway", "remove it");
  if (port.at("name").text === "") port.error("BW1239_SERVER", `\`${port.name}\` needs a \`name\``);
}

/** A plain port may say how to redirect, and nothing else about TLS. */
function checkTlsOnPlainPort(tls: Field, protocol: string): void {
  const mode = tls.at("mode").text || "PASSTHROUGH";
  const passes = mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH";
  const hasFiles = ["caCertificates", "privateKey", "serverCertificate"].some(
    (key) => tls.at(key).text !== "",
  );
  if (isHttp(protocol) && passes && !hasFiles) return;
  tls.errorAtKey(
    "BW1240_SERVER_TLS",
    `${quoted(protocol)} is a plain protocol: it has no \`tls\``,
    "use HTTPS or TLS, or remove `tls` (only `httpsRedirect` may stand here)",
  );
}
