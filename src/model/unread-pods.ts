/**
 * Objects that make pods of which no file says enough to judge them: what policies let in to these pods, and what they are let in to as callers, nobody
 * here computes. Whoever proves something, or shows all, has to name them.
 */
import { type Resource, resourceName } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";
import type { Labels } from "./mesh.ts";
import { hasPassingLabels, podOf } from "./written-pod.ts";

type Json = Readonly<Record<string, unknown>>;

export interface UnreadPods {
  readonly resource: Resource;
  /** `Kind namespace/name` */
  readonly name: string;
  readonly namespace: string;
  /** Of each template that it has; operators add their own to these. Empty: no file says what labels its pods have. */
  readonly templates: readonly Labels[];
}

const KNOWN = new WeakMap<readonly Resource[], readonly UnreadPods[]>();

/** Those of which the files have no running pods either. */
export function unreadPods(resources: readonly Resource[]): readonly UnreadPods[] {
  let known = KNOWN.get(resources);
  if (known === undefined) {
    const makers = resources.flatMap((resource) => unreadOf(resource) ?? []);
    known = makers.length === 0 ? [] : withoutRead(makers, resources);
    KNOWN.set(resources, known);
  }
  return known;
}

function withoutRead(makers: readonly UnreadPods[], resources: readonly Resource[]): readonly UnreadPods[] {
  const owners = ownersOfPods(resources);
  const templates = new Set(resources.flatMap((own) => (podOf(own) === undefined ? [] : [keyOf(own)])));
  return makers.filter(
    ({ resource }) => !owners.has(keyOf(resource)) && !templates.has(templateKey(resource) ?? ""),
  );
}

/** Of a Rollout whose template stands in a Deployment: that is read. */
function templateKey({ namespace, body }: Resource): string | undefined {
  const spec = (body.spec ?? {}) as Json;
  if (spec.workloadRef === undefined || hasPassingLabels(spec)) return undefined;
  const { apiVersion, kind, name } = (spec.workloadRef ?? {}) as Json;
  return `${apiGroup(String(apiVersion))}/${String(kind)} ${namespace}/${String(name)}`;
}

/** Whether its pods may have these labels: an operator adds labels, and leaves those that a template has. */
export function mayHaveLabels({ templates }: UnreadPods, wanted: Labels): boolean {
  const fits = (own: Labels): boolean =>
    Object.entries(wanted).every(([key, value]) => own[key] === undefined || own[key] === value);
  return templates.length === 0 || templates.some(fits);
}

function unreadOf(resource: Resource): UnreadPods | undefined {
  const group = apiGroup(resource.apiVersion);
  if (!group.includes(".") || NO_MAKERS.some((own) => group === own || group.endsWith(`.${own}`)))
    return undefined;
  if (podOf(resource) !== undefined || PATTERNS[group]?.includes(resource.kind) === true) return undefined;
  const templates = podTemplates(resource.body.spec);
  if (templates.length === 0 && OPERATORS[group]?.includes(resource.kind) !== true) return undefined;
  const labels = templates.map((own) => own ?? {});
  return { resource, name: resourceName(resource), namespace: resource.namespace, templates: labels };
}

/** Groups whose objects hold no pods, or only patterns of them. */
const NO_MAKERS: readonly string[] = [
  "istio.io",
  "bulwark.dev",
  "gateway.networking.k8s.io",
  "networking.k8s.io",
  "policy.networking.k8s.io",
  "rbac.authorization.k8s.io",
  "apiextensions.k8s.io",
  "admissionregistration.k8s.io",
  "config.k8s.io",
  "kyverno.io",
  "gatekeeper.sh",
];

/** Kinds with templates that objects of other kinds are made by: they make nothing themselves. */
const PATTERNS: Readonly<Record<string, readonly string[]>> = Object.assign(Object.create(null), {
  "argoproj.io": [
    "AnalysisTemplate",
    "ClusterAnalysisTemplate",
    "WorkflowTemplate",
    "ClusterWorkflowTemplate",
  ],
  "serving.kserve.io": [
    "ServingRuntime",
    "ClusterServingRuntime",
    "ClusterStorageContainer",
    "LLMInferenceServiceConfig",
  ],
  "trainer.kubeflow.org": ["TrainingRuntime", "ClusterTrainingRuntime"],
});

