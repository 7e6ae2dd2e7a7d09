import { type Field, quoted } from "./field.ts";
import { isIpAddress } from "./host-names.ts";

export const UNIX_PREFIX = "unix://";

/** Where a listener is bound: an IP address, or a Unix socket, which has port 0. */
export function checkBind(bind: Field, port: Field): void {
  if (bind.text.startsWith(UNIX_PREFIX)) {
    checkUnixAddress(bind, bind.text.slice(UNIX_PREFIX.length));
    if (port.at("number").number !== 0) port.at("number").error("BW1241_BIND", "a Unix socket has port 0");
  } else checkBindAddress(bind);
}

export function checkBindAddress(bind: Field): void {
  if (bind.text === "" || isIpAddress(bind.text)) return;
  bind.error(
    "BW1241_BIND",
    `\`${bind.name}\` is ${quoted(bind.text)}, which is no IP address`,
    "an IP address, or `unix:///path/to/socket`",
  );
}

/** An absolute path, or the name of an abstract socket (`@name`). */
export function checkUnixAddress(field: Field, path: string): void {
  if (path.startsWith("@") || (path.startsWith("/") && !path.endsWith("/"))) return;
  field.error(
    "BW1241_BIND",
    `\`${field.name}\` is ${quoted(field.text)}, which is no absolute path of a socket`,
    "`unix:///path/to/socket`",
  );
}
