import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeEnvoyRival } from "./envoy-rival.ts";
import { ProcessRival } from "./process-rival.ts";
import { regoOf } from "./rego.ts";
import type { Contender, Rival } from "./rival.ts";
import type { BenchWorkload } from "./workload.ts";

/** Versions that the figures in docs/performance.md are of. */
const NPM_PACKAGES = ["@cedar-policy/cedar-wasm@4.13.0", "casbin@5.51.1"];

/** Installs or builds what is to be measured beside ours; first of all ours, and the plain scan that is to be beaten. */
export function contenders(cache: string): readonly Contender[] {
  const modules = installPackages(cache);
  return [
    { name: "Bulwark", start: javaScript("bulwark", modules) },
    { name: "linear scan, JavaScript", start: javaScript("linear", modules) },
    { name: "OPA, native", start: opa(buildOpa(cache)) },
    { name: "Envoy's RBAC filter", start: makeEnvoyRival(cache) },
    { name: "Cedar, WebAssembly", start: javaScript("cedar", modules) },
    { name: "casbin", start: javaScript("casbin", modules) },
  ];
}

function installPackages(cache: string): string {
  const folder = join(cache, "npm");
  const wanted = JSON.stringify({
    private: true,
    dependencies: Object.fromEntries(NPM_PACKAGES.map(versionOf)),
  });
  const manifest = join(folder, "package.json");
  const modules = join(folder, "node_modules");
  if (existsSync(modules)) return modules;
  mkdirSync(folder, { recursive: true });
  writeFileSync(manifest, wanted);
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--silent"], { cwd: folder, stdio: "inherit" });
  return modules;
}

function versionOf(specifier: string): [string, string] {
  const at = specifier.lastIndexOf("@");
  return [specifier.slice(0, at), specifier.slice(at + 1)];
}

function buildOpa(cache: string): string {
  const program = join(cache, "opa-bench");
  if (existsSync(program)) return program;
  try {
    execFileSync("go", ["build", "-o", program, "."], {
      cwd: join(import.meta.dirname, "opa"),
      env: { ...process.env, CGO_ENABLED: "0" },
      stdio: ["ignore", "inherit", "inherit"],
    });
  } catch (cause) {
    throw new Error("OPA cannot be built: Go 1.26 or newer is needed (https://go.dev/dl)", { cause });
  }
  return program;
}

function javaScript(engine: string, modules: string): Contender["start"] {
  return (workload, folder) => {
    const file = join(folder, "workload.json");
    writeFileSync(file, JSON.stringify(workload));
    const program = join(import.meta.dirname, "serve-engine.ts");
    return new ProcessRival(process.execPath, [
      "--single-threaded-gc",
      program,
      engine,
      file,
      modules,
    ]).ready();
  };
}

function opa(program: string): Contender["start"] {
  return (workload: BenchWorkload, folder: string): Promise<Rival> => {
    const policy = join(folder, "policy.rego");
    const requests = join(folder, "inputs.json");
    writeFileSync(policy, regoOf(workload.rules));
    writeFileSync(requests, JSON.stringify(workload.requests));
    return new ProcessRival(program, [policy, requests]).ready();
  };
}
