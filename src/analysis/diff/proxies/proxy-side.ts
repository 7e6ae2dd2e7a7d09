/** One mesh's side of a comparison of what a proxy between clients and servers lets through. */
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { Dimension } from "../../space/dimension.ts";
import type { SampleRequest } from "../../space/request-space.ts";
import type { Passage } from "./passage.ts";
import type { ProxyQuestions } from "./proxy-space.ts";

export interface ProxySide extends ProxyQuestions {
  /** The policies that hold there. */
  readonly resources: readonly Resource[];
  /** `Kind namespace/name` of the Gateways that it is configured by. */
  readonly read: readonly string[];
  /** What of it cannot be compared. */
  readonly unclear: readonly string[];
  /** Whether requests are told apart on such a connection, or connections alone, or it is closed. */
  takes(sample: SampleRequest): "nothing" | "connections" | "requests";
  pass(dimensions: readonly Dimension[], sample: SampleRequest): Promise<Passage>;
  /** Requests for `can` that come by the proxy so; none where nobody sends like that. */
  witness(dimensions: readonly Dimension[], sample: SampleRequest): readonly AccessRequest[];
}
