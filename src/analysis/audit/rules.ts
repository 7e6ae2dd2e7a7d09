/** All rules, by their ids. */
import type { AuditRule } from "./rule.ts";
import { accessLogDisabled } from "./rules/access-log-disabled.ts";
import { accessLogOff } from "./rules/access-log-off.ts";
import { accountRulesCluster } from "./rules/account-rules-cluster.ts";
import { advisoriesStale } from "./rules/advisories-stale.ts";
import { allowAnybody } from "./rules/allow-anybody.ts";
import { allowByExclusion } from "./rules/allow-by-exclusion.ts";
import { allowDenied } from "./rules/allow-denied.ts";
import { allowNegatives } from "./rules/allow-negatives.ts";
import { allowWholeMesh } from "./rules/allow-whole-mesh.ts";
import { annotationAlpha } from "./rules/annotation-alpha.ts";
import { annotationDeprecated } from "./rules/annotation-deprecated.ts";
import { annotationInvalid } from "./rules/annotation-invalid.ts";
import { annotationMisplaced } from "./rules/annotation-misplaced.ts";
import { annotationUnknown } from "./rules/annotation-unknown.ts";
import { applicationAsProxy } from "./rules/application-as-proxy.ts";
import { applicationNetworkRights } from "./rules/application-network-rights.ts";
import { captureExcluded } from "./rules/capture-excluded.ts";
import { certificateEnding } from "./rules/certificate-ending.ts";
import { certificateOtherHost } from "./rules/certificate-other-host.ts";
import { certificateShared } from "./rules/certificate-shared.ts";
import { certificateWeak } from "./rules/certificate-weak.ts";
import { claimRouteUnverified } from "./rules/claim-route-unverified.ts";
import { claimsUnread } from "./rules/claims-unread.ts";
import { clientCertificateOptional } from "./rules/client-certificate-optional.ts";
import { closedByAccident } from "./rules/closed-by-accident.ts";
import { componentFlags } from "./rules/component-flags.ts";
import { componentsAmongApplications } from "./rules/components-among-applications.ts";
import { controlPlaneByAddress } from "./rules/control-plane-by-address.ts";
import { controlPlaneReachable } from "./rules/control-plane-reachable.ts";
import { controlPlaneShared } from "./rules/control-plane-shared.ts";
import { controlPlaneUnnamed } from "./rules/control-plane-unnamed.ts";
import { credentialInvalid } from "./rules/credential-invalid.ts";
import { credentialWritten } from "./rules/credential-written.ts";
import { defaultAccount } from "./rules/default-account.ts";
import { defaultNamespace } from "./rules/default-namespace.ts";
import { denyByListing } from "./rules/deny-by-listing.ts";
import { denyByName } from "./rules/deny-by-name.ts";
import { deprecatedFields } from "./rules/deprecated-fields.ts";
import { destinationInClear } from "./rules/destination-in-clear.ts";
import { destinationPortOpen } from "./rules/destination-port-open.ts";
import { destinationRefused } from "./rules/destination-refused.ts";
import { destinationRulesOverlap } from "./rules/destination-rules-overlap.ts";
import { egressAnywhere } from "./rules/egress-anywhere.ts";
import { egressDirect } from "./rules/egress-direct.ts";
import { egressOuterName } from "./rules/egress-outer-name.ts";
import { encryptionConfiguration } from "./rules/encryption-configuration.ts";
import { entriesRepeated } from "./rules/entries-repeated.ts";
import { entryOfOthers } from "./rules/entry-of-others.ts";
import { entryProtocolsConflict } from "./rules/entry-protocols-conflict.ts";
import { envoyAddIgnored } from "./rules/envoy-add-ignored.ts";
import { envoyPatchRelative } from "./rules/envoy-patch-relative.ts";
import { envoyPatchVersioned } from "./rules/envoy-patch-versioned.ts";
import { envoyRemoveIgnored } from "./rules/envoy-remove-ignored.ts";
import { envoyReplaceIgnored } from "./rules/envoy-replace-ignored.ts";
import { envoySecurityRemoved } from "./rules/envoy-security-removed.ts";
import { exportNowhere } from "./rules/export-nowhere.ts";
import { externalAddresses } from "./rules/external-addresses.ts";
import { externalNamePort } from "./rules/external-name-port.ts";
import { filesNotWhole } from "./rules/files-not-whole.ts";
import { firstPartyTokens } from "./rules/first-party-tokens.ts";
import { forgedClientAddress } from "./rules/forged-client-address.ts";
import { gatewayAnyHost } from "./rules/gateway-any-host.ts";
import { gatewayApiOutdated } from "./rules/gateway-api-outdated.ts";
import { gatewayClientAddress } from "./rules/gateway-client-address.ts";
import { gatewayHostShared } from "./rules/gateway-host-shared.ts";
import { gatewayInClear } from "./rules/gateway-in-clear.ts";
import { gatewayInternal } from "./rules/gateway-internal.ts";
import { gatewayOfOthers } from "./rules/gateway-of-others.ts";
import { gatewayOldTls } from "./rules/gateway-old-tls.ts";
import { gatewayPortUnserved } from "./rules/gateway-port-unserved.ts";
import { gatewayUnbounded } from "./rules/gateway-unbounded.ts";
import { gatewaysConflict } from "./rules/gateways-conflict.ts";
import { grantForNobody } from "./rules/grant-for-nobody.ts";
import { headerTrusted } from "./rules/header-trusted.ts";
import { hostNetworkInMesh } from "./rules/host-network-in-mesh.ts";
import { hostNotAtGateway } from "./rules/host-not-at-gateway.ts";
import { hostPort } from "./rules/host-port.ts";
import { hostUnverified } from "./rules/host-unverified.ts";
import { httpRuleUnreached } from "./rules/http-rule-unreached.ts";
import { imageAutoInPod } from "./rules/image-auto-in-pod.ts";
import { imageAutoUninjected } from "./rules/image-auto-uninjected.ts";
import { imageInvalid } from "./rules/image-invalid.ts";
import { imageMoving } from "./rules/image-moving.ts";
import { imageRegistry } from "./rules/image-registry.ts";
import { imageUnpinned } from "./rules/image-unpinned.ts";
import { injectionOff } from "./rules/injection-off.ts";
import { issuerUnknown } from "./rules/issuer-unknown.ts";
import { jwksFetchUnrestricted } from "./rules/jwks-fetch-unrestricted.ts";
import { jwksInClear } from "./rules/jwks-in-clear.ts";
import { keyInConfigMap } from "./rules/key-in-config-map.ts";
import { keyOfAnother } from "./rules/key-of-another.ts";
import { kubeletConfiguration } from "./rules/kubelet-configuration.ts";
import { listenersConflict } from "./rules/listeners-conflict.ts";
import { loaderWarning } from "./rules/loader-warning.ts";
import { matchRepeated } from "./rules/match-repeated.ts";
import { meshHostsConflict } from "./rules/mesh-hosts-conflict.ts";
import { methodUnknown } from "./rules/method-unknown.ts";
import { mirrorOutside } from "./rules/mirror-outside.ts";
import { mtlsException } from "./rules/mtls-exception.ts";
import { mtlsSelectorRoot } from "./rules/mtls-selector-root.ts";
import { mtlsServicePort } from "./rules/mtls-service-port.ts";
import { nameOfMetadata } from "./rules/name-of-metadata.ts";
import { namesWithoutTls } from "./rules/names-without-tls.ts";
import { injectedByDefault } from "./rules/namespace-injected-by-default.ts";
import { manyInjectionLabels } from "./rules/namespace-labels-contradict.ts";
import { namespaceOutside } from "./rules/namespace-outside.ts";
import { namespacePermissive } from "./rules/namespace-permissive.ts";
import { namespaceUnadmitted } from "./rules/namespace-unadmitted.ts";
import { namespaceUnsegmented } from "./rules/namespace-unsegmented.ts";
import { networkPolicyOpen } from "./rules/network-policy-open.ts";
import { networkRegistryUnknown } from "./rules/network-registry-unknown.ts";
import { oddIdentities } from "./rules/odd-identities.ts";
import { onlyObserved } from "./rules/only-observed.ts";
import { openConsole } from "./rules/open-console.ts";
import { originsUnnamed } from "./rules/origins-unnamed.ts";
import { overrideWithoutTls } from "./rules/override-without-tls.ts";
import { pathNever } from "./rules/path-never.ts";
import { pathVariants } from "./rules/path-variants.ts";
import { peerAuthenticationsConflict } from "./rules/peer-authentications-conflict.ts";
import { peerSelectsNothing } from "./rules/peer-selects-nothing.ts";
import { podAsRoot } from "./rules/pod-as-root.ts";
import { podBaseline } from "./rules/pod-baseline.ts";
import { podCapabilities } from "./rules/pod-capabilities.ts";
import { podHostNamespaces } from "./rules/pod-host-namespaces.ts";
import { podHostPaths } from "./rules/pod-host-paths.ts";
import { podPrivileged } from "./rules/pod-privileged.ts";
import { podUnhardened } from "./rules/pod-unhardened.ts";
import { podWithoutProxy } from "./rules/pod-without-proxy.ts";
import { policyHostUnknown } from "./rules/policy-host-unknown.ts";
import { policySelectsNothing } from "./rules/policy-selects-nothing.ts";
import { policyServicePort } from "./rules/policy-service-port.ts";
import { portProtocolsMixed } from "./rules/port-protocols-mixed.ts";
import { portUnnamed } from "./rules/port-unnamed.ts";
import { portUnverified } from "./rules/port-unverified.ts";
import { principalPattern } from "./rules/principal-pattern.ts";
import { principalUnknown } from "./rules/principal-unknown.ts";
import { providerUnusable } from "./rules/provider-unusable.ts";
import { proxyImageDiffers } from "./rules/proxy-image-differs.ts";
import { proxyPrivileges } from "./rules/proxy-privileges.ts";
import { quicWithoutCertificate } from "./rules/quic-without-certificate.ts";
import { referenceLost } from "./rules/reference-lost.ts";
import { registryOnly } from "./rules/registry-only.ts";
import { resourceRejected } from "./rules/resource-rejected.ts";
import { rightsAll } from "./rules/rights-all.ts";
import { rightsAnonymous } from "./rules/rights-anonymous.ts";
import { rightsCertificates } from "./rules/rights-certificates.ts";
import { rightsEscalation } from "./rules/rights-escalation.ts";
import { rightsEverybody } from "./rules/rights-everybody.ts";
import { rightsMesh } from "./rules/rights-mesh.ts";
import { rightsNodes } from "./rules/rights-nodes.ts";
import { rightsPods } from "./rules/rights-pods.ts";
import { rightsSecrets } from "./rules/rights-secrets.ts";
import { rightsTokens } from "./rules/rights-tokens.ts";
import { rightsVolumes } from "./rules/rights-volumes.ts";
import { rightsWebhooks } from "./rules/rights-webhooks.ts";
import { roleWildcards } from "./rules/role-wildcards.ts";
import { routeApiLost } from "./rules/route-api-lost.ts";
import { routeCovered } from "./rules/route-covered.ts";
import { routeDetached } from "./rules/route-detached.ts";
import { routeTakesOver } from "./rules/route-takes-over.ts";
import { routeUnreached } from "./rules/route-unreached.ts";
import { ruleCovered } from "./rules/rule-covered.ts";
import { ruleDead } from "./rules/rule-dead.ts";
import { ruleHostUnknown } from "./rules/rule-host-unknown.ts";
import { ruleUnreached } from "./rules/rule-unreached.ts";
import { secretInEnvironment } from "./rules/secret-in-environment.ts";
import { selectorAtGateway } from "./rules/selector-at-gateway.ts";
import { sensitiveExposed } from "./rules/sensitive-exposed.ts";
import { sensitiveOpen } from "./rules/sensitive-open.ts";
import { sharedProcesses } from "./rules/shared-processes.ts";
import { sidecarAndAmbient } from "./rules/sidecar-and-ambient.ts";
import { sidecarHostUnknown } from "./rules/sidecar-host-unknown.ts";
import { sidecarInAmbient } from "./rules/sidecar-in-ambient.ts";
import { sidecarModeUnsaid } from "./rules/sidecar-mode-unsaid.ts";
import { sidecarRootSelector } from "./rules/sidecar-root-selector.ts";
import { sidecarsConflict } from "./rules/sidecars-conflict.ts";
import { sidecarsForAll } from "./rules/sidecars-for-all.ts";
import { signatureMissing } from "./rules/signature-missing.ts";
import { signatureRefused } from "./rules/signature-refused.ts";
import { statusNegative } from "./rules/status-negative.ts";
import { subsetEmpty } from "./rules/subset-empty.ts";
import { subsetRuleElsewhere } from "./rules/subset-rule-elsewhere.ts";
import { suppressionEndless } from "./rules/suppression-endless.ts";
import { suppressionVoidBeside } from "./rules/suppression-void.ts";
import { targetPortShared } from "./rules/target-port-shared.ts";
import { targetUnserved } from "./rules/target-unserved.ts";
import { tcpAttributes } from "./rules/tcp-attributes.ts";
import { tcpWithoutAddress } from "./rules/tcp-without-address.ts";
import { telemetriesConflict } from "./rules/telemetries-conflict.ts";
import { telemetriesForAll } from "./rules/telemetries-for-all.ts";
import { telemetryWithoutProvider } from "./rules/telemetry-without-provider.ts";
import { tlsModesApart } from "./rules/tls-modes-apart.ts";
import { tokenForOthers } from "./rules/token-for-others.ts";
import { tokenOptional } from "./rules/token-optional.ts";
import { tokenUnneeded } from "./rules/token-unneeded.ts";
import { tokenWithoutEnd } from "./rules/token-without-end.ts";
import { versionUnknown } from "./rules/version-unknown.ts";
import { versionVulnerable } from "./rules/version-vulnerable.ts";
import { wasmUntrusted } from "./rules/wasm-untrusted.ts";
import { waypointBypass } from "./rules/waypoint-bypass.ts";
import { waypointLost } from "./rules/waypoint-lost.ts";
import { waypointNeeded } from "./rules/waypoint-needed.ts";
import { webhookBroken } from "./rules/webhook-broken.ts";
import { wildcardServerName } from "./rules/wildcard-server-name.ts";
import { workloadGroupAccount } from "./rules/workload-group-account.ts";
import { workloadUncovered } from "./rules/workload-uncovered.ts";
import { ztunnelEmptySelector } from "./rules/ztunnel-empty-selector.ts";
import { ztunnelHttp } from "./rules/ztunnel-http.ts";
import { ztunnelPeerPorts } from "./rules/ztunnel-peer-ports.ts";
import { ztunnelTrustDomains } from "./rules/ztunnel-trust-domains.ts";

