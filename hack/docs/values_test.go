// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestValuesAreATable(t *testing.T) {
	t.Parallel()
	got, err := valuesTable(`# Values of the chart.

# How many
# pods <there> are.
replicas: 2

image:
  # Without a | tag.
  repository: operator
  # Such as Always.
  pull:
    policy: "" # with a comment behind it

# Who may do what.
rbac:
  # Kinds.
  kinds: [a, b]

spread:
- maxSkew: 1
  topologyKey: zone
`)
	if err == nil || got != "" || err.Error() != "spread has no comment before it: say what it is" {
		t.Fatalf("got %q, %v", got, err)
	}
	got, err = valuesTable(`# Values of the chart.

# How many
# pods <there> are.
replicas: 2

image:
  # Without a | tag.
  repository: operator
  # Such as Always.
  pull:
    policy: "" # with a comment behind it

# Who may do what.
rbac:
  # Kinds.
  kinds: [a, b]

# Over nodes.
spread:
- maxSkew: 1
  topologyKey: zone
`)
	want := strings.Join([]string{
		"| value | default | what it is |", "|---|---|---|",
		"| `replicas` | `2` | How many pods &lt;there> are. |",
		"| `image.repository` | `\"operator\"` | Without a \\| tag. |",
		"| `image.pull` | `{\"policy\":\"\"}` | Such as Always. |",
		"| `rbac` |  | Who may do what. |",
		"| `rbac.kinds` | `[\"a\",\"b\"]` | Kinds. |",
		"| `spread` | `[{\"maxSkew\":1,\"topologyKey\":\"zone\"}]` | Over nodes. |", "",
	}, "\n")
	if err != nil || got != want {
		t.Errorf("got %v:\n%s\nwant:\n%s", err, got, want)
	}
}

func TestALineThatIsNoKeyIsAnError(t *testing.T) {
	t.Parallel()
	if got, err := valuesTable("# One.\n  deeper: 1\n"); err == nil {
		t.Errorf("got %q", got)
	}
}
