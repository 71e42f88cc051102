// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

// everything differs from the defaults, as far as one release can.
const everything = `
nameOverride: operator
commonLabels: {example.com/team: platform}
image:
  repository: registry.example.com/coder/operator
  tag: v1.2.3
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  pullPolicy: Always
  pullSecrets: [{name: registry}]
replicas: 3
podDisruptionBudget: {maxUnavailable: 50%}
resources: {requests: {cpu: 1, memory: 256Mi}, limits: {cpu: "2"}}
serviceAccount: {name: tokens, annotations: {example.com/role: "1"}}
logLevel: "2"
watchLabelSelector: shard in (a,b),tier!=test
clusterId: "12345678"
revocationTimeout: 1h30m
orphanGrace: 0s
maxConcurrentReconciles: 1000000
kubeAPI: {qps: -1, burst: 2000000}
webhook:
  bindPort: 10250
  failurePolicy: Ignore
  timeoutSeconds: 30
  unknownSession: Admit
  namespaceSelector: {matchLabels: {team: a}, matchExpressions: [{key: example.com/no, operator: DoesNotExist}]}
  certificates: CertManager
  certManager:
    issuerRef: {name: internal, kind: ClusterIssuer, group: cert-manager.io}
    duration: 720h
    renewBefore: 240h
metrics:
  bindAddress: "[::]:9444"
  secure: false
  service: {annotations: {prometheus.io/scrape: "true"}}
  serviceMonitor:
    enabled: true
    labels: {release: prometheus}
    interval: 30s
    scrapeTimeout: 10s
    relabelings: [{action: labeldrop, regex: pod}]
    metricRelabelings: [{action: keep, sourceLabels: [__name__], regex: coder_.*}]
oauthCallback:
  enabled: true
  bindPort: 9082
  url: https://callback.example.com:8443/coder/oauth
  service: {enabled: true, port: 8080, annotations: {example.com/a: "1"}}
  ingress: {enabled: true, className: public, annotations: {example.com/a: "2"}, tlsSecretName: callback-tls}
  httpRoute:
    enabled: true
    annotations: {example.com/a: "3"}
    parentRefs: [{name: public, namespace: gateways, sectionName: https}]
networkPolicy:
  enabled: true
  ingress:
    metrics: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
    callback: [{podSelector: {matchLabels: {app: gateway}}, namespaceSelector: {}}]
    webhook: [{ipBlock: {cidr: 10.0.0.1/32}}]
    probes: [{ipBlock: {cidr: 10.0.0.0/8}}]
  egress:
    dns: {to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [53, 5353]}
    apiServer: {to: [{ipBlock: {cidr: 10.0.0.1/32}}], ports: [6443]}
    coder: {to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}], ports: [443, 8443]}
    extra: [{ports: [{port: 3128}]}]
deploymentAnnotations: {example.com/reload: "true"}
podAnnotations: {example.com/a: "true"}
podLabels: {example.com/b: "2", app.kubernetes.io/name: other}
updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}
revisionHistoryLimit: 0
podSecurityContext: {runAsUser: 1000, runAsGroup: null, fsGroup: 2000, supplementalGroups: [3000]}
probes: {bindPort: 9081, liveness: {failureThreshold: 10}, readiness: {periodSeconds: 1, timeoutSeconds: 1}}
terminationGracePeriodSeconds: 120
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Equal, value: coder, effect: NoSchedule}]
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
    - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: noisy}}}
topologySpreadConstraints:
- maxSkew: 2
  topologyKey: rack
  whenUnsatisfiable: DoNotSchedule
  labelSelector: {matchLabels: {example.com/b: "2"}}
priorityClassName: system-cluster-critical
dnsPolicy: None
dnsConfig: {nameservers: [10.0.0.53], searches: [corp], options: [{name: ndots, value: "1"}]}
hostAliases: [{ip: 10.0.0.1, hostnames: [coder.internal]}]
extraArgs: [--zap-encoder=console, "--zap-log-level=error"]
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}, {name: NO_PROXY, value: $(KUBERNETES_SERVICE_HOST)}]
extraVolumes: [{name: roots, configMap: {name: roots}}]
extraVolumeMounts: [{name: roots, mountPath: /etc/ssl/certs, readOnly: true}]
containerSecurityContext: {capabilities: {add: [NET_BIND_SERVICE]}, readOnlyRootFilesystem: null}
extraContainers:
- name: proxy
  image: registry.example.com/proxy:1
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
podSpec:
  schedulerName: other
  enableServiceLinks: false
  terminationGracePeriodSeconds: 90
service: {ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv4]}
extraObjects:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: roots, namespace: "{{ .Release.Namespace }}"}
  data: {release: "{{ .Release.Name }}"}
`

