// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// setUp is an installation of the operator in a test's namespace, for sessions of that namespace only.
type setUp struct {
	*pluginEnv
	deployment                   *appsv1.Deployment
	webhook                      *admissionregistrationv1.MutatingWebhookConfiguration
	prod                         *v1alpha1.CoderDeployment
	sessions                     []*v1alpha1.CoderSession
	withoutRBAC, withoutPolicies bool
	// kubeconfig of the person; empty: that of the cluster's admin.
	kubeconfig string
	// server is the URL of the API server; empty: that of the kubeconfig.
	server string
	// ahead is how far the clock of the plugin is ahead.
	ahead time.Duration
}

// newSetUp returns one in which nothing is wrong. Nothing is created yet.
func newSetUp(t *testing.T) *setUp {
	w := newPluginEnv(t)
	pods := metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/component": "manager"}}
	labels := readInstalledLabels(t)
	s := &setUp{pluginEnv: w}
	s.deployment = &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "operator", Labels: labels},
		Spec: appsv1.DeploymentSpec{Selector: &pods, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: pods.MatchLabels},
			Spec: corev1.PodSpec{ServiceAccountName: "operator", Containers: []corev1.Container{{
				Name: "manager", Image: "coder-session-operator:v0.0.0-test", Args: []string{
					"--leader-elect", "--watch-namespaces=" + w.namespace, "--enable-webhooks",
					"--webhook-name=" + w.namespace + "-webhook", "--admission-policies=" + w.namespace,
					"--oauth-callback-bind-address=:8082", "--pod-sessions",
				}}}}}},
	}
	webhook := httptest.NewTLSServer(http.HandlerFunc(refusePod))
	page := httptest.NewServer(callback.New(callback.Options{})) // its answer to a request without a state
	t.Cleanup(webhook.Close)
	t.Cleanup(page.Close)
	s.addArgs("--oauth-callback-url=" + page.URL + "/oauth/callback")
	s.webhook = newWebhook(w.namespace, webhook)
	s.prod = newDeployment(w.namespace, "prod", inFuture)
	s.sessions = []*v1alpha1.CoderSession{mintedSession(w.namespace, "ci", "", "prod")}
	return s
}

// readInstalledLabels returns the labels that config/default gives to all that it installs. test/chart holds
// that the chart gives the same.
func readInstalledLabels(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../config/default/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Labels []struct{ Pairs map[string]string }
	}
	if err := yaml.Unmarshal(text, &kustomization); err != nil || len(kustomization.Labels) == 0 {
		t.Fatalf("config/default has no labels: %v", err)
	}
	return kustomization.Labels[0].Pairs
}

func (s *setUp) addArgs(args ...string) {
	container := &s.deployment.Spec.Template.Spec.Containers[0]
	container.Args = append(container.Args, args...)
}

// inFuture makes the operator's token valid by the real clock, and the server verified just now.
func inFuture(d *v1alpha1.CoderDeployment) {
	d.Status.LastVerifiedTime = &metav1.Time{Time: time.Now()}
	d.Status.TokenExpirationTime = &metav1.Time{Time: time.Now().Add(120 * time.Hour)}
}

// refusePod answers as the webhook does for a session that does not exist.
func refusePod(w http.ResponseWriter, r *http.Request) {
	review := &admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID,
		Result: &metav1.Status{Message: "session does not exist"}}
	_ = json.NewEncoder(w).Encode(review)
}

// newWebhook returns the configuration of a webhook at a server, for the pods of a namespace.
func newWebhook(namespace string, server *httptest.Server) *admissionregistrationv1.MutatingWebhookConfiguration {
	none, url := admissionregistrationv1.SideEffectClassNone, server.URL+"/mutate-v1-pod"
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: namespace + "-webhook"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "pods.credentials.coder.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			ObjectSelector:    &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelInject: "true"}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       coreRule("pods"),
			}},
		}},
	}
}

// coreRule selects a resource of the core group.
func coreRule(resource string) admissionregistrationv1.Rule {
	return admissionregistrationv1.Rule{
		APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource},
	}
}

