import type { BenchRule } from "./workload.ts";

const TYPES = "type.googleapis.com/envoy.extensions";

interface RbacListener {
  readonly port: number;
  readonly rules: readonly BenchRule[];
}

/** Listeners that answer 200 to what their RBAC filters let pass: DENY before ALLOW, as Istio writes them. */
export function rbacBootstrap(listeners: readonly RbacListener[]): object {
  return { static_resources: { listeners: listeners.map(listener) } };
}

function listener({ port, rules }: RbacListener): object {
  const manager = {
    "@type": `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "http",
    normalize_path: true,
    http_filters: [
      rbac("DENY", rules),
      rbac("ALLOW", rules),
      { name: "router", typed_config: { "@type": `${TYPES}.filters.http.router.v3.Router` } },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }],
        },
      ],
    },
  };
  return {
    name: `rules-${port}`,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }],
  };
}

function rbac(action: BenchRule["action"], rules: readonly BenchRule[]): object {
  const own = rules.filter((rule) => rule.action === action);
  const policies = Object.fromEntries(
    own.map((rule) => [`ns[shop]-policy[${rule.policy}]-rule[${rule.index}]`, policyOf(rule)]),
  );
  return {
    name: `rbac-${action}`,
    typed_config: { "@type": `${TYPES}.filters.http.rbac.v3.RBAC`, rules: { action, policies } },
  };
}

/** The caller's name is a header here, which costs Envoy what a certificate's would; claims are one too, which costs it less. */
function policyOf({ principals, methods, paths, role, group }: BenchRule): object {
  const callers = principals.map((principal) => header("x-principal", principal));
  const conditions = [
    ...(role === undefined ? [] : [header("x-role", role)]),
    ...(group === undefined ? [] : [header("x-group", group)]),
  ];
  return {
    permissions: [
      {
        and_rules: {
          rules: [
            { or_rules: { rules: methods.map((method) => header(":method", method)) } },
            { or_rules: { rules: paths.map(pathRule) } },
          ],
        },
      },
    ],
    principals: [{ and_ids: { ids: [{ or_ids: { ids: callers } }, ...conditions] } }],
  };
}

function header(name: string, exact: string): object {
  return { header: { name, string_match: { exact } } };
}

function pathRule(path: string): object {
  const match = path.endsWith("*") ? { prefix: path.slice(0, -1) } : { exact: path };
  return { url_path: { path: match } };
}
