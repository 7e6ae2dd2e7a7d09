/** A real Envoy whose only filter is ext_authz, set as Istio sets it. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { envoyBinary } from "../../../tools/differential/envoy-process.ts";
import { until } from "../../control/until.ts";

const TYPE = "type.googleapis.com/envoy.extensions";

export interface EnvoyOptions {
  readonly application: number;
  readonly authorizer: number;
  readonly grpc: boolean;
  /** Fields of ExtAuthz besides the service. */
  readonly filter?: object;
  /** Fields of HttpService besides the address. */
  readonly http?: object;
}

/** @returns the port of 127.0.0.1 where it listens. */
export async function startAuthorizedEnvoy(context: TestContext, options: EnvoyOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "envoy-ext-authz-"));
  const port = await freePort();
  const config = join(folder, "envoy.json");
  writeFileSync(config, JSON.stringify(bootstrap(port, options)));
  const args = ["-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
  const child = spawn(envoyBinary(), args, { stdio: "ignore" });
  context.after(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  await until(() => answers(port), 20_000);
  return port;
}

function bootstrap(
  port: number,
  { application, authorizer, grpc, filter = {}, http = {} }: EnvoyOptions,
): object {
  const service = grpc
    ? { grpc_service: { envoy_grpc: { cluster_name: "authorizer", authority: "authz.test" }, timeout: "2s" } }
    : {
        http_service: {
          server_uri: { uri: "http://authz.test", cluster: "authorizer", timeout: "2s" },
          ...http,
        },
      };
  const manager = {
    "@type": `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "inbound",
    normalize_path: true,
    route_config: {
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, route: { cluster: "application" } }],
        },
      ],
    },
    http_filters: [
      {
        name: "envoy.filters.http.ext_authz",
        typed_config: {
          "@type": `${TYPE}.filters.http.ext_authz.v3.ExtAuthz`,
          transport_api_version: "V3",
          ...service,
          ...filter,
        },
      },
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": `${TYPE}.filters.http.router.v3.Router` },
      },
    ],
  };
  return {
    static_resources: {
      listeners: [
        {
          name: "inbound",
          address: { socket_address: { address: "127.0.0.1", port_value: port } },
          filter_chains: [
            { filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] },
          ],
        },
      ],
      clusters: [cluster("application", application, false), cluster("authorizer", authorizer, grpc)],
    },
  };
}

function cluster(name: string, port: number, http2: boolean): object {
  const options = `${TYPE}.upstreams.http.v3.HttpProtocolOptions`;
  const protocol = { "@type": options, explicit_http_config: { http2_protocol_options: {} } };
  return {
    name,
    type: "STATIC",
    connect_timeout: "2s",
    ...(http2
      ? {
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol,
          },
        }
      : {}),
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [
            { endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } },
          ],
        },
      ],
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

function answers(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, "127.0.0.1");
  socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
