import { spawn } from "node:child_process";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { Pkcs11Token } from "./pkcs11-uri.ts";
import { pinRefused, RefusedPin } from "./refused-pin.ts";
import { readSecret } from "./secret-source.ts";

const TIMEOUT_MS = 20_000;
const MAX_OUTPUT_BYTES = 65_536;
const MAX_ERROR_BYTES = 8192;
/** What the tool says when the token did not let it in: a wrong PIN, a locked or expired one. */
const LOGIN_FAILED = /C_Login failed|CKR_PIN_/;
/** Of the tool's own choosing: whoever reads the process list sees the name, not the PIN. */
const PIN_VARIABLE = "BULWARK_PKCS11_PIN";
/** What a module finds its own configuration by. */
const KEPT_VARIABLES = ["PATH", "HOME", "LANG", "SOFTHSM2_CONF", "P11_KIT_STRICT"];

/**
 * A PKCS#11 module, driven by OpenSC's `pkcs11-tool` in a process of its own for each call: a module is foreign native code, which may crash, and which
 * has no business in the process that holds everything else of the CA. A call takes 15 ms
 * and more, so a token is for the root's key, or for an intermediate of a small mesh.
 */
export class Pkcs11Tool {
  readonly #token: Pkcs11Token;
  readonly #refusedPin: RefusedPin;
  /** One call at a time: processes that use SoftHSM at once fail now and then. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param refusedPinFile where a PIN that the token refused is kept, so that no other process tries it again. */
  constructor(token: Pkcs11Token, refusedPinFile?: string) {
    this.#token = token;
    this.#refusedPin = new RefusedPin(refusedPinFile);
  }

  /** Runs one command on the token, logged in. @returns what it printed. @throws {BulwarkError} BW_PKCS11_TOOL, BW_PKCS11_PIN */
  run(args: readonly string[], input: Buffer = Buffer.alloc(0)): Promise<Buffer> {
    const done = this.#last.then(() => this.#spawn(args, input));
    this.#last = done.catch(() => {});
    return done;
  }

  async #spawn(args: readonly string[], input: Buffer): Promise<Buffer> {
    const pin = readSecret(this.#token.pinSource, "the token's PIN");
    this.#refusedPin.check(pin);
    try {
      const output = await this.#call(args, input, pin);
      this.#refusedPin.forget();
      return output;
    } catch (error) {
      if (error instanceof BulwarkError && error.code === "BW_PKCS11_PIN") this.#refusedPin.note(pin);
      throw error;
    }
  }

  #call(args: readonly string[], input: Buffer, pin: string): Promise<Buffer> {
    const { token, modulePath } = this.#token;
    const env = Object.fromEntries(KEPT_VARIABLES.map((name) => [name, process.env[name]]));
    const login = ["--module", modulePath, "--token-label", token, "--login", "--pin", `env:${PIN_VARIABLE}`];
    return new Promise((resolve, reject) => {
      const child = spawn("pkcs11-tool", [...login, ...args], {
        stdio: ["pipe", "pipe", "pipe"],
        timeout: TIMEOUT_MS,
        killSignal: "SIGKILL",
        env: { ...env, [PIN_VARIABLE]: pin },
      });
      const output: Buffer[] = [];
      let bytes = 0;
      child.stdout.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= MAX_OUTPUT_BYTES) output.push(chunk);
        else child.kill("SIGKILL");
      });
      let said = "";
      child.stderr.on("data", (chunk: Buffer) => {
        if (said.length < MAX_ERROR_BYTES) said += chunk.toString("latin1");
      });
      // A tool that ends before it has read everything breaks the pipe; its exit code tells.
      child.stdin.on("error", () => {});
      child.stdin.end(input);
      child.once("error", (cause: NodeJS.ErrnoException) =>
        reject(
          cause.code === "ENOENT"
            ? failure("pkcs11-tool is not installed (Debian: opensc)")
            : failure("it does not start"),
        ),
      );
      child.once("close", (code) => {
        if (code === 0) resolve(Buffer.concat(output));
        else reject(LOGIN_FAILED.test(said) ? pinRefused() : failure("the token refused, or is not there"));
      });
    });
  }
}

/** Without what the tool printed: a module may print anything. */
function failure(why: string): BulwarkError {
  return new BulwarkError("BW_PKCS11_TOOL", `the PKCS#11 token cannot be used: ${why}`);
}
