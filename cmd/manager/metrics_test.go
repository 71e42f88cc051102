// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// The metrics are for those whom the API server lets read them. The roles are those of config/rbac.
func TestWhoReadsTheMetrics(t *testing.T) {
	in := newInstallation(t)
	in.bindClusterRole("metrics_auth_role.yaml", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind,
		Name: "operator-of-" + in.namespace})
	in.bindClusterRole("metrics_reader_role.yaml", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind,
		Namespace: in.namespace, Name: "scraper"})
	scraper, other := in.createToken("scraper"), in.createToken("other")

	authority, folder := certs.ForTest(t, "cluster"), t.TempDir()
	certificate := authority.IssueForTest(t, certs.Request{})
	in.failOnError(os.WriteFile(filepath.Join(folder, "tls.key"), certificate.KeyPEM, 0o600))
	in.failOnError(os.WriteFile(filepath.Join(folder, "tls.crt"), certificate.CertPEM, 0o600))
	address := program.FreeAddressForTest(t)
	r := in.startReplica("--metrics-bind-address="+address, "--metrics-secure=true", "--metrics-cert-dir="+folder,
		"--zap-log-level=6")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool(), ServerName: "localhost"},
		ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	answers := func(token string, status int, fragment string) wait.Check {
		return func(ctx context.Context) error {
			return checkMetrics(ctx, transport, "https://"+address+"/metrics", token, status, fragment)
		}
	}
	in.eventually(
		answers(scraper, http.StatusOK, "coder_session_operator_build_info"),
		answers(other, http.StatusForbidden, "system:serviceaccount:"+in.namespace+":other"),
		answers("", http.StatusUnauthorized, "Unauthorized"),
		answers(scraper[:len(scraper)-8], http.StatusUnauthorized, "Unauthorized"),
	)
	in.eventually(answers(scraper, http.StatusOK, "go_goroutines"))
	for _, token := range []string{scraper, other} {
		if strings.Contains(r.Output(), token) {
			t.Error("a token is in the log")
		}
	}
}

// checkMetrics looks whether the endpoint answers a token, empty for none, with this status and a body with the
// fragment.
func checkMetrics(
	ctx context.Context, transport http.RoundTripper, url, token string, status int, fragment string,
) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return program.CheckAnswer(transport, request, status, fragment)
}

// bindClusterRole creates a role of config/rbac, under a name of this installation, and binds a subject to it.
func (in *installation) bindClusterRole(file string, subject rbacv1.Subject) {
	in.t.Helper()
	root, err := kube.Root()
	in.failOnError(err)
	text, err := os.ReadFile(filepath.Join(root, "config", "rbac", file))
	in.failOnError(err)
	role := &rbacv1.ClusterRole{}
	in.failOnError(yaml.UnmarshalStrict(text, role))
	role.Name += "-" + in.namespace
	in.createObjects(role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, Subjects: []rbacv1.Subject{subject},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
	})
}

// createToken creates a service account and a token of it.
func (in *installation) createToken(name string) string {
	in.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: name}}
	in.createObjects(account)
	request := &authenticationv1.TokenRequest{}
	in.failOnError(in.cluster.Client.SubResource("token").Create(in.t.Context(), account, request))
	return request.Status.Token
}
