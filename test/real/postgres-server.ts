/** A real PostgreSQL, from Debian's package, run by a user without rights, in a folder that goes with the test. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./programs.ts";

const USER = "bulwark_test";
export const PASSWORD = "pass/word:1?&";

export class PostgresServer {
  readonly port: number;
  readonly socketFolder: string;
  readonly #folder: string;
  readonly #bin: string;
  readonly #ids: { readonly uid?: number; readonly gid?: number };
  #process: ChildProcess | undefined;

  private constructor(folder: string, bin: string, ids: { uid?: number; gid?: number }, port: number) {
    this.#folder = folder;
    this.#bin = bin;
    this.#ids = ids;
    this.port = port;
    this.socketFolder = join(folder, "s");
  }

  static async start(): Promise<PostgresServer> {
    const bin =
      globSync("/usr/lib/postgresql/*/bin").at(-1) ??
      assert.fail("Debian's package postgresql is not installed");
    const folder = mkdtempSync(join(tmpdir(), "pg-"));
    const server = new PostgresServer(folder, bin, unprivileged(), await freePort());
    mkdirSync(server.socketFolder);
    for (const path of [folder, server.socketFolder]) server.own(path);
    await server.#initialize();
    await server.up();
    return server;
  }

  /** Gives a path to the user that the server runs as. */
  own(path: string): void {
    const { uid, gid } = this.#ids;
    if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
  }

  get folder(): string {
    return this.#folder;
  }

  /** @param parameters as in an address, such as `schema=a`. */
  address(
    parameters: string,
    options: { readonly password?: string; readonly database?: string; readonly host?: string } = {},
  ): string {
    const { password = PASSWORD, database = "postgres", host = "127.0.0.1" } = options;
    return `postgres://${USER}:${encodeURIComponent(password)}@${host}:${this.port}/${database}?${parameters}`;
  }

  configure(lines: string): void {
    appendFileSync(join(this.#folder, "data", "postgresql.conf"), `${lines}\n`);
  }

  async up(): Promise<void> {
    const child = spawn(
      join(this.#bin, "postgres"),
      ["-D", join(this.#folder, "data"), "-k", this.socketFolder, "-h", "127.0.0.1", "-p", String(this.port)],
      { ...this.#ids, cwd: this.#folder, stdio: ["ignore", "ignore", "pipe"] },
    );
    this.#process = child;
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-4000);
    });
    for (;;) {
      const ready = await run(join(this.#bin, "pg_isready"), [
        "-q",
        "-h",
        this.socketFolder,
        "-p",
        String(this.port),
      ]);
      if (ready.code === 0) return;
      assert.equal(child.exitCode, null, `postgres ended: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** As a power cut does it to the processes: none of them has a say. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.pid === undefined) return;
    const exited = once(child, "exit");
    const backends = await run("ps", ["-o", "pid=", "--ppid", String(child.pid)]);
    child.kill("SIGKILL");
    for (const pid of backends.stdout.split(/\s+/).filter((text) => text !== "")) killIfThere(Number(pid));
    await exited;
    rmSync(join(this.#folder, "data", "postmaster.pid"), { force: true });
  }

  async dispose(): Promise<void> {
    const child = this.#process;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      // Immediate shutdown: nothing of it is needed any more.
      child.kill("SIGQUIT");
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Runs SQL as the owner of the server, over its socket. */
  async sql(text: string): Promise<string> {
    const { code, stdout, stderr } = await run(join(this.#bin, "psql"), [
      "-X",
      "-q",
      "-A",
      "-t",
      "-v",
      "ON_ERROR_STOP=1",
      "-h",
      this.socketFolder,
      "-p",
      String(this.port),
      "-U",
      USER,
      "-d",
      "postgres",
      "-c",
      text,
    ]);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  }

  async #initialize(): Promise<void> {
    const passwordFile = join(this.#folder, "password");
    writeFileSync(passwordFile, PASSWORD);
    this.own(passwordFile);
    chmodSync(passwordFile, 0o600);
    const data = join(this.#folder, "data");
    const child = spawn(
      join(this.#bin, "initdb"),
      [
        "-D",
        data,
        "-U",
        USER,
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        `--pwfile=${passwordFile}`,
        "--no-sync",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
      ],
      { ...this.#ids, cwd: this.#folder, stdio: ["ignore", "ignore", "inherit"] },
    );
    const [code] = await once(child, "exit");
    assert.equal(code, 0, "initdb");
  }
}

/** PostgreSQL does not run as root. */
function unprivileged(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith("postgres:"));
  const [, , uid, gid] = line?.split(":") ?? assert.fail("there is no user postgres");
  return { uid: Number(uid), gid: Number(gid) };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : assert.fail("no port");
}
