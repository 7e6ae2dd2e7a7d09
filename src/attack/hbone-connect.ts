import { connect as connectHttp2 } from "node:http2";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { Attempt } from "./conclude.ts";
import type { Credentials } from "./mesh-under-attack.ts";
import { pastSidecar } from "./position.ts";
import { describe, dialTls } from "./wire.ts";

export const HBONE_PORT = 15_008;
const ANSWER_TIMEOUT_MS = 5000;

/**
 * A tunnel as a ztunnel opens one (HTTP/2 CONNECT over the mesh's TLS), by an attacker with a certificate, past its own sidecar.
 * @param authority where it is to lead. Reached: 200.
 */
export async function connectThroughHbone(
  from: PodAssignment,
  to: PodAssignment,
  credentials: Credentials,
  authority: string,
): Promise<Attempt> {
  const address = { host: to.address, port: HBONE_PORT, ...pastSidecar(from) };
  const dialled = await dialTls(address, { credentials, ALPNProtocols: ["h2"] });
  const { local, startedAtMs } = dialled;
  const evidence = { certificateSerial: credentials.serial };
  if ("failure" in dialled)
    return { reached: false, happened: dialled.failure, evidence, local, startedAtMs };
  const session = connectHttp2("https://hbone", { createConnection: () => dialled.socket });
  const answer = await new Promise<number | string>((resolve) => {
    session.on("error", (error) => resolve(describe(error)));
    session.once("close", () => resolve("closed without an answer"));
    setTimeout(() => resolve("no answer in time"), ANSWER_TIMEOUT_MS).unref();
    const stream = session.request({ ":method": "CONNECT", ":authority": authority });
    stream.on("error", (error) => resolve(describe(error)));
    stream.on("response", ({ ":status": status }) => resolve(status ?? 0));
  });
  session.destroy();
  return {
    reached: answer === 200,
    happened: typeof answer === "number" ? `CONNECT: ${answer}` : answer,
    evidence: { ...evidence, ...(typeof answer === "number" ? { status: answer } : {}) },
    local,
    startedAtMs,
  };
}
