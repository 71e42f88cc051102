// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// clusterID is that of all operators, by which they know their tokens on the server.
const clusterID = "alerting"

const (
	// noProgress is provoked in TestAControllerThatHangs: no controller of a running operator can be made to hang.
	noProgress = "CoderOperatorMakesNoProgress"
	podWaits   = "CoderPodWaitsForItsSecret"
	// podPatience is longer than a pod may wait.
	podPatience = 20 * time.Minute
)

// alertEnv is a test's namespace and Coder server. Operators run as processes of their own.
type alertEnv struct {
	*testenv.Env
	url, manager, policies string
}

func newAlertEnv(t *testing.T, manager string) *alertEnv {
	t.Helper()
	w := &alertEnv{Env: testenv.New(t, kube.ForTest(t), nil), manager: manager}
	w.Coder = coderd.New(coderd.Options{DisableRateLimits: true})
	listener, err := w.Coder.Start(coderd.ListenOptions{Edge: coderd.Edge{Certificate: &w.NewAuthorities().TLS}})
	w.Must(err)
	t.Cleanup(func() { _ = listener.Close() })
	w.url = listener.URL()
	w.CreateUser(testenv.OperatorUser, coderd.RoleOwner)
	w.CreateUsers(testenv.MachineUser)
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": string(w.Servers.PEM())})
	return w
}

// buildManager builds the operator.
func buildManager(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := program.Build(t.Context(), ".", folder, "manager"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "manager")
}

// startOperator starts an operator for the namespace, whose webhook has a certificate that lasts that long, and
// returns the address of its metrics.
func (w *alertEnv) startOperator(webhookLasts time.Duration) (metricsAddress string) {
	w.T.Helper()
	user, err := w.Cluster.User("alerts", "system:masters")
	w.Must(err)
	folder := w.T.TempDir()
	certificate := w.Servers.IssueForTest(w.T, certs.Request{NotAfter: time.Now().Add(webhookLasts)})
	for name, data := range map[string][]byte{"tls.crt": certificate.CertPEM, "tls.key": certificate.KeyPEM} {
		w.Must(os.WriteFile(filepath.Join(folder, name), data, 0o600))
	}
	metricsAddress = program.FreeAddressForTest(w.T)
	operator := program.OperatorForTest(w.T, program.OperatorOptions{
		Path: w.manager, Kubeconfig: user.Kubeconfig, Namespace: w.Namespace, Metrics: metricsAddress,
		Flags: []string{
			"--cluster-id=" + clusterID, "--watch-namespaces=" + w.Namespace, "--revocation-timeout=2s", "--orphan-grace=1s",
			"--enable-webhooks", "--webhook-cert-dir=" + folder, "--webhook-bind-address=" + program.FreeAddressForTest(w.T),
			"--pod-sessions", "--admission-policies=" + w.policies,
		},
	})
	w.Must(operator.AwaitReady(w.T.Context(), w.Patience))
	return metricsAddress
}

// writeCredentials writes what a deployment refers to: a token and a client certificate that last that long.
func (w *alertEnv) writeCredentials(lasts time.Duration) {
	w.T.Helper()
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": w.createToken(testenv.OperatorUser, lasts)})
	certificate := w.Clients.IssueForTest(w.T, certs.Request{
		Usage: certs.Client, CommonName: testenv.OperatorUser, NotAfter: time.Now().Add(lasts),
	})
	w.WriteSecret(testenv.CertificateSecret, certificate.Data())
}

func (w *alertEnv) createToken(user string, lasts time.Duration) string {
	w.T.Helper()
	value, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: user, Lifetime: lasts})
	w.Must(err)
	return value
}

func (w *alertEnv) newDeployment(name string) *v1alpha1.CoderDeployment {
	return w.NewDeployment(name, w.url, func(spec *v1alpha1.CoderDeploymentSpec) {
		spec.Verify = v1alpha1.VerifyPolicy{Interval: "1s", QuietPeriod: "200ms", MaxDelay: "2s", Timeout: "5s"}
	})
}

// newPod returns a pod that the webhook has given a session of its own to.
func (w *alertEnv) newPod(parent string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: w.Meta(parent + "-pod"),
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	}
	pod.Labels = map[string]string{v1alpha1.LabelParent: parent}
	pod.Annotations = map[string]string{v1alpha1.AnnotationPodSession: parent + "-bcdfghjk"}
	return pod
}

// servesPods are sessions with perPod.
func servesPods(spec *v1alpha1.CoderSessionSpec) { spec.PerPod = &v1alpha1.PerPod{MaxPods: 1} }

const month = 30 * 24 * time.Hour

