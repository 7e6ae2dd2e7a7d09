import type { AuthorizerAddress } from "../authorizer/authorizer-server.ts";
import { type AuthorizerEvent, startAuthorizer } from "../authorizer/run-authorizer.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { AuthorizerCommandOptions } from "./commands/authorizer.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";

const DEFAULT_ADDRESS: AuthorizerAddress = { host: "127.0.0.1", port: 9191 };

/** Serves until a signal asks it to end; one JSON line for each event. @throws {BulwarkError} BW_LISTEN_FAILED */
export async function runAuthorizer(rulesPath: string, options: AuthorizerCommandOptions): Promise<ExitCode> {
  const asked = new Promise<void>((settle) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => settle());
  });
  const tell = (event: AuthorizerEvent): void => {
    if (options.quiet === true && event.kind === "decision") return;
    process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
  };
  try {
    const authorizer = await startAuthorizer({
      rulesPath,
      address: options.listen ?? addressFromEnvironment(),
      onEvent: tell,
    });
    await asked;
    await authorizer.close();
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof BulwarkError) || error.code !== "BW_AUTHORIZER_RULES") throw error;
    process.stderr.write(`bulwark: ${error.message}\n`);
    return EXIT.invalid;
  }
}

function addressFromEnvironment(): AuthorizerAddress {
  const { HOST: host = DEFAULT_ADDRESS.host, PORT: port } = process.env;
  return port === undefined || !/^\d{1,5}$/.test(port) ? DEFAULT_ADDRESS : { host, port: Number(port) };
}
