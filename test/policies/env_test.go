// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

func TestMain(m *testing.M) { os.Exit(kube.Shared(m)) }

// patience is how long the API server may take to notice a role or a policy.
const patience = time.Minute

const (
	ownNamespace = "coder-session-operator-system"
	ownAccount   = "coder-session-operator"
	ownGroup     = "credentials.coder.com"
)

// policyEnv is a test's namespace in a cluster with the policies.
type policyEnv struct {
	t         *testing.T
	cluster   *kube.Cluster
	namespace string
}

func newEnv(t *testing.T) *policyEnv {
	t.Helper()
	t.Parallel()
	w := &policyEnv{t: t, cluster: kube.ForTest(t)}
	w.must(installPolicies(t))
	w.namespace = w.cluster.Namespace(t, nil)
	return w
}

func (w *policyEnv) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// policyFiles are the manifests of the policies with their bindings.
func policyFiles(t *testing.T) []string {
	t.Helper()
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "config", "policies", "*_*.yaml"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files of policies: %q, %v", files, err)
	}
	return files
}

// readPolicies returns the policies and their bindings.
func readPolicies(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for _, file := range policyFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "\n---\n") {
			objects = append(objects, parse(t, part))
		}
	}
	return objects
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &object.Object); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return object
}

var installed struct {
	once sync.Once
	err  error
}

// installPolicies installs all policies once, and waits until they are in force.
func installPolicies(t *testing.T) error {
	t.Helper()
	installed.once.Do(func() {
		cluster := kube.ForTest(t)
		objects := readPolicies(t)
		for _, object := range objects {
			if installed.err = cluster.Client.Create(context.Background(), object); installed.err != nil {
				return
			}
		}
		w := &policyEnv{t: t, cluster: cluster, namespace: cluster.Namespace(t, nil)}
		stranger := w.user(allOf(ownGroup, "coderdeployments"), allOf(ownGroup, "codersessions"))
		own := w.grantTo(w.operatorAccount(), allOf(ownGroup, "codersessions"), allOf("", "secrets"))
		installed.err = wait.Until(context.Background(), patience, 0, wait.All(
			w.isRefusedNow(stranger, w.deployment("probe", "token: {secretRef: {name: x}}"), "you may not get Secret"),
			w.isRefusedNow(stranger, w.session("probe", minted), "you may not create Secrets"),
			w.isRefusedNow(own, w.session("probe", minted), "the operator's account may change"),
		))
	})
	return installed.err
}

// isRefusedNow: the API server refuses to create an object with these words.
func (w *policyEnv) isRefusedNow(as client.Client, object *unstructured.Unstructured, words string) wait.Check {
	return func(ctx context.Context) error {
		err := as.Create(ctx, object.DeepCopy(), client.DryRunAll)
		if err == nil {
			return errors.New("it is not refused yet")
		}
		if !strings.Contains(err.Error(), words) {
			return err
		}
		return nil
	}
}

// allOf is a rule with all that people do with a resource.
func allOf(group, resource string, names ...string) rbacv1.PolicyRule {
	return rule(group, resource, names, "get", "list", "watch", "create", "update", "patch", "delete")
}

func rule(group, resource string, names []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: names, Verbs: verbs,
	}
}

var users struct {
	sync.Mutex
	count int
}

// user is a person with these rights in the test's namespace and no others.
func (w *policyEnv) user(rules ...rbacv1.PolicyRule) client.Client {
	w.t.Helper()
	users.Lock()
	users.count++
	name := fmt.Sprintf("user-%d", users.count)
	users.Unlock()
	user, err := w.cluster.User(name, "system:authenticated")
	w.must(err)
	return w.grantTo(user, rules...)
}

// operatorAccount is the operator's own account.
func (w *policyEnv) operatorAccount() *kube.User {
	w.t.Helper()
	user, err := w.cluster.ServiceAccount(ownNamespace, ownAccount)
	w.must(err)
	return user
}

// grantTo gives a user rights in the test's namespace, waits until they have them, and returns their
// client.
func (w *policyEnv) grantTo(user *kube.User, rules ...rbacv1.PolicyRule) client.Client {
	w.t.Helper()
	users.Lock()
	users.count++
	meta := metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("rights-%d", users.count)}
	users.Unlock()
	w.must(w.cluster.Client.Create(w.t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules}))
	w.must(w.cluster.Client.Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user.Name}},
	}))
	for _, r := range rules {
		w.must(wait.Until(w.t.Context(), patience, 0, w.hasRight(user, r)))
	}
	as, err := client.New(user.Config, client.Options{Scheme: w.cluster.Scheme})
	w.must(err)
	return as
}

