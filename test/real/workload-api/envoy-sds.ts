/** A real Envoy that gets its certificate and its roots over SDS, requires a client certificate, and answers 200. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { envoyBinary } from "../../../tools/differential/envoy-process.ts";
import { until } from "../../control/until.ts";

const TYPE = "type.googleapis.com/envoy.extensions";
const HTTP2 = {
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  },
};

/** @param roots the secret's name: `ROOTCA`, or `ALL` for roots by trust domain. @returns the port of 127.0.0.1 where it listens. */
export async function startSdsEnvoy(context: TestContext, socket: string, roots: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "envoy-sds-"));
  const port = await freePort();
  const config = join(folder, "envoy.json");
  writeFileSync(config, JSON.stringify(bootstrap(port, socket, roots)));
  const args = ["-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
  const child = spawn(envoyBinary(), args, { stdio: ["ignore", "inherit", "inherit"] });
  context.after(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  await until(() => answers(port), 30_000);
  return port;
}

function secret(name: string): object {
  const grpc = { envoy_grpc: { cluster_name: "sds" } };
  const source = {
    resource_api_version: "V3",
    api_config_source: { api_type: "GRPC", transport_api_version: "V3", grpc_services: [grpc] },
  };
  return { name, sds_config: source };
}

function bootstrap(port: number, socket: string, roots: string): object {
  const manager = {
    "@type": `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "inbound",
    route_config: {
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [
            { match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: "in" } } },
          ],
        },
      ],
    },
    http_filters: [
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": `${TYPE}.filters.http.router.v3.Router` },
      },
    ],
  };
  const tls = {
    "@type": `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [secret("default")],
      validation_context_sds_secret_config: secret(roots),
    },
  };
  return {
    node: { id: "sds-test", cluster: "sds-test" },
    static_resources: {
      listeners: [
        {
          address: { socket_address: { address: "127.0.0.1", port_value: port } },
          filter_chains: [
            {
              filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }],
              transport_socket: { name: "envoy.transport_sockets.tls", typed_config: tls },
            },
          ],
        },
      ],
      clusters: [
        {
          name: "sds",
          type: "STATIC",
          typed_extension_protocol_options: HTTP2,
          load_assignment: {
            cluster_name: "sds",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
          },
        },
      ],
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address !== null ? address.port : 0;
}

function answers(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
    socket.once("connect", () => socket.destroy());
  });
}
