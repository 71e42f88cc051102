// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// What the former operator's digests were made of.
const (
	fingerprintKey = "\xaa\x3d\x07\xc8\xb2\x2c\xa6\xc1\x8e\x0a\x1f\xcd\xfb\x37\x03\x0c" +
		"\x0d\x7e\x84\xd2\xc9\x06\x06\xa0\xf1\x84\xa5\xff\x55\xac\x8b\xaa"
	serverID = "d0e668fc-abc0-4934-91c3-8263465690ad"
)

// formerTokens are the tokens of the former operator's sessions. The last one of a session is published.
var formerTokens = []struct{ session, user, value string }{
	{"ci", testenv.MachineUser, "iV2WrPOEoJ-0123456789abcdefghijkl"},
	{"ci", testenv.MachineUser, "AgMktfb1P9-UD9NLfpiWjyIwqiOtGWKif"},
	{"paused", testenv.MachineUser, "jEJ7AnTTM7-MrSG1h55NCJ5UIMSh7wg4W"},
	{"returned", testenv.MachineUser, "aCz1HW8wOY-cLXIAK85yeMq8J2vDEp8BR"},
}

// suppliedToken is that of session supplied.
const suppliedToken = "QnhgRDt6dv-cbmchSRPmbrclqhnJutaxn"

// values fill the objects of testdata in.
type values struct {
	URL, Namespace  string
	UID, User, Time map[string]string
}

// upgradeEnv is a control plane of its own with the CRDs of a former version, what its operator left, and
// a Coder server.
type upgradeEnv struct {
	*testenv.Env
	values values
}

