import { parseArgs } from "node:util";
import { takeStoreAddress } from "../control/store-environment.ts";

const PARTS = ["control", "proxy", "ztunnel", "apps", "externals", "network", "warm-up"] as const;
type ProcessPart = (typeof PARTS)[number];

export function isProcessPart(word: string | undefined): word is ProcessPart {
  return PARTS.some((part) => part === word);
}

/** Becomes one process of a mesh. Each loads only what it runs: there is one of these for every replica. */
export async function runProcessPart(part: ProcessPart, args: readonly string[]): Promise<void> {
  // SQLite, sockets and logs make files by themselves: none of them is for others, whatever the user's umask is.
  process.umask(0o077);
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      state: { type: "string", default: ".bulwark" },
      pod: { type: "string", default: "" },
      except: { type: "string", multiple: true, default: [] },
      "cert-ttl-seconds": { type: "string", default: "0" },
      "simulate-external": { type: "boolean", default: false },
      substrate: { type: "string", default: "loopback" },
      "jwks-refresh-ms": { type: "string" },
      "jwks-allow": { type: "string", multiple: true, default: [] },
      "revocation-max-age-ms": { type: "string", default: "0" },
      "revocation-http": { type: "string" },
      "workload-api": { type: "boolean", default: false },
      "bundle-endpoint": { type: "string" },
      federate: { type: "string", multiple: true, default: [] },
      "ca-access": { type: "string" },
      "ca-settings": { type: "string" },
    },
  });
  const statePath = values.state;
  const store = takeStoreAddress();
  process.title = `bulwark ${part} ${values.pod}`.trim();
  switch (part) {
    case "proxy":
      return (await import("../control/proxy-process.ts")).runProxyProcess({ statePath, pod: values.pod });
    case "ztunnel":
      return (await import("../control/ztunnel/ztunnel-process.ts")).runZtunnelProcess({
        statePath,
        ztunnel: values.pod,
      });
    case "control":
      return (await import("../control/control-process.ts")).runControlProcess({
        statePath,
        sources: positionals,
        certTtlSeconds: Number(values["cert-ttl-seconds"]),
        simulateExternal: values["simulate-external"],
        substrate: values.substrate === "netns" ? "netns" : "loopback",
        caSettings: values["ca-settings"],
        ...(store === undefined ? {} : { store }),
        keys: {
          allow: values["jwks-allow"],
          ...(values["jwks-refresh-ms"] === undefined
            ? {}
            : { refreshMs: Number(values["jwks-refresh-ms"]) }),
        },
        revocation: {
          maxAgeMs: Number(values["revocation-max-age-ms"]),
          ...(values["revocation-http"] === undefined ? {} : { http: placeOf(values["revocation-http"]) }),
        },
        interfaces: {
          workloadApi: values["workload-api"],
          ...(values["ca-access"] === undefined ? {} : { caAccess: values["ca-access"] }),
          ...(values["bundle-endpoint"] === undefined ? {} : { bundleEndpoint: values["bundle-endpoint"] }),
          federate: values.federate,
        },
      });
    case "warm-up":
      // Loads what a proxy is made of, for the compile cache alone.
      await import("../control/proxy-process.ts");
      // Loaded with a proxy's first token, from where it can read alone.
      await import("jose");
      return;
    case "network":
      return (await import("../control/netns/network-process.ts")).runNetworkProcess({ statePath });
    default:
      return (await import("../control/echo-process.ts")).runEchoProcess({
        statePath,
        part,
        except: values.except,
      });
  }
}

/** As our own `up` has written it. */
function placeOf(text: string): { readonly host: string; readonly port: number } {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}
