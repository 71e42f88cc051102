// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

func TestCheckFindsNothingWrong(t *testing.T) {
	s := newSetUp(t)
	s.install()
	s.waitForFinding(cli.ExitOK,
		"ok           CRDs: CoderDeployment and CoderSession are served with all fields",
		"ok           Clocks: this machine and the API server agree",
		"ok           Operator: Deployment "+s.namespace+"/operator runs image coder-session-operator:v0.0.0-test",
		"ok           Other operators: no other operator works on the same objects",
		"ok           Your rights: you may list and change sessions in namespace "+s.namespace,
		"ok           The operator's rights: system:serviceaccount:"+s.namespace+":operator may do what it needs",
		"ok           Webhook: the API server reaches it",
		"ok           Admission policies: all are in force",
		"ok           OAuth callback: it answers at http://127.0.0.1",
		"ok           Deployment "+s.namespace+"/prod: Ready, Coder v2.36.1",
		"ok           Sessions: no attention is needed by 1 session",
		"\n11 ok.\n")
}

// Each of these set-ups was seen: what is wrong is named, with what to do about it.
func TestCheckFindsBrokenSetUps(t *testing.T) {
	for name, test := range map[string]struct {
		breakIt func(*setUp)
		code    int
		wants   []string
	}{
		"missing CRD": {func(s *setUp) {
			s.withAPI(func(w http.ResponseWriter, r *http.Request) bool {
				missing := r.URL.Path == schemaPath || strings.HasPrefix(r.URL.Path, "/apis/credentials.coder.com/")
				if missing {
					http.NotFound(w, r)
				}
				return missing
			})
		}, cli.ExitAttention, []string{
			"problem      CRDs: the cluster has no CRD of CoderDeployment in credentials.coder.com/v1alpha1\n" +
				"             → install the CRDs",
			"problem      CRDs: the cluster has no CRD of CoderSession",
		}},
		"old CRD": {func(s *setUp) {
			old := strings.ReplaceAll(s.readSchema(), `"paused":`, `"suspend":`)
			s.withAPI(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == schemaPath {
					_, _ = io.WriteString(w, old)
				}
				return r.URL.Path == schemaPath
			})
		}, cli.ExitAttention, []string{
			"problem      CRDs: the CRD of CoderSession is that of another version: it has no spec.paused\n",
			"→ upgrade the CRDs with the operator",
		}},
		"no right": {func(s *setUp) { s.withoutRBAC = true }, cli.ExitAttention, []string{
			"problem      The operator's rights: system:serviceaccount:{ns}:operator may not create, delete, get, list, " +
				"update, watch secrets in namespace {ns}\n             → bind the operator's role",
		}},
		"webhook unreachable": {func(s *setUp) {
			closed := httptest.NewTLSServer(http.NotFoundHandler())
			s.webhook = newWebhook(s.namespace, closed)
			closed.Close()
		}, cli.ExitAttention, []string{
			"problem      Webhook: the API server does not reach it, and refuses the pods", "connection refused",
			"→ see that the operator's pods are ready",
		}},
		"webhook unreachable, and ignored": {func(s *setUp) {
			closed, ignore := httptest.NewTLSServer(http.NotFoundHandler()), admissionregistrationv1.Ignore
			s.webhook = newWebhook(s.namespace, closed)
			s.webhook.Webhooks[0].FailurePolicy = &ignore
			closed.Close()
		}, cli.ExitAttention, []string{
			"problem      Webhook: the API server does not reach it, and pods start without credentials",
		}},
		"webhook without a configuration": {func(s *setUp) { s.webhook = nil }, cli.ExitAttention, []string{
			"problem      Webhook: there is no MutatingWebhookConfiguration {ns}-webhook",
		}},
		"wrong CA": {func(s *setUp) {
			s.webhook.Webhooks[0].ClientConfig.CABundle = otherAuthority(s.t)
		}, cli.ExitAttention, []string{
			"problem      Webhook: the API server does not trust it, and refuses the pods", "x509: certificate signed by",
			"→ let the operator write the caBundle again: kubectl rollout restart -n {ns} deployment/operator",
		}},
		"no CA": {func(s *setUp) { s.webhook.Webhooks[0].ClientConfig.CABundle = nil }, cli.ExitAttention, []string{
			"problem      Webhook: the caBundle of MutatingWebhookConfiguration {ns}-webhook is empty",
		}},
		"callback unreachable": {func(s *setUp) {
			closed := httptest.NewServer(http.NotFoundHandler())
			closed.Close()
			s.addArgs("--oauth-callback-url=" + closed.URL + "/oauth/callback")
		}, cli.ExitAttention, []string{
			"problem      OAuth callback: http://127.0.0.1:", "cannot be reached from this machine", "connection refused",
			"→ check the DNS name",
		}},
		"callback of something else": {func(s *setUp) {
			other := httptest.NewServer(http.NotFoundHandler())
			s.t.Cleanup(other.Close)
			s.addArgs("--oauth-callback-url=" + other.URL + "/oauth/callback")
		}, cli.ExitAttention, []string{`is answered with "404 Not Found" by something that is not the operator`}},
		"callback off": {func(s *setUp) {
			s.addArgs("--oauth-callback-bind-address=")
			s.sessions = append(s.sessions, oauthSession(s.namespace))
		}, cli.ExitAttention, []string{
			"problem      OAuth callback: it is off, and 1 session with auth.oauth cannot get a consent\n",
		}},
		"old server": {func(s *setUp) {
			s.prod.Status.Version = "v2.24.2+abc1234"
			s.sessions = append(s.sessions, oauthSession(s.namespace))
			s.sessions[0].Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
		}, cli.ExitAttention, []string{
			"problem      Deployment {ns}/prod: Coder v2.24.2+abc1234 cannot revoke grants, so that auth.oauth of 1 session " +
				"is not supported\n",
			"warning      Deployment {ns}/prod: Coder v2.24.2+abc1234 ignores OAuth scopes: the tokens of 1 session may do all",
			"warning      Deployment {ns}/prod: Coder v2.24.2+abc1234 ignores scopes: the tokens of 1 session may do all",
		}},
		"provider off": {func(s *setUp) {
			session := oauthSession(s.namespace)
			notReady(v1alpha1.ReasonConfigInvalid, "the server has no OAuth2 provider, or it is off: set "+
				"CODER_OAUTH2_PROVIDER_ENABLE there")(session)
			s.sessions = append(s.sessions, session)
		}, cli.ExitAttention, []string{
			"problem      Session {ns}/person: ConfigInvalid: the server has no OAuth2 provider, or it is off: set " +
				"CODER_OAUTH2_PROVIDER_ENABLE there\n             → correct what the message names",
		}},
		"policies off": {func(s *setUp) { s.addArgs("--admission-policies=") }, cli.ExitAttention, []string{
			"warning      Admission policies: they are off: who may create sessions or deployments in a namespace may read " +
				"its Secrets\n             → install them: admissionPolicies.enabled in the chart",
		}},
		"policies deleted": {func(s *setUp) { s.withoutPolicies = true }, cli.ExitAttention, []string{
			"warning      Admission policies: ValidatingAdmissionPolicy {ns}-deployment-rights does not exist",
		}},
		"clock skew": {func(s *setUp) { s.ahead = 10 * time.Minute }, cli.ExitAttention, []string{
			"warning      Clocks: the clock of this machine is ", "ahead of the API server's\n             → have both take",
		}},
		"clock skew of the operator": {func(s *setUp) {
			s.prod.Status.LastVerifiedTime = &metav1.Time{Time: time.Now().Add(time.Hour)}
		}, cli.ExitAttention, []string{"warning      Deployment {ns}/prod: the clock of the operator's node is "}},
		"two operators with one scope": {func(s *setUp) {
			second := s.deployment.DeepCopy()
			second.Name = "second"
			s.createDeployment(second)
		}, cli.ExitAttention, []string{
			"problem      Other operators: Deployments {ns}/operator and {ns}/second work on the same objects",
			"→ remove one of them, or give them different namespaces or label selectors",
		}},
		"two operators with one cluster id": {func(s *setUp) {
			s.addArgs("--cluster-id=abcd0123")
			second := s.deployment.DeepCopy()
			second.Name = "second"
			container := &second.Spec.Template.Spec.Containers[0]
			container.Args = append(container.Args, "--watch-namespaces=elsewhere")
			s.createDeployment(second)
		}, cli.ExitAttention, []string{
			"problem      Other operators: Deployments {ns}/operator and {ns}/second have the same cluster id",
		}},
		"expired operator token": {func(s *setUp) {
			s.prod.Status.TokenExpirationTime = &metav1.Time{Time: time.Now().Add(-time.Hour)}
		}, cli.ExitAttention, []string{
			"problem      Deployment {ns}/prod: the operator's token ended ",
			"→ write another one to Secret {ns}/coder-operator-token, key token, or set spec.token.renew\n",
		}},
		"operator's token refused": {func(s *setUp) {
			deploymentSays(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnauthorized,
				"the server refuses the token")(s.prod)
		}, cli.ExitAttention, []string{
			"problem      Deployment {ns}/prod: Unauthorized: the server refuses the token\n" +
				"             → write a valid token to",
		}},
		"no replica": {func(s *setUp) {
			none := int32(0)
			s.deployment.Spec.Replicas = &none
		}, cli.ExitAttention, []string{"problem      Operator: Deployment {ns}/operator has no replicas"}},
		"another namespace": {func(s *setUp) { s.addArgs("--watch-namespaces=elsewhere") }, cli.ExitAttention, []string{
			"problem      Operator: the operator does not work in namespace {ns}, but in elsewhere\n",
		}},
		"other labels": {func(s *setUp) { s.addArgs("--watch-label-selector=shard=a") }, cli.ExitAttention, []string{
			`problem      Deployment {ns}/prod: the operator looks only at objects with labels that "shard=a" selects`,
		}},
		"schema that cannot be read": {func(s *setUp) {
			s.withAPI(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == schemaPath {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				return r.URL.Path == schemaPath
			})
		}, cli.ExitAttention, []string{"problem      CRDs: the API server cannot be asked: the API server answers 503"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetUp(t)
			test.breakIt(s)
			s.install()
			for i, want := range test.wants {
				test.wants[i] = strings.ReplaceAll(want, "{ns}", s.namespace)
			}
			s.waitForFinding(test.code, test.wants...)
		})
	}
}

