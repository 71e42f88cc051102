// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// example is a manifest in the page, and the refusal that follows it.
var example = regexp.MustCompile("(?s)```yaml\n([^`]*)```\n\n```text\n([^`]*)```")

// The page about security shows what the policies refuse, with their sentences.
func TestTheExamplesOfThePage(t *testing.T) {
	w := newEnv(t)
	root, err := kube.Root()
	w.must(err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "operations", "security.md"))
	w.must(err)
	author := w.user(mayCreateDeployments, mayCreateSessions, mayWriteSecrets)
	found := example.FindAllStringSubmatch(string(page), -1)
	if len(found) != 3 {
		t.Errorf("%d examples, want 3", len(found))
	}
	for _, each := range found {
		manifest := parse(t, strings.ReplaceAll(each[1], "team-a", w.namespace))
		sentence := strings.Join(strings.Fields(each[2]), " ")
		w.expectRefused(w.dryCreate(author, manifest), strings.ReplaceAll(sentence, "team-a", "NS"))
	}
	if !strings.Contains(string(page), "```text\n"+accountSentence+"\n```") {
		t.Errorf("the page does not say: %s", accountSentence)
	}
}
