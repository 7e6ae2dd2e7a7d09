import type { Schema } from "js-yaml";
import {
  boolYaml11Tag,
  defineScalarTag,
  FAILSAFE_SCHEMA,
  mergeTag,
  NOT_RESOLVED,
  nullYaml11Tag,
} from "js-yaml";

const INTEGER = /^[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/;
const FLOAT = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;
const NUMBER_STARTS: readonly string[] = [..."+-.0123456789"];

/**
 * How Kubernetes' own tools read plain scalars, which is neither YAML 1.1 nor 1.2: booleans and octals of 1.1, but
 * timestamps and `12:30` stay strings. A policy must not mean one thing here and another to the API server.
 * @see https://github.com/kubernetes-sigs/yaml
 */
export const KUBERNETES_SCHEMA: Schema = FAILSAFE_SCHEMA.withTags(
  nullYaml11Tag,
  boolYaml11Tag,
  defineScalarTag<number>("tag:yaml.org,2002:int", {
    implicit: true,
    implicitFirstChars: NUMBER_STARTS,
    resolve: (source) => parseInteger(source.replaceAll("_", "")) ?? NOT_RESOLVED,
    identify: Number.isInteger,
  }),
  defineScalarTag<number>("tag:yaml.org,2002:float", {
    implicit: true,
    implicitFirstChars: NUMBER_STARTS,
    resolve: (source) => parseFloatScalar(source.replaceAll("_", "")) ?? NOT_RESOLVED,
    identify: (value) => typeof value === "number",
  }),
  mergeTag,
);

function parseInteger(text: string): number | undefined {
  if (!INTEGER.test(text)) return undefined;
  const negative = text.startsWith("-");
  const digits = text.replace(/^[-+]/, "");
  const octal = /^0[oO]?([0-7]+)$/.exec(digits)?.[1];
  const magnitude = octal === undefined ? Number(digits) : Number.parseInt(octal, 8);
  return negative ? -magnitude : magnitude;
}

function parseFloatScalar(text: string): number | undefined {
  if (!FLOAT.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
