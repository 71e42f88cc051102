// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// example is one section of docs/guides/multi-tenancy.md.
type example struct {
	access  string // a patch of the deployment
	allowed string // a session
	refused string // another one
	because string // what it says
}

var (
	section = regexp.MustCompile(`(?m)^## (.*)$`)
	block   = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	code    = regexp.MustCompile("`([^`]+)`")
)

// accessPage reads the namespaces and the examples of docs/guides/multi-tenancy.md.
func accessPage(t *testing.T) (namespaces string, examples map[string]example) {
	t.Helper()
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "guides", "multi-tenancy.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	titles := section.FindAllStringSubmatchIndex(page, -1)
	if len(titles) == 0 {
		t.Fatal("the page has no sections")
	}
	namespaces = block.FindStringSubmatch(page[:titles[0][0]])[1]
	examples = map[string]example{}
	for i, title := range titles {
		end := len(page)
		if i+1 < len(titles) {
			end = titles[i+1][0]
		}
		if body := page[title[1]:end]; block.MatchString(body) {
			examples[page[title[2]:title[3]]] = parseExample(t, body)
		}
	}
	return namespaces, examples
}

// parseExample reads a section: rules, then a session that follows on "Allowed" and one
// that follows on "Refused, because `...`".
func parseExample(t *testing.T, body string) example {
	t.Helper()
	blocks := block.FindAllStringSubmatchIndex(body, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks, want rules, an allowed session and a refused one:\n%s", len(blocks), body)
	}
	text := func(i int) string { return body[blocks[i][2]:blocks[i][3]] }
	before := func(i int) string { return strings.TrimSpace(body[blocks[i-1][1]:blocks[i][0]]) }
	because := code.FindStringSubmatch(before(2))
	if !strings.HasPrefix(before(1), "Allowed") || !strings.HasPrefix(before(2), "Refused, because") || because == nil {
		t.Fatalf("it is not said what is allowed and what is refused:\n%s", body)
	}
	return example{access: text(0), allowed: text(1), refused: text(2), because: because[1]}
}

// The examples of docs/guides/multi-tenancy.md allow and refuse what the page says (B31).
func TestTheExamplesOfAccessRules(t *testing.T) {
	namespaces, examples := accessPage(t)
	if len(examples) < 5 {
		t.Errorf("%d examples", len(examples))
	}
	for title, e := range examples {
		t.Run(title, func(t *testing.T) {
			w := newEnv(t, withMTLS, withOAuthProvider)
			w.CreateUsers("shop-dev")
			_, err := w.Coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: "shop-dev", Name: "main"})
			w.Must(err)
			w.startShard()
			prod := w.newDeployment("prod")
			prod.Labels = w.shardLabels()
			w.Create(prod)
			rename := w.makeNamespaces(namespaces)
			w.Must(w.Client.Patch(t.Context(), prod, client.RawPatch(types.MergePatchType, w.toJSON(rename.Replace(e.access)))))
			allowed, refused := w.applyExample(rename.Replace(e.allowed)), w.applyExample(rename.Replace(e.refused))
			w.Eventually(w.inNamespace(refused.Namespace).IsNotReady(refused.Name, v1alpha1.ReasonAccessDenied,
				rename.Replace(e.because)))
			w.getsWhatItAsks(allowed)
		})
	}
}

// makeNamespaces creates the namespaces of the page under names of the test's own, and
// returns what puts these, and that of the test, in the place of the page's.
func (w *operatorEnv) makeNamespaces(page string) *strings.Replacer {
	w.T.Helper()
	renamed := []string{"namespace: coder}", "namespace: " + w.Namespace + "}"}
	for _, text := range strings.Split(page, "---\n") {
		namespace := &corev1.Namespace{}
		w.Must(yaml.UnmarshalStrict([]byte(text), namespace))
		renamed = append(renamed, namespace.Name, w.Cluster.Namespace(w.T, namespace.Labels))
	}
	return strings.NewReplacer(renamed...)
}

func (w *operatorEnv) toJSON(text string) []byte {
	w.T.Helper()
	json, err := yaml.YAMLToJSONStrict([]byte(text))
	w.Must(err)
	return json
}

// applyExample creates a session from the page.
func (w *operatorEnv) applyExample(text string) *v1alpha1.CoderSession {
	w.T.Helper()
	s := &v1alpha1.CoderSession{}
	w.Must(yaml.UnmarshalStrict([]byte(text), s))
	s.Labels = w.shardLabels()
	w.Create(s)
	return s
}

// getsWhatItAsks: the session is Ready, after a person's consent where it takes one, and
// has the private key where it asks for it.
func (w *operatorEnv) getsWhatItAsks(s *v1alpha1.CoderSession) {
	w.T.Helper()
	guests := w.inNamespace(s.Namespace)
	minted := 1
	if s.Spec.Auth.OAuth != nil {
		minted = 0
		w.Eventually(guests.asksForConsent(s.Name, v1alpha1.ReasonAwaitingAuthorization))
		guests.giveConsent(s.Name, "ada")
	}
	w.Eventually(guests.IsReady(s.Name), w.hasLiveTokens(minted))
	data := guests.CurrentSecret(s.Name).Data
	if wants := s.Spec.Secret != nil && s.Spec.Secret.IncludeClientCertificate; wants != (len(data["tls.key"]) > 0) {
		w.T.Errorf("the private key is in the Secret: %t, want %t", !wants, wants)
	}
}
