import type { FuzzTarget } from "./target.ts";
import { connectTarget } from "./targets/connect.ts";
import { derTarget } from "./targets/der.ts";
import { flowBatchTarget } from "./targets/flow-batch.ts";
import { helloTarget } from "./targets/hello.ts";
import { httpTarget } from "./targets/http.ts";
import { httpResponseTarget } from "./targets/http-response.ts";
import { httpServerTarget } from "./targets/http-server.ts";
import { http2Target } from "./targets/http2.ts";
import { jwtTarget } from "./targets/jwt.ts";
import { ocspTarget } from "./targets/ocsp.ts";
import { pathTarget } from "./targets/path.ts";
import { protobufTarget } from "./targets/protobuf.ts";
import { sniffTarget } from "./targets/sniff.ts";
import { socks5Target } from "./targets/socks5.ts";
import { templateTarget } from "./targets/template.ts";
import { xfccTarget } from "./targets/xfcc.ts";
import { yamlTarget } from "./targets/yaml.ts";

export const TARGETS: readonly FuzzTarget[] = [
  yamlTarget,
  pathTarget,
  helloTarget,
  jwtTarget,
  httpTarget,
  httpServerTarget,
  httpResponseTarget,
  http2Target,
  templateTarget,
  sniffTarget,
  socks5Target,
  connectTarget,
  xfccTarget,
  flowBatchTarget,
  protobufTarget,
  derTarget,
  ocspTarget,
];

/** @throws for a name that no target has. */
export function findTarget(name: string): FuzzTarget {
  const found = TARGETS.find((target) => target.name === name);
  if (found === undefined)
    throw new Error(`no target \`${name}\`; there are: ${TARGETS.map((target) => target.name).join(", ")}`);
  return found;
}
