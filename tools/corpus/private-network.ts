/** A network of our own, where every address is this machine's: pods, clients, services and hosts outside all at once. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** Not there where the kernel has no IPv6. */
const IPV6 = "/proc/sys/net/ipv6";

/**
 * Runs a Node program in a private network namespace. Needs root, util-linux and iproute2.
 * @param onLine called with each line that it prints.
 * @throws {Error} when it fails, with what it wrote to stderr.
 */
export async function runInPrivateNetwork(
  program: string,
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<void> {
  const child = spawn(
    "unshare",
    ["--net", process.execPath, "--disable-warning=ExperimentalWarning", program, ...args],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  createInterface({ input: child.stdout }).on("line", onLine);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("close", resolve);
  });
  if (code !== 0) throw new Error(`${program} in a private network ended with ${code}: ${errors}`);
}

/** Called inside the namespace, once: any address may be bound, dialled and listened on from then on. */
export function ownEveryAddress(): void {
  execFileSync("ip", ["link", "set", "lo", "up"]);
  execFileSync("ip", ["route", "add", "local", "0.0.0.0/0", "dev", "lo"]);
  if (!existsSync(IPV6)) return;
  execFileSync("ip", ["-6", "route", "add", "local", "::/0", "dev", "lo"]);
  writeFileSync(`${IPV6}/ip_nonlocal_bind`, "1");
}
