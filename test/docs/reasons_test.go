// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	conditionsSource    = "api/v1alpha1/conditions.go"
	conditionsPage      = "docs/reference/conditions.md"
	troubleshootingPage = "docs/operations/troubleshooting.md"
)

// declaredReasons returns the strings that conditions.go declares: the types of conditions, and all
// reasons (of conditions, of retirements and of events).
func declaredReasons(t *testing.T) (types, reasons []string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(conditionsSource))
	parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name.Name, "Condition") {
				types = append(types, value)
			} else {
				reasons = append(reasons, value)
			}
		}
		return true
	})
	slices.Sort(reasons)
	return types, slices.Compact(reasons) // an event may have a condition's reason
}

// entry is a heading of the page of troubleshooting that is about a reason.
var entry = regexp.MustCompile(`(?m)^### (\S+)$`)

func TestEveryReasonHasOneEntryInTroubleshooting(t *testing.T) {
	t.Parallel()
	_, reasons := declaredReasons(t)
	count := map[string]int{}
	for _, match := range entry.FindAllStringSubmatch(readPage(t, troubleshootingPage), -1) {
		count[match[1]]++
	}
	for _, reason := range reasons {
		if count[reason] != 1 {
			t.Errorf("%s has %d entries ### %s, want one: symptom, cause, what to do",
				troubleshootingPage, count[reason], reason)
		}
		delete(count, reason)
	}
	for _, other := range slices.Sorted(maps.Keys(count)) {
		t.Errorf("%s has an entry ### %s, which is no reason of %s", troubleshootingPage, other, conditionsSource)
	}
}

func TestTheReferenceListsEveryConditionAndReason(t *testing.T) {
	t.Parallel()
	types, reasons := declaredReasons(t)
	text := readPage(t, conditionsPage)
	for _, condition := range types {
		if !strings.Contains(text, "| `"+condition+"` | ") {
			t.Errorf("%s does not list the condition %s: run make docs", conditionsPage, condition)
		}
	}
	for _, reason := range reasons {
		link := "| [`" + reason + "`](../operations/troubleshooting.md#" + strings.ToLower(reason) + ") | "
		if !strings.Contains(text, link) {
			t.Errorf("%s does not list the reason %s: run make docs", conditionsPage, reason)
		}
	}
	if len(types) == 0 || len(reasons) == 0 {
		t.Errorf("%s declares %d conditions and %d reasons", conditionsSource, len(types), len(reasons))
	}
}
