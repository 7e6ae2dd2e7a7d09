/**
 * The types of the network policy API's own kinds (policy.networking.k8s.io/v1alpha1), experimental channel included, which no package that
 * is used here has. Source: the CRDs of sigs.k8s.io/network-policy-api v0.1.5.
 */
import type { FieldType } from "./newer-fields.ts";

const selector: FieldType = {
  fields: {
    matchLabels: { map: "string" },
    matchExpressions: {
      list: {
        fields: { key: "string", operator: "string", values: { list: "string" } },
        required: ["key", "operator"],
      },
    },
  },
};

const pods: FieldType = {
  fields: { namespaceSelector: selector, podSelector: selector },
  required: ["namespaceSelector", "podSelector"],
};

const ports: FieldType = {
  list: {
    fields: {
      // `protocol` is required and has a default, which the API server fills in before it looks.
      portNumber: { fields: { port: "integer", protocol: "string" }, required: ["port"] },
      portRange: {
        fields: { start: "integer", end: "integer", protocol: "string" },
        required: ["start", "end"],
      },
      namedPort: "string",
    },
  },
};

const specOf = (actions: readonly string[], own: Readonly<Record<string, FieldType>>): FieldType => {
  const rule = (key: "from" | "to", peer: Readonly<Record<string, FieldType>>): FieldType => ({
    list: {
      fields: { name: "string", action: { oneOf: actions }, [key]: { list: { fields: peer } }, ports },
      required: ["action", key],
    },
  });
  const inside = { namespaces: selector, pods };
  return {
    fields: {
      ...own,
      subject: { fields: inside },
      ingress: rule("from", inside),
      egress: rule("to", { ...inside, networks: { list: "string" }, nodes: selector }),
    },
    required: [...Object.keys(own), "subject"],
  };
};

/** `apiVersion/Kind` → the type of `spec`. */
export const POLICY_CRDS: Readonly<Record<string, FieldType>> = {
  "policy.networking.k8s.io/v1alpha1/AdminNetworkPolicy": specOf(["Allow", "Deny", "Pass"], {
    priority: "integer",
  }),
  "policy.networking.k8s.io/v1alpha1/BaselineAdminNetworkPolicy": specOf(["Allow", "Deny"], {}),
};