// oauthSession waits for nothing.
func oauthSession(namespace string) *v1alpha1.CoderSession {
	s := mintedSession(namespace, "person", "", "prod")
	s.Spec.Auth = v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{Scopes: []v1alpha1.Scope{"workspace:read"}}}
	return s
}

// otherAuthority is the certificate of an authority that has issued nothing here.
func otherAuthority(t testing.TB) []byte {
	t.Helper()
	return certs.ForTest(t, "other").PEM()
}

// What a user may not read is named, and does not count as checked.
func TestCheckSaysWhatItCouldNotLookAt(t *testing.T) {
	s := newSetUp(t)
	s.install()
	user, err := s.cluster.User("check-viewer")
	if err != nil {
		t.Fatal(err)
	}
	s.allowUser("check-viewer", s.namespace, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group},
		Resources: []string{"codersessions", "coderdeployments"}, Verbs: []string{"list", "watch", "create", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list"}})
	s.kubeconfig = user.Kubeconfig
	s.waitForFinding(cli.ExitIncomplete,
		"not checked  Other operators: you may not list Deployments in all namespaces\n",
		"not checked  The operator's rights: you may not create SubjectAccessReviews",
		"not checked  Webhook: its configuration cannot be read",
		"not checked  Admission policies: ",
		"ok           Your rights: ")
}