const RULES_ON_MESHES: readonly AuditRule[] = [
  filesNotWhole, // BW0003
  suppressionEndless, // BW0042
  deprecatedFields, // BW0100
  referenceLost, // BW0101
  namespaceOutside, // BW0102
  podWithoutProxy, // BW0103
  resourceRejected, // BW0106
  annotationMisplaced, // BW0107
  annotationUnknown, // BW0108
  meshHostsConflict, // BW0109
  sidecarsConflict, // BW0110
  sidecarsForAll, // BW0111
  destinationPortOpen, // BW0112
  portProtocolsMixed, // BW0116
  portUnnamed, // BW0118
  manyInjectionLabels, // BW0123
  annotationInvalid, // BW0125
  networkRegistryUnknown, // BW0126
  policySelectsNothing, // BW0127
  hostUnverified, // BW0128
  portUnverified, // BW0129
  routeUnreached, // BW0130
  matchRepeated, // BW0131
  hostNotAtGateway, // BW0132
  loaderWarning, // BW0133
  tcpWithoutAddress, // BW0134
  annotationDeprecated, // BW0135
  annotationAlpha, // BW0136
  targetPortShared, // BW0137
  certificateShared, // BW0138
  webhookBroken, // BW0139
  subsetRuleElsewhere, // BW0140
  applicationAsProxy, // BW0144
  gatewaysConflict, // BW0145
  imageAutoUninjected, // BW0146
  imageAutoInPod, // BW0147
  injectedByDefault, // BW0148
  claimRouteUnverified, // BW0149
  externalNamePort, // BW0150
  envoyPatchRelative, // BW0151
  envoyReplaceIgnored, // BW0152
  envoyAddIgnored, // BW0153
  envoyRemoveIgnored, // BW0154
  envoyPatchVersioned, // BW0155
  telemetryWithoutProvider, // BW0157
  proxyImageDiffers, // BW0158
  telemetriesConflict, // BW0159
  telemetriesForAll, // BW0160
  credentialInvalid, // BW0161
  gatewayPortUnserved, // BW0162
  controlPlaneUnnamed, // BW0163
  controlPlaneByAddress, // BW0164
  gatewayInternal, // BW0165
  selectorAtGateway, // BW0166
  sidecarInAmbient, // BW0167
  statusNegative, // BW0171
  subsetEmpty, // BW0173
  ruleHostUnknown, // BW0174
  jwksFetchUnrestricted, // BW0175
  gatewayApiOutdated, // BW0176
  entryProtocolsConflict, // BW0177
  workloadUncovered, // BW0301
  principalUnknown, // BW0302
  peerAuthenticationsConflict, // BW0303
  exportNowhere, // BW0304
  methodUnknown, // BW0305
  policyHostUnknown, // BW0306
  tlsModesApart, // BW0307
  overrideWithoutTls, // BW0308
  destinationRulesOverlap, // BW0309
  waypointNeeded, // BW0310
  waypointLost, // BW0311
  sidecarAndAmbient, // BW0312
  sidecarHostUnknown, // BW0313
  sidecarRootSelector, // BW0314
  sidecarModeUnsaid, // BW0315
  namesWithoutTls, // BW0316
  routeApiLost, // BW0317
  listenersConflict, // BW0318
  grantForNobody, // BW0319
  workloadGroupAccount, // BW0320
  entriesRepeated, // BW0321
  allowByExclusion, // BW0401
  denyByListing, // BW0402
  gatewayAnyHost, // BW0404
  firstPartyTokens, // BW0405
  namespacePermissive, // BW0406
  podPrivileged, // BW0501
  podHostNamespaces, // BW0502
  podHostPaths, // BW0503
  podCapabilities, // BW0504
  podBaseline, // BW0505
  podAsRoot, // BW0506
  podUnhardened, // BW0507
  namespaceUnadmitted, // BW0508
  rightsAnonymous, // BW0510
  rightsEverybody, // BW0511
  rightsSecrets, // BW0512
  rightsPods, // BW0513
  rightsEscalation, // BW0514
  rightsVolumes, // BW0515
  rightsNodes, // BW0516
  rightsCertificates, // BW0517
  rightsWebhooks, // BW0518
  rightsTokens, // BW0519
  rightsAll, // BW0520
  roleWildcards, // BW0521
  tokenUnneeded, // BW0522
  defaultNamespace, // BW0523
  openConsole, // BW0524
  rightsMesh, // BW0525
  componentFlags, // BW0530
  kubeletConfiguration, // BW0531
  encryptionConfiguration, // BW0532
  ruleCovered, // BW0601
  ruleDead, // BW0602
  allowDenied, // BW0603
  ruleUnreached, // BW0604
  closedByAccident, // BW0605
  policyServicePort, // BW0606
  pathNever, // BW0607
  claimsUnread, // BW0608
  tokenOptional, // BW0609
  issuerUnknown, // BW0610
  allowAnybody, // BW0612
  allowWholeMesh, // BW0613
  tcpAttributes, // BW0614
  allowNegatives, // BW0616
  denyByName, // BW0617
  pathVariants, // BW0618
  hostPort, // BW0619
  jwksInClear, // BW0621
  onlyObserved, // BW0622
  providerUnusable, // BW0623
  principalPattern, // BW0624
  headerTrusted, // BW0625
  tokenForOthers, // BW0626
  mtlsException, // BW0630
  mtlsSelectorRoot, // BW0634
  mtlsServicePort, // BW0635
  peerSelectsNothing, // BW0636
  routeCovered, // BW0640
  routeDetached, // BW0641
  mirrorOutside, // BW0642
  httpRuleUnreached, // BW0643
  destinationRefused, // BW0650
  destinationInClear, // BW0651
  imageInvalid, // BW0701
  imageMoving, // BW0702
  imageUnpinned, // BW0703
  imageRegistry, // BW0704
  signatureRefused, // BW0705
  signatureMissing, // BW0706
  versionVulnerable, // BW0710
  versionUnknown, // BW0711
  advisoriesStale, // BW0712
  proxyPrivileges, // BW0720
  controlPlaneShared, // BW0801
  controlPlaneReachable, // BW0802
  componentsAmongApplications, // BW0803
  gatewayUnbounded, // BW0804
  namespaceUnsegmented, // BW0805
  sensitiveOpen, // BW0806
  sensitiveExposed, // BW0807
  networkPolicyOpen, // BW0808
  captureExcluded, // BW0810
  hostNetworkInMesh, // BW0811
  applicationNetworkRights, // BW0812
  injectionOff, // BW0813
  sharedProcesses, // BW0814
  egressDirect, // BW0820
  egressAnywhere, // BW0821
  routeTakesOver, // BW0831
  entryOfOthers, // BW0832
  gatewayOfOthers, // BW0833
  gatewayHostShared, // BW0834
  gatewayInClear, // BW0835
  gatewayOldTls, // BW0836
  externalAddresses, // BW0837
  nameOfMetadata, // BW0838
  envoySecurityRemoved, // BW0840
  wasmUntrusted, // BW0841
  defaultAccount, // BW0850
  secretInEnvironment, // BW0852
  credentialWritten, // BW0853
  accessLogDisabled, // BW0861
  accessLogOff, // BW0862
  certificateOtherHost, // BW0863
  certificateWeak, // BW0864
  certificateEnding, // BW0865
  keyInConfigMap, // BW0866
  tokenWithoutEnd, // BW0867
  clientCertificateOptional, // BW0868
  originsUnnamed, // BW0869
  accountRulesCluster, // BW0870
  keyOfAnother, // BW0871
  ztunnelPeerPorts, // BW0951
  ztunnelTrustDomains, // BW0952
  ztunnelEmptySelector, // BW0953
  ztunnelHttp, // BW0954
  oddIdentities, // BW0955
  egressOuterName, // BW0956
  wildcardServerName, // BW0957
  quicWithoutCertificate, // BW0958
  waypointBypass, // BW0960
  forgedClientAddress, // BW0961
  gatewayClientAddress, // BW0962
  registryOnly, // BW0964
  targetUnserved, // BW0966
];

export const AUDIT_RULES: readonly AuditRule[] = [
  suppressionVoidBeside(RULES_ON_MESHES), // BW0002
  ...RULES_ON_MESHES,
];
