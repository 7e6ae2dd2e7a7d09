import { resolve } from "node:path";
import { checkCaAccess } from "../control/ca-grpc/ca-access-configuration.ts";
import type { IdentityInterfaceChoice } from "../control/identity-interfaces.ts";
import { parseKeyAccess } from "../control/jwks/key-access.ts";
import type { RunningMesh } from "../control/running-mesh.ts";
import { startMesh } from "../control/start-mesh.ts";
import { defaultStatePath } from "../control/state-folder.ts";
import { takeStoreAddress } from "../control/store-environment.ts";
import { readStart } from "../control/trust-bundle/bundle-follower.ts";
import { parseBundleEndpoint, parseFederation } from "../control/trust-bundle/federation-option.ts";
import { COMPLIANCE_VARIABLE, tlsProfileOf } from "../identity/tls-profile.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { SubstrateName } from "../substrate/substrate.ts";
import { type CaKeyOptions, caSettingsOf } from "./ca-options.ts";
import { chooseSubstrate } from "./choose-substrate.ts";
import { whenReaderGone } from "./closed-pipe.ts";
import { runDemo } from "./demo.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import type { StateOptions } from "./options.ts";
import { type Account, jsonAccount, textAccount } from "./render/account.ts";
import { thisProgram } from "./this-program.ts";

export interface UpOptions extends StateOptions, CaKeyOptions {
  readonly format: string;
  readonly simulateExternal?: boolean;
  readonly substrate?: SubstrateName | "auto";
  readonly app?: readonly string[];
  /** Milliseconds. */
  readonly certTtl?: number;
  readonly quiet?: boolean;
  /** Milliseconds. */
  readonly jwksRefresh?: number;
  readonly jwksAllow?: readonly string[];
  readonly workloadApi?: boolean;
  readonly caAccess?: string;
  readonly bundleEndpoint?: string;
  readonly federate?: readonly string[];
  readonly store?: string;
  /** Milliseconds. */
  readonly revocationMaxAge?: number;
  readonly revocationHttp?: { readonly host: string; readonly port: number };
  readonly demo?: boolean;
}

const READY_TIMEOUT_MS = 60_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** A launcher such as npm passes the Ctrl-C on that the terminal has sent already: those two are one. */
const SAME_CTRL_C_MS = 250;
const READER_GONE = "EPIPE";

/**
 * Brings a mesh up and stays until a signal asks it to end: `interrupted` before the mesh was ready. A second Ctrl-C
 * ends everything, and this process, at once.
 * @throws {BulwarkError} as startMesh, BW_CLI_INPUT.
 */
export async function runUp(sources: readonly string[], options: UpOptions): Promise<ExitCode> {
  // Here, and not in each child, that would die of it again and again.
  tlsProfileOf(process.env[COMPLIANCE_VARIABLE] ?? "");
  const ca = await caSettingsOf(options);
  const store = await usableStore(options.store);
  const substrate = await chosenSubstrate(options);
  const account = options.format === "json" ? jsonAccount() : textAccount(options.quiet === true);
  let kill = () => {};
  const asked = firstSignal(() => {
    kill();
    process.exit(EXIT.interrupted);
  });
  const mesh = await startMesh({
    statePath: options.state ?? defaultStatePath(),
    sources,
    certTtlSeconds: Math.round((options.certTtl ?? 0) / 1000),
    ...(options.simulateExternal === undefined ? {} : { simulateExternal: options.simulateExternal }),
    substrate,
    ca,
    keys: keySettings(options),
    ...(store === undefined ? {} : { store }),
    revocation: {
      ...(options.revocationMaxAge === undefined ? {} : { maxAgeMs: options.revocationMaxAge }),
      ...(options.revocationHttp === undefined ? {} : { http: options.revocationHttp }),
    },
    interfaces: interfacesOf(options),
    applications: parseApplications(options.app ?? []),
    program: thisProgram(),
    showFlows: options.quiet !== true,
    onEvent: (event) => account.event(event),
  });
  if (!mesh.ok) {
    account.notStarted(mesh);
    return EXIT.invalid;
  }
  kill = () => mesh.kill();
  return await stayUp(mesh, account, asked, options);
}