// valueSets have to be accepted.
var valueSets = map[string]struct {
	values string
	args   []string // among those of the manager
}{
	"defaults": {args: []string{
		"--leader-elect", "--leader-election-namespace=$(POD_NAMESPACE)", "--metrics-bind-address=:8443",
		"--metrics-secure=true",
		"--admission-policies=" + fullName,
		"--enable-webhooks", "--webhook-bind-address=:9443", "--webhook-name=" + fullName + "-webhook",
		"--webhook-unknown-session=Refuse", "--pod-sessions",
	}},
	"everything": {values: everything, args: []string{
		"--metrics-bind-address=[::]:9444", "--metrics-secure=false", "--zap-log-level=2",
		"--watch-label-selector=shard in (a,b),tier!=test", "--cluster-id=12345678",
		"--revocation-timeout=1h30m", "--orphan-grace=0s", "--max-concurrent-reconciles=1000000",
		"--kube-api-qps=-1", "--kube-api-burst=2000000", "--zap-encoder=console", "--zap-log-level=error",
		"--oauth-callback-bind-address=:9082", "--oauth-callback-url=https://callback.example.com:8443/coder/oauth",
		"--webhook-bind-address=:10250", "--webhook-name=" + release + "-operator-webhook", "--webhook-unknown-session=Admit",
		"--webhook-cert-dir=/etc/coder-session-operator/webhook", "--health-probe-bind-address=:9081",
	}},
	"namespaces": {
		values: "{watchNamespaces: [default, kube-public], clusterId: prod0001}",
		args:   []string{"--watch-namespaces=default,kube-public", "--cluster-id=prod0001"},
	},
	"nothing cluster-wide": {values: nothingClusterWide},
	"callback over a forwarded port": {
		values: "{oauthCallback: {enabled: true}}", args: []string{"--oauth-callback-bind-address=:8082"},
	},
	"callback of a local proxy": {
		values: "{oauthCallback: {enabled: true, url: 'http://coder.localhost:8080/callback'}}",
		args:   []string{"--oauth-callback-url=http://coder.localhost:8080/callback"},
	},
	"no metrics":               {values: `{metrics: {bindAddress: "0"}}`, args: []string{"--metrics-bind-address=0"}},
	"no Service for metrics":   {values: "{metrics: {service: {enabled: false}}}"},
	"secure metrics monitored": {values: "{metrics: {serviceMonitor: {enabled: true}}}"},
	"own service account":      {values: "{serviceAccount: {create: false}}"},
	"roles made elsewhere":     {values: "{rbac: {create: false}, automountServiceAccountToken: false}"},
	"a CA by cert-manager":     {values: "{webhook: {certificates: CertManager}}"},
	"policy for what goes in":  {values: "{networkPolicy: {enabled: true, egress: {enabled: false}}}"},
	"policy with the defaults": {values: "{networkPolicy: {enabled: true}, oauthCallback: {enabled: true}}"},
	"no restarts":              {values: "{rbac: {restart: false}}"},
	"no admission policies":    {values: "{admissionPolicies: {enabled: false}}"},
	"nothing for people":       {values: "{rbac: {aggregate: {view: [], edit: [], admin: []}}}"},
	"full name": {
		values: "{fullnameOverride: credentials}", args: []string{"--webhook-name=credentials-webhook"},
	},
	"longest names": {
		values: "{fullnameOverride: a123456789b123456789c123456789d123456789, webhook: {certificates: CertManager}}",
	},
	"one replica, no budget": {
		values: "{replicas: 1, podDisruptionBudget: {enabled: false}, topologySpreadConstraints: []}",
	},
	"network of the node": {
		values: "{hostNetwork: true, webhook: {bindPort: 10443}, metrics: {bindAddress: ':10444'}, " +
			"probes: {bindPort: 10445}, oauthCallback: {enabled: true, bindPort: 10446}}",
		args: []string{
			"--webhook-bind-address=:10443", "--metrics-bind-address=:10444", "--health-probe-bind-address=:10445",
			"--oauth-callback-bind-address=:10446",
		},
	},
	"the platform's user":    {values: "{podSecurityContext: {runAsUser: null, runAsGroup: null}}"},
	"part of a chart":        {values: "{global: {registry: example.com}}"},
	"a namespace of its own": {values: "{namespaceOverride: default}"},
}

// nothingClusterWide is for people who may only write in namespaces.
const nothingClusterWide = "{watchNamespaces: [default], clusterId: prod0001, metrics: {secure: false}, " +
	"crds: {install: false}, webhook: {enabled: false}, admissionPolicies: {enabled: false}}"