/** Kinds whose pods are made of no template that stands in them. */
const OPERATORS: Readonly<Record<string, readonly string[]>> = Object.assign(Object.create(null), {
  "acid.zalan.do": ["postgresql"],
  "argoproj.io": ["Rollout", "Workflow", "CronWorkflow", "EventSource", "EventBus", "Sensor", "ArgoCD"],
  "camel.apache.org": ["Integration", "Pipe", "KameletBinding"],
  "clickhouse.altinity.com": ["ClickHouseInstallation"],
  "elasticsearch.k8s.elastic.co": ["Elasticsearch"],
  "flink.apache.org": ["FlinkDeployment", "FlinkSessionJob"],
  "grafana.integreatly.org": ["Grafana"],
  "jaegertracing.io": ["Jaeger"],
  "k8s.mariadb.com": ["MariaDB", "MaxScale"],
  "k8ssandra.io": ["K8ssandraCluster"],
  "cassandra.datastax.com": ["CassandraDatacenter"],
  "k8s.keycloak.org": ["Keycloak"],
  "kafka.strimzi.io": [
    "Kafka",
    "KafkaNodePool",
    "KafkaConnect",
    "KafkaMirrorMaker",
    "KafkaMirrorMaker2",
    "KafkaBridge",
  ],
  "core.strimzi.io": ["StrimziPodSet"],
  "kibana.k8s.elastic.co": ["Kibana"],
  "kubevirt.io": ["VirtualMachine", "VirtualMachineInstance", "VirtualMachineInstanceReplicaSet"],
  "minio.min.io": ["Tenant"],
  "mongodbcommunity.mongodb.com": ["MongoDBCommunity"],
  "psmdb.percona.com": ["PerconaServerMongoDB"],
  "pxc.percona.com": ["PerconaXtraDBCluster"],
  "monitoring.coreos.com": ["Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler"],
  "mysql.oracle.com": ["InnoDBCluster"],
  "opentelemetry.io": ["OpenTelemetryCollector", "TargetAllocator"],
  "postgres-operator.crunchydata.com": ["PostgresCluster", "PGAdmin"],
  "postgresql.cnpg.io": ["Cluster", "Pooler"],
  "rabbitmq.com": ["RabbitmqCluster"],
  "redis.redis.opstreelabs.in": ["Redis", "RedisCluster", "RedisReplication", "RedisSentinel"],
  "serving.knative.dev": ["Service", "Configuration", "Revision"],
  "serving.kserve.io": ["InferenceService", "InferenceGraph", "LLMInferenceService"],
  "sparkoperator.k8s.io": ["SparkApplication", "ScheduledSparkApplication"],
  "trainer.kubeflow.org": ["TrainJob"],
  "tekton.dev": ["TaskRun", "PipelineRun"],
  "zookeeper.pravega.io": ["ZookeeperCluster"],
});

const MAX_DEPTH = 24;

/** The labels of every template of pods within a value; undefined for one that has none. */
function podTemplates(spec: unknown): readonly (Labels | undefined)[] {
  const found: (Labels | undefined)[] = [];
  const pending: { value: unknown; depth: number; labels: Labels | undefined }[] = [
    { value: spec, depth: 0, labels: undefined },
  ];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { value, depth, labels } = next;
    if (typeof value !== "object" || value === null || depth > MAX_DEPTH) continue;
    const own = value as Json;
    if (!Array.isArray(value) && isPodSpec(own)) found.push(labels);
    const below = labelsOf(own.metadata);
    for (const [key, entry] of Object.entries(own))
      pending.push({ value: entry, depth: depth + 1, labels: key === "spec" ? below : undefined });
  }
  return found;
}

function isPodSpec({ containers }: Json): boolean {
  return (
    Array.isArray(containers) &&
    containers.some((own: unknown) => {
      const { image, name } = (own ?? {}) as Json;
      return typeof image === "string" || typeof name === "string";
    })
  );
}

function labelsOf(metadata: unknown): Labels | undefined {
  const { labels } = (metadata ?? {}) as Json;
  if (typeof labels !== "object" || labels === null || Array.isArray(labels)) return undefined;
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, String(value)]));
}

/** Whatever stands above a running pod, as far as the files have it: of these the pods are read themselves. */
function ownersOfPods(resources: readonly Resource[]): ReadonlySet<string> {
  const byKey = new Map(resources.map((resource) => [keyOf(resource), resource]));
  const found = new Set<string>();
  const pending = resources.filter(({ kind, apiVersion }) => kind === "Pod" && apiVersion === "v1");
  for (let next = pending.pop(); next !== undefined; next = pending.pop())
    for (const key of ownerKeys(next)) {
      if (found.has(key)) continue;
      found.add(key);
      const owner = byKey.get(key);
      if (owner !== undefined) pending.push(owner);
    }
  return found;
}

function ownerKeys({ namespace, body }: Resource): readonly string[] {
  const { ownerReferences } = (body.metadata ?? {}) as Json;
  if (!Array.isArray(ownerReferences)) return [];
  return ownerReferences.map((reference: unknown) => {
    const { apiVersion, kind, name } = (reference ?? {}) as Json;
    return `${apiGroup(String(apiVersion))}/${String(kind)} ${namespace}/${String(name)}`;
  });
}

function keyOf({ apiVersion, kind, namespace, name }: Resource): string {
  return `${apiGroup(apiVersion)}/${kind} ${namespace}/${name}`;
}