// hasRight: the API server has noticed that a user has the first of a rule's rights.
func (w *policyEnv) hasRight(user *kube.User, r rbacv1.PolicyRule) wait.Check {
	attributes := &authorizationv1.ResourceAttributes{
		Namespace: w.namespace, Group: r.APIGroups[0], Resource: r.Resources[0], Verb: r.Verbs[0],
	}
	attributes.Resource, attributes.Subresource, _ = strings.Cut(attributes.Resource, "/")
	if len(r.ResourceNames) > 0 {
		attributes.Name = r.ResourceNames[0]
	}
	return func(ctx context.Context) error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Name, ResourceAttributes: attributes,
		}}
		if err := w.cluster.Client.Create(ctx, review); err != nil {
			return wait.Final(err)
		}
		if !review.Status.Allowed {
			return fmt.Errorf("%s may not yet: %+v", user.Name, attributes)
		}
		return nil
	}
}

// deployment is a CoderDeployment with further lines of its spec.
func (w *policyEnv) deployment(name string, spec ...string) *unstructured.Unstructured {
	return w.object("CoderDeployment", name, append([]string{"url: https://coder.example.com"}, spec...))
}

const (
	minted      = "auth: {mint: {user: ci-bot}}"
	certificate = "auth: {certificate: {}}"
)

// session is a CoderSession of the deployment prod with further lines of its spec.
func (w *policyEnv) session(name string, spec ...string) *unstructured.Unstructured {
	return w.object("CoderSession", name, append([]string{"deploymentRef: {name: prod}"}, spec...))
}

func (w *policyEnv) object(kind, name string, spec []string) *unstructured.Unstructured {
	w.t.Helper()
	return parse(w.t, fmt.Sprintf("apiVersion: %s/v1alpha1\nkind: %s\nmetadata: {name: %s, namespace: %s}\nspec:\n  %s\n",
		ownGroup, kind, name, w.namespace, strings.ReplaceAll(strings.Join(spec, "\n"), "\n", "\n  ")))
}

// create creates an object as the admin, whom no policy refuses anything.
func (w *policyEnv) create(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		w.must(w.cluster.Client.Create(w.t.Context(), object))
	}
}

// expectRefused expects that an error is a refusal by the policies with this sentence and no other.
// NS stands for the namespace.
func (w *policyEnv) expectRefused(err error, sentence string) {
	w.t.Helper()
	sentence = strings.ReplaceAll(sentence, "NS", w.namespace)
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !(apierrors.IsForbidden(err) || apierrors.IsInvalid(err)) {
		w.t.Errorf("error is %v, want a refusal: %s", err, sentence)
		return
	}
	if _, said, found := strings.Cut(err.Error(), " denied request: "); !found || said != sentence {
		w.t.Errorf("the refusal is\n%v\nwant\n%s", err, sentence)
	}
}

func (w *policyEnv) expectAllowed(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Errorf("it is refused: %v", err)
	}
}

// dryCreate tries to create an object.
func (w *policyEnv) dryCreate(as client.Client, object *unstructured.Unstructured) error {
	return as.Create(w.t.Context(), object.DeepCopy(), client.DryRunAll)
}

// dryPatch tries a merge patch.
func (w *policyEnv) dryPatch(as client.Client, object client.Object, patch string) error {
	w.t.Helper()
	text, err := yaml.YAMLToJSON([]byte(patch))
	w.must(err)
	copied := object.DeepCopyObject().(client.Object)
	return as.Patch(w.t.Context(), copied, client.RawPatch(mergePatch, text), client.DryRunAll)
}

// fill fills in the kind and the namespace of a manifest.
func (w *policyEnv) fill(text, kind string) string {
	return strings.NewReplacer("KIND", kind, "NS", w.namespace).Replace(text)
}

// secret is a Secret whose metadata end as the lines begin.
func (w *policyEnv) secret(lines string) *unstructured.Unstructured {
	w.t.Helper()
	return parse(w.t, "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: "+w.namespace+", "+lines+"\n")
}
