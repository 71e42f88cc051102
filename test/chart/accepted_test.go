//go:build chart

package chart

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// everything differs from the defaults, as far as one release can.
const everything = `
image: {repository: registry.example.com/coder/operator, tag: v1.2.3, pullPolicy: Always, pullSecrets: [{name: registry}]}
replicas: 3
resources: {requests: {cpu: 1, memory: 256Mi}, limits: {cpu: "2"}}
serviceAccount: {name: tokens, annotations: {example.com/role: "1"}}
logLevel: "2"
watchLabelSelector: shard in (a,b),tier!=test
clusterId: "12345678"
revocationTimeout: 1h30m
orphanGrace: 0s
maxConcurrentReconciles: 1000000
kubeAPI: {qps: -1, burst: 2000000}
metrics: {bindAddress: "[::]:9443", secure: false}
oauthCallback: {enabled: true, bindPort: 9082, url: "https://callback.example.com:8443/coder/oauth", service: {enabled: true, port: 8080}}
podAnnotations: {example.com/a: "true"}
podLabels: {example.com/b: "2", app.kubernetes.io/name: other}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Equal, value: coder, effect: NoSchedule}]
affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]}}
priorityClassName: system-cluster-critical
extraArgs: [--zap-encoder=console, "--zap-log-level=error"]
`

// Helm's linter, the API server, its rules for restricted pods and the manager's
// own check of its flags have nothing against what is rendered.
func TestWhatIsRenderedIsAccepted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values string
		args   []string // among those of the manager
	}{
		"defaults": {
			args: []string{"--leader-elect", "--leader-election-namespace=$(POD_NAMESPACE)", "--metrics-bind-address=:8443", "--metrics-secure=true"},
		},
		"everything": {values: everything, args: []string{
			"--metrics-bind-address=[::]:9443", "--metrics-secure=false", "--zap-log-level=2",
			"--watch-label-selector=shard in (a,b),tier!=test", "--cluster-id=12345678",
			"--revocation-timeout=1h30m", "--orphan-grace=0s", "--max-concurrent-reconciles=1000000",
			"--kube-api-qps=-1", "--kube-api-burst=2000000", "--zap-encoder=console", "--zap-log-level=error",
			"--oauth-callback-bind-address=:9082", "--oauth-callback-url=https://callback.example.com:8443/coder/oauth",
		}},
		"namespaces": {
			values: "{watchNamespaces: [default, kube-public], clusterId: prod0001}",
			args:   []string{"--watch-namespaces=default,kube-public", "--cluster-id=prod0001"},
		},
		"callback over a forwarded port": {
			values: "{oauthCallback: {enabled: true}}", args: []string{"--oauth-callback-bind-address=:8082"},
		},
		"callback of a local proxy": {
			values: "{oauthCallback: {enabled: true, url: 'http://coder.localhost:8080/callback'}}",
			args:   []string{"--oauth-callback-url=http://coder.localhost:8080/callback"},
		},
		"no metrics":          {values: `{metrics: {bindAddress: "0"}}`, args: []string{"--metrics-bind-address=0"}},
		"own service account": {values: "{serviceAccount: {create: false}}"},
		"part of a chart":     {values: "{global: {registry: example.com}}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := kube.ForTest(t).Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
			if text, err := helm(t, test.values, "lint", "--strict"); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
			objects := render(t, namespace, test.values)
			for _, object := range objects {
				if err := dryRun(t, object); err != nil {
					t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
				}
			}
			d := deployment(t, objects)
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "manager", Labels: d.Spec.Template.Labels},
				Spec:       d.Spec.Template.Spec,
			}
			if err := kube.ForTest(t).Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
				t.Errorf("the Deployment's pod: %v", err)
			}
			args := d.Spec.Template.Spec.Containers[0].Args
			for _, want := range test.args {
				if !strings.Contains("\n"+strings.Join(args, "\n")+"\n", "\n"+want+"\n") {
					t.Errorf("no %s among %q", want, args)
				}
			}
			if _, err := run(t, "", "go", append([]string{"run", "./cmd/manager", "--version"}, args...)...); err != nil {
				t.Errorf("the manager: %v", err)
			}
		})
	}
}

// Nobody gets a port that takes requests of strangers without asking for it.
func TestNoCallbackByDefault(t *testing.T) {
	t.Parallel()
	objects := render(t, "operators", "")
	container := deployment(t, objects).Spec.Template.Spec.Containers[0]
	for _, port := range container.Ports {
		if port.Name == "callback" {
			t.Errorf("port %d", port.ContainerPort)
		}
	}
	if strings.Contains(strings.Join(container.Args, " "), "oauth") || len(ofKind(objects, "Service")) != 1 {
		t.Errorf("arguments %q, %d Services", container.Args, len(ofKind(objects, "Service")))
	}
}

// dryRun applies a manifest as Helm does, unknown fields being errors, and keeps
// nothing of it.
func dryRun(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	writer := client.WithFieldValidation(kube.ForTest(t).Client, metav1.FieldValidationStrict)
	return writer.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object.DeepCopy()),
		client.FieldOwner("helm"), client.ForceOwnership, client.DryRunAll)
}

// The selector of a Deployment cannot be changed, and has to find its pods.
func TestSelectorsFindThePods(t *testing.T) {
	t.Parallel()
	objects := render(t, "operators", everything)
	d := deployment(t, objects)
	containerPorts := map[string]int32{}
	for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
		containerPorts[port.Name] = port.ContainerPort
	}
	selectors := map[string]map[string]string{"Deployment": d.Spec.Selector.MatchLabels}
	ports := map[string][2]int32{} // of the Services: their own, and the pods'
	for name, object := range ofKind(objects, "Service") {
		service := &corev1.Service{}
		convert(t, object, service)
		selectors[name] = service.Spec.Selector
		for _, port := range service.Spec.Ports {
			ports[name] = [2]int32{port.Port, containerPorts[port.TargetPort.String()]}
		}
	}
	want := map[string][2]int32{
		"operators/" + fullName + "-metrics":        {9443, 9443},
		"operators/" + fullName + "-oauth-callback": {8080, 9082},
	}
	if diff := cmp.Diff(want, ports); diff != "" {
		t.Errorf("ports of the Services (-want +got):\n%s", diff)
	}
	for of, selector := range selectors {
		if selector["app.kubernetes.io/instance"] != release {
			t.Errorf("%s: the selector does not tell releases apart: %v", of, selector)
		}
		for key, value := range selector {
			if d.Spec.Template.Labels[key] != value {
				t.Errorf("%s: selects %s=%s, pods have %v", of, key, value, d.Spec.Template.Labels)
			}
		}
	}
}