// newUpgradeEnv makes the state at the moment at which the former operator has been stopped.
func newUpgradeEnv(t *testing.T) *upgradeEnv {
	t.Helper()
	t.Parallel()
	cluster, err := kube.Start(t.Context(), kube.Options{CRDs: filepath.Join("testdata", "crds")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &upgradeEnv{Env: testenv.New(t, cluster, nil)}
	w.values = values{Namespace: w.Namespace, UID: map[string]string{}, User: map[string]string{}, Time: formerTimes()}
	w.startCoder()
	w.WriteSecret("token", map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")})
	w.WriteSecret("token2", map[string]string{"token": w.CreateToken(testenv.OperatorUser, "")})
	w.WriteSecret("mine", map[string]string{"token": suppliedToken})
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": string(w.Servers.PEM())})
	for _, object := range w.read("manifests.yaml") {
		w.Create(object)
		w.values.UID[object.GetName()] = string(object.GetUID())
	}
	w.createTokens()
	versions := map[string]string{} // of the generated Secrets, which status records
	for _, object := range w.read("secrets.yaml") {
		w.Create(object)
		versions[object.GetName()] = object.GetResourceVersion()
	}
	for _, object := range w.read("status.yaml") {
		status := object.Object["status"]
		if version, found := versions[object.GetName()]; found {
			w.Must(unstructured.SetNestedField(object.Object, version, "status", "secret", "resourceVersion"))
		}
		w.Must(w.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		object.Object["status"] = status
		w.Must(w.Client.Status().Update(t.Context(), object))
	}
	return w
}

// formerTimes are the times in the state of the former operator: it minted its tokens a minute ago.
func formerTimes() map[string]string {
	start := time.Now().Add(-time.Minute)
	at := func(d time.Duration) string { return start.Add(d).UTC().Format(time.RFC3339) }
	return map[string]string{
		"start": at(0), "revocation": at(time.Hour), "refresh": at(16 * time.Hour), "end": at(24 * time.Hour),
		"suppliedEnd": at(100 * time.Hour),
	}
}

// startCoder starts the Coder server.
func (w *upgradeEnv) startCoder() {
	w.T.Helper()
	w.Coder = coderd.New(coderd.Options{DisableRateLimits: true, DeploymentID: serverID})
	listener, err := w.Coder.Start(coderd.ListenOptions{Edge: coderd.Edge{Certificate: &w.NewAuthorities().TLS}})
	w.Must(err)
	w.T.Cleanup(func() { _ = listener.Close() })
	w.values.URL = listener.URL()
	w.values.User["operator"] = w.CreateUser(testenv.OperatorUser, coderd.RoleOwner).ID
	w.values.User["ci_bot"] = w.CreateUser(testenv.MachineUser).ID
	w.values.User["ada"] = w.CreateUser(testenv.PersonUser).ID
	_, _, err = w.Coder.CreateToken(coderd.TokenOptions{
		User: testenv.PersonUser, Value: suppliedToken, Lifetime: 100 * time.Hour,
	})
	w.Must(err)
}

// createTokens makes the tokens that the former operator has minted.
func (w *upgradeEnv) createTokens() {
	w.T.Helper()
	serials := map[string]int{}
	for _, token := range formerTokens {
		serials[token.session]++
		name := fmt.Sprintf("cso-%s-%s-%d", inprocess.Cluster, w.values.UID[token.session][:8], serials[token.session])
		_, _, err := w.Coder.CreateToken(coderd.TokenOptions{
			User: token.user, Name: name, Value: token.value, Lifetime: 24*time.Hour - time.Minute,
		})
		w.Must(err)
	}
}

// read returns the objects of a file of testdata.
func (w *upgradeEnv) read(file string) []*unstructured.Unstructured {
	w.T.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	w.Must(err)
	filled, err := template.New(file).Option("missingkey=error").Parse(string(text))
	w.Must(err)
	var out strings.Builder
	w.Must(filled.Execute(&out, w.values))
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(out.String(), "\n---\n") {
		object := &unstructured.Unstructured{}
		w.Must(yaml.Unmarshal([]byte(document), &object.Object))
		object.SetNamespace(w.Namespace)
		objects = append(objects, object)
	}
	return objects
}

// hastyClock waits for nothing.
type hastyClock struct{ clock.RealClock }

// After is over at once.
func (hastyClock) After(time.Duration) <-chan time.Time {
	over := make(chan time.Time, 1)
	over <- time.Now()
	return over
}

// plugin runs kubectl coder, and returns its exit code and what it wrote.
func (w *upgradeEnv) plugin(args ...string) (code int, stdout, stderr string) {
	w.T.Helper()
	var out, errs bytes.Buffer
	code = cli.Execute(w.T.Context(), cli.Environment{
		In: strings.NewReader(""), Out: &out, Err: &errs, Clock: hastyClock{}, Version: "v0.0.0-test",
	}, append([]string{"--kubeconfig", w.Cluster.Kubeconfig, "-n", w.Namespace}, args...))
	return code, out.String(), errs.String()
}

// requirePlugin runs kubectl coder, and fails the test at another exit code.
func (w *upgradeEnv) requirePlugin(want int, args ...string) (stdout, stderr string) {
	w.T.Helper()
	code, stdout, stderr := w.plugin(args...)
	if code != want {
		w.T.Fatalf("kubectl coder %v: exit code %d, want %d:\n%s", args, code, want, stderr)
	}
	return stdout, stderr
}

// installCRDs installs the CRDs of this version, and waits until their fields are served.
func (w *upgradeEnv) installCRDs() {
	w.T.Helper()
	root, err := kube.Root()
	w.Must(err)
	_, err = envtest.InstallCRDs(w.Cluster.Config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(root, "config", "crd", "bases")}, ErrorIfPathMissing: true,
	})
	w.Must(err)
	w.Eventually(func(context.Context) error {
		if code, _, stderr := w.plugin("convert"); code != cli.ExitBlocked {
			return fmt.Errorf("the fields are not served yet: exit code %d, %s", code, stderr)
		}
		return nil
	})
}

// startOperator starts the operator of this version.
func (w *upgradeEnv) startOperator() {
	w.T.Helper()
	operator, err := inprocess.Start(inprocess.Options{
		Config: w.Cluster.Config, Scheme: w.Cluster.Scheme, Namespaces: []string{w.Namespace},
		FingerprintKey: fingerprintKey,
	})
	w.Must(err)
	w.T.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			w.T.Error(err)
		}
	})
}