async function stayUp(
  mesh: RunningMesh,
  account: Account,
  asked: Promise<string>,
  options: UpOptions,
): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok;
  try {
    account.started(mesh);
    const ready = mesh.untilReady(READY_TIMEOUT_MS).then(() => "ready");
    const first = await Promise.race([asked, ready]);
    if (first === "ready") {
      account.ready(await mesh.status());
      if (options.demo === true) await Promise.race([runDemo(mesh, aborting(asked)), asked]);
      account.live();
      await asked;
    } else if (first !== READER_GONE) code = EXIT.interrupted;
    account.stopping();
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    process.stderr.write(`bulwark: ${said}${error instanceof BulwarkError ? ` (${error.code})` : ""}\n`);
    code = EXIT.failed;
  }
  await mesh.stop();
  account.stopped();
  return code;
}

/** Settles with the first signal, or when nobody reads what is told any more. A second Ctrl-C is `onImpatience`. */
function firstSignal(onImpatience: () => void): Promise<string> {
  let askedAt: number | undefined;
  return new Promise((settle) => {
    for (const signal of SIGNALS)
      process.on(signal, () => {
        askedAt ??= performance.now();
        if (signal === "SIGINT" && performance.now() - askedAt > SAME_CTRL_C_MS) onImpatience();
        settle(signal);
      });
    whenReaderGone(() => settle(READER_GONE));
  });
}

function aborting(asked: Promise<string>): AbortSignal {
  const controller = new AbortController();
  void asked.then(() => controller.abort());
  return controller.signal;
}

/** @throws {BulwarkError} BW_NETNS_UNAVAILABLE, BW_CLI_INPUT. */
async function chosenSubstrate({ substrate: asked, workloadApi }: UpOptions): Promise<SubstrateName> {
  // What cannot be had on namespaces has them not chosen.
  if (asked === undefined && workloadApi === true) return "loopback";
  const substrate = await chooseSubstrate(asked);
  if (substrate === "netns" && workloadApi === true)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "--workload-api: its sockets do not reach into network namespaces yet; use --substrate loopback",
    );
  return substrate;
}

/** @throws {BulwarkError} BW_CLI_INPUT: here, and not in a child that would die of it again and again. */
/** A wrong file ends `up` here; in the control process it would again and again. */
function checkedCaAccess(path: string): string {
  checkCaAccess(path);
  return resolve(path);
}

function keySettings({ jwksRefresh, jwksAllow: allow = [] }: UpOptions) {
  parseKeyAccess(allow);
  return { allow, ...(jwksRefresh === undefined ? {} : { refreshMs: jwksRefresh }) };
}

/** @throws {BulwarkError} BW_CLI_INPUT: here too, for the reason of `keySettings`. */
function interfacesOf({
  workloadApi,
  caAccess,
  bundleEndpoint,
  federate = [],
}: UpOptions): IdentityInterfaceChoice {
  // Their files as well.
  for (const domain of parseFederation(federate)) readStart(domain);
  if (bundleEndpoint !== undefined) parseBundleEndpoint(bundleEndpoint);
  return {
    workloadApi: workloadApi === true,
    ...(caAccess === undefined ? {} : { caAccess: checkedCaAccess(caAccess) }),
    ...(bundleEndpoint === undefined ? {} : { bundleEndpoint }),
    federate,
  };
}

/**
 * Connects once: a store that cannot be used is told here, and not by a child that would die of it again and again.
 * @throws {BulwarkError} BW_CLI_INPUT, BW_CA_STORE_….
 */
async function usableStore(named: string | undefined): Promise<string | undefined> {
  const inEnvironment = takeStoreAddress();
  const store = named ?? inEnvironment;
  if (store === undefined) return undefined;
  if (!/^postgres(ql)?:\/\//i.test(store))
    throw new BulwarkError("BW_CLI_INPUT", "--store: write it as postgres://user@host:port/database");
  const { openCaStore } = await import("../identity/store/open-ca-store.ts");
  await (await openCaStore(store)).close();
  return store;
}

/** @throws {BulwarkError} BW_CLI_INPUT */
function parseApplications(given: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    given.map((text) => {
      const [, workload, command] = /^([^=/]+\/[^=/]+)=(.+)$/s.exec(text) ?? [];
      if (workload === undefined || command === undefined)
        throw new BulwarkError("BW_CLI_INPUT", `\`--app ${text}\`: write it as namespace/name='command'`);
      return [workload, command];
    }),
  );
}
