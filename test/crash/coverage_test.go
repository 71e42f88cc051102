// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// coverage is what the scenarios have carried out, and which points of them were met.
type coverage struct {
	mu      sync.Mutex
	actions map[string][]string // scenarios by action
	ran     map[string]bool
	points  map[string]int // by scenario
	missed  map[string]int
}

// newCoverage checks at the end of the test, if all scenarios ran, that they carry out every action,
// and that in nearly all cases the call that was to be lost was made. A few are not: what two
// controllers do at the same time has no fixed order.
func newCoverage(t *testing.T) *coverage {
	t.Helper()
	c := &coverage{
		actions: map[string][]string{}, ran: map[string]bool{}, points: map[string]int{}, missed: map[string]int{},
	}
	wanted := findActionConstants(t)
	t.Cleanup(func() {
		if len(c.ran) != len(scenarios) {
			return // a part of them was asked for
		}
		for _, action := range c.findMissing(wanted) {
			t.Errorf("no scenario carries out %s: add one in which it happens", action)
		}
		all := 0
		for scenario, points := range c.points {
			all += points
			if c.missed[scenario]*missedAtMost > points {
				t.Errorf("%s: %d of %d points were not met", scenario, c.missed[scenario], points)
			}
		}
		t.Logf("%d scenarios, %d points, %d actions", len(c.ran), all, len(wanted))
	})
	return c
}

// missedAtMost is the share of the points of a scenario that may be missed: one in so many.
const missedAtMost = 4

// findMissing are the wanted actions that no scenario carries out.
func (c *coverage) findMissing(wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(action string) bool { return len(c.actions[action]) > 0 })
}

// addScenario records the actions of a scenario that ran undisturbed.
func (c *coverage) addScenario(t *testing.T, scenario string, actions []string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran[scenario] = true
	for _, action := range actions {
		c.actions[action] = append(c.actions[action], scenario)
	}
	t.Logf("actions: %s", strings.Join(actions, ", "))
}

// addPoint records whether the call of one case was made.
func (c *coverage) addPoint(scenario string, met bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points[scenario]++
	if !met {
		c.missed[scenario]++
	}
}

const (
	// allPoints is the environment variable that has all points run: CRASH_POINTS=all.
	allPoints = "CRASH_POINTS"
	// share of the points that are run although others leave the same state on both servers: one in so
	// many.
	share = 3
)

// isChosen reports whether a point is run by default. A process that dies before a call leaves the same
// as one that died after the last write before it: of these, a share is run that is the same every
// time.
func isChosen(scenario string, what fate, k int, aim victim) bool {
	if what != lostBefore || k == 0 || os.Getenv(allPoints) == "all" {
		return true
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(scenario + aim.String()))
	return sum.Sum32()%share == 0
}

// findActionConstants are the actions of all kinds, as the sources declare them, with their
// controllers: "codersession Mint". Sorted.
func findActionConstants(t *testing.T) []string {
	t.Helper()
	var found []string
	for controller, folder := range map[string]string{
		"codersession": "../../internal/session", "coderdeployment": "../../internal/deployment",
		"pod": "../../internal/podsession",
	} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				if spec, ok := node.(*ast.ValueSpec); ok {
					found = append(found, actionsOf(t, controller, spec)...)
				}
				return true
			})
		}
	}
	slices.Sort(found)
	if len(found) < 20 {
		t.Fatalf("found the actions %v only", found)
	}
	return found
}

// actionsOf are the actions that one line declares, without the empty one.
func actionsOf(t *testing.T, controller string, spec *ast.ValueSpec) (found []string) {
	t.Helper()
	if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Action" {
		return nil
	}
	for _, value := range spec.Values {
		literal, ok := value.(*ast.BasicLit)
		if !ok {
			t.Fatalf("an action is not a plain string: %v", spec.Names)
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		if text != "" {
			found = append(found, controller+" "+text)
		}
	}
	return found
}

// An action of the sources that no scenario carries out is found.
func TestAnActionWithoutAScenarioIsFound(t *testing.T) {
	t.Parallel()
	wanted, log := findActionConstants(t), &logText{}
	for _, action := range []string{"codersession StoreGrant", "coderdeployment RevokePredecessor"} {
		if !slices.Contains(wanted, action) {
			t.Errorf("%s is not among %v", action, wanted)
		}
	}
	for _, action := range wanted[1:] {
		controller, name, _ := strings.Cut(action, " ")
		log.newLogger().WithValues("controller", controller).V(1).Info("carrying out an action", "action", name)
	}
	c := &coverage{actions: map[string][]string{}, ran: map[string]bool{}}
	c.addScenario(t, "all but one", log.findActions(0))
	if missing := c.findMissing(wanted); !slices.Equal(missing, wanted[:1]) {
		t.Errorf("missing are %v, want %v", missing, wanted[:1])
	}
}