// Each alert fires on the metrics of an operator for which its cause was brought about, and none fires on those of
// one for which nothing is wrong. Samples are given times that go back as long as alerts wait; what a pod waits is
// counted from its creation, so for it they go on after the scrape.
func TestEachAlertIsProvokedOnce(t *testing.T) {
	manager := buildManager(t)
	_, all := renderRules(t)
	want := map[string]bool{}
	for _, r := range all {
		want[r.Alert] = r.Alert != noProgress
	}

	w := newAlertEnv(t, manager)
	leader := w.startOperator(time.Hour)
	earlier := w.provokeAll(leader)
	later, err := scrapeOperator(t.Context(), leader)
	w.Must(err)
	got := findFiring(t, all, earlier, later, time.Now())
	if got[podWaits] {
		t.Errorf("%s fires although the pod has just been created", podWaits)
	}
	got[podWaits] = findFiring(t, all, later, later, time.Now().Add(podPatience))[podWaits]
	// Of the leader and another replica Prometheus sees only the other one.
	other, err := scrapeOperator(t.Context(), w.startOperator(time.Hour))
	w.Must(err)
	const noLeader = "CoderOperatorHasNoLeader"
	if got[noLeader] {
		t.Errorf("%s fires although there is one", noLeader)
	}
	got[noLeader] = findFiring(t, all, other, other, time.Now())[noLeader]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("which alerts fire (-want +got):\n%s", diff)
	}

	healthy := newAlertEnv(t, manager)
	healthy.installPolicies()
	address := healthy.startOperator(month)
	healthy.writeCredentials(month)
	healthy.WriteSecret("supplied-token", map[string]string{"token": healthy.createToken(testenv.MachineUser, month)})
	healthy.Create(healthy.newDeployment(testenv.DeploymentName), healthy.NewMintedSession("ci", testenv.MachineUser),
		healthy.NewSuppliedSession("supplied", "supplied-token"),
		healthy.NewMintedSession("jobs", testenv.MachineUser, servesPods), healthy.newPod("jobs"))
	healthy.Eventually(healthy.IsReady("ci"), healthy.IsReady("supplied"), healthy.IsReady("jobs-bcdfghjk"),
		hasMetric(address, "admission_policies_installed", 1), hasMetric(address, "deployment_ready", 1))
	scraped, err := scrapeOperator(t.Context(), address)
	healthy.Must(err)
	firing := findFiring(t, all, scraped, scraped, time.Now())
	firing[podWaits] = findFiring(t, all, scraped, scraped, time.Now().Add(podPatience))[podWaits]
	for alert, fires := range firing {
		if fires {
			t.Errorf("%s fires although nothing is wrong", alert)
		}
	}
}

// provokeAll brings about the causes of all alerts. It returns what a scrape answered before a revocation was
// abandoned.
func (w *alertEnv) provokeAll(address string) (earlier scrape) {
	w.T.Helper()
	_, _, err := w.Coder.CreateToken(coderd.TokenOptions{
		User: testenv.MachineUser, Name: "cso-" + clusterID + "-0badcafe-7", Lifetime: month,
	})
	w.Must(err)
	w.forbid(http.MethodDelete, "/api/v2/users/*/keys/*")
	w.writeCredentials(time.Hour)
	w.WriteSecret("supplied-token", map[string]string{"token": w.createToken(testenv.MachineUser, time.Hour)})
	w.WriteSecret("refused-token", map[string]string{"token": w.createToken(testenv.MachineUser, month)})
	broken := w.newDeployment("broken")
	broken.Spec.Token.SecretRef.Name = "missing"
	before := v1alpha1.Duration("59s")
	w.Create(w.newDeployment(testenv.DeploymentName), broken, w.NewMintedSession("gone", testenv.MachineUser),
		w.NewSuppliedSession("supplied", "supplied-token"), w.NewSuppliedSession("refused", "refused-token"),
		w.NewMintedSession("late", testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
			spec.Auth.Mint.Lifetime = "1m"
			spec.Rotation = &v1alpha1.Rotation{RenewBefore: &before}
		}),
		w.NewMintedSession("jobs", testenv.MachineUser, servesPods, func(spec *v1alpha1.CoderSessionSpec) {
			spec.Paused = true
		}), w.newPod("jobs"))
	w.Eventually(w.IsReady("gone"), w.IsReady("supplied"), w.IsReady("refused"), w.IsReady("late"))
	w.forbid(http.MethodPost, "/api/v2/users/*/keys/tokens")
	w.WriteSecret("refused-token", map[string]string{"token": "aaaaaaaaaa-" + strings.Repeat("b", 22)})
	w.Eventually(hasMetric(address, "orphaned_tokens", 1), hasMetric(address, "pod_waiting_timestamp_seconds", 1),
		w.IsNotReady("refused", v1alpha1.ReasonSuspended, ""))
	earlier, err = scrapeOperator(w.T.Context(), address)
	w.Must(err)
	w.Delete(w.CurrentSession("gone"))
	w.Eventually(hasMetric(address, "revocations_abandoned_total", 1), hasMetric(address, "rotations_overdue", 1))
	return earlier
}

// forbid makes the Coder server refuse requests from now on.
func (w *alertEnv) forbid(method, path string) {
	w.Coder.Inject(coderd.Fault{Kind: coderd.FaultStatus, Status: http.StatusForbidden, Method: method, Path: path})
}

// installPolicies installs the admission policies.
func (w *alertEnv) installPolicies() {
	w.T.Helper()
	w.policies = "coder-session-operator"
	files, err := filepath.Glob("config/policies/*_*.yaml")
	w.Must(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		w.Must(err)
		for _, part := range strings.Split(string(text), "\n---\n") {
			object := &unstructured.Unstructured{}
			w.Must(yaml.UnmarshalStrict([]byte(part), &object.Object))
			w.Create(object)
		}
	}
}