// install creates all of it.
func (s *setUp) install() {
	s.t.Helper()
	s.createDeployment(s.deployment)
	if s.webhook != nil {
		s.createObjects(s.webhook)
		s.t.Cleanup(func() { _ = s.cluster.Client.Delete(context.Background(), s.webhook) })
	}
	if !s.withoutRBAC {
		s.bindRole()
	}
	if !s.withoutPolicies {
		s.createPolicies()
	}
	if s.prod != nil {
		s.createObjects(s.prod)
	}
	for _, session := range s.sessions {
		s.createObjects(session)
	}
}

func (s *setUp) createDeployment(d *appsv1.Deployment) {
	s.t.Helper()
	s.createObjects(d)
	d.Status.Replicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = 1, 1, 1
	if err := s.cluster.Client.Status().Update(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
}

// bindRole gives the operator's account the rights that the operator is installed with.
func (s *setUp) bindRole() {
	s.t.Helper()
	var rules []rbacv1.PolicyRule
	for _, path := range []string{"../../config/rbac/role.yaml", "../../config/webhook/pods_role.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		role := &rbacv1.ClusterRole{}
		if err := yaml.Unmarshal(text, role); err != nil {
			s.t.Fatal(err)
		}
		rules = append(rules, role.Rules...)
	}
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: "operator"}
	s.createObjects(&rbacv1.Role{ObjectMeta: meta, Rules: rules},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "operator"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "operator"}},
		})
}

// createPolicies creates policies with the operator's names that forbid nothing.
func (s *setUp) createPolicies() {
	s.t.Helper()
	rule := admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create}, Rule: coreRule("limitranges"),
	}
	rules := []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: rule}}
	for _, suffix := range []string{"-deployment-rights", "-own-account", "-session-rights"} {
		meta := metav1.ObjectMeta{Name: s.namespace + suffix}
		policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: meta,
			Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: rules},
				Validations:      []admissionregistrationv1.Validation{{Expression: "true"}},
			}}
		binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta,
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: meta.Name,
				ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}}}
		s.createObjects(policy, binding)
	}
}

// waitForFinding runs check until its output has a text, since the API server takes a moment to know
// roles and webhooks, and compares the exit code.
func (s *setUp) waitForFinding(code int, wants ...string) {
	s.t.Helper()
	args := []string{"check", "--operator-namespace", s.namespace}
	if s.server != "" {
		args = append(args, "--server", s.server)
	}
	var r *run
	var got int
	holds := func() bool {
		r = s.startPlugin(cmp.Or(s.kubeconfig, s.cluster.Kubeconfig), func(e *cli.Environment) {
			e.Clock = clock.RealClock{}
			if s.ahead != 0 {
				e.Clock = clocktesting.NewFakeClock(time.Now().Add(s.ahead))
			}
		}, args...)
		got = <-r.code
		for _, want := range wants {
			if !strings.Contains(r.out.String(), want) {
				return false
			}
		}
		return got == code
	}
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			s.t.Fatalf("exit code %d, want %d; want %q in:\n%s\n%s", got, code, wants, r.out, r.err)
		}
	}
}

// withAPI serves the API server's answers, except those that answer gives itself.
func (s *setUp) withAPI(answer func(w http.ResponseWriter, r *http.Request) bool) {
	l := newLink(s.pluginEnv)
	l.intercept = answer
	s.server = l.URL
}

const schemaPath = "/openapi/v3/apis/credentials.coder.com/v1alpha1"

// readSchema reads the OpenAPI document of the operator's kinds. An API server publishes it some seconds after the
// CRDs are established.
func (s *setUp) readSchema() string {
	s.t.Helper()
	client, err := rest.HTTPClientFor(s.cluster.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	var text []byte
	wait.ForTest(s.t, time.Minute, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(
			ctx, http.MethodGet, strings.TrimSuffix(s.cluster.Config.Host, "/")+schemaPath, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		text, err = io.ReadAll(response.Body)
		return err
	})
	return string(text)
}
