/** Kinds that pods are made from. */
export const WORKLOAD_KINDS: readonly string[] = [
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "ReplicaSet",
  "ReplicationController",
  "Job",
  "CronJob",
  "Pod",
  "Rollout",
  "CloneSet",
  "DeploymentConfig",
];
