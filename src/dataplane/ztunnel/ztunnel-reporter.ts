/** Who a node's ztunnel is in the flow log. */
export function ztunnelReporter(node: string): string {
  return `ztunnel ${node}`;
}
