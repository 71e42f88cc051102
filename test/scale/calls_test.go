// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// operatorUser is whom the API server takes the operator for.
const operatorUser = "coder-session-operator"

// auditPolicy makes the API server log what the operator asks, each request once,
// and nothing else: a watch when it begins, since it ends late or never, all others
// with their result.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  users: [` + operatorUser + `]
  verbs: [watch]
  omitStages: [ResponseStarted, ResponseComplete]
- level: Metadata
  users: [` + operatorUser + `]
  omitStages: [RequestReceived, ResponseStarted]
- level: None
`

// maxAuditMB is how large the audit log may become, in megabytes: a log that is begun again would lose calls. With
// 10,000 sessions it has some 200.
const maxAuditMB = 10000

// apiCalls counts the operator's calls as the API server's audit log has them.
type apiCalls struct {
	path   string
	offset int64
	counts map[string]int
}

// newAPICalls returns the flags that an API server has to be started with.
func newAPICalls(b *testing.B, folder string) (*apiCalls, map[string]string) {
	b.Helper()
	policy := filepath.Join(folder, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		b.Fatal(err)
	}
	c := &apiCalls{path: filepath.Join(folder, "audit.log"), counts: map[string]int{}}
	return c, map[string]string{
		"audit-policy-file": policy, "audit-log-path": c.path, "audit-log-maxsize": strconv.Itoa(maxAuditMB),
	}
}

// auditEvent is what is read of an audit.k8s.io/v1 Event.
type auditEvent struct {
	Verb, RequestURI string
	ObjectRef        *struct{ Resource, Subresource string }

	ResponseStatus struct{ Code int }
}

// callName names an event, such as "patch codersessions/status", with the status code
// where it failed. A dry run is a "try-create". Discovery, which is of no resource, is "get discovery".
func (e *auditEvent) callName() string {
	if e.ObjectRef == nil {
		return e.Verb + " discovery"
	}
	name := e.Verb + " " + e.ObjectRef.Resource
	if strings.Contains(e.RequestURI, "dryRun=All") {
		name = "try-" + name
	}
	if e.ObjectRef.Subresource != "" {
		name += "/" + e.ObjectRef.Subresource
	}
	if e.ResponseStatus.Code >= http.StatusBadRequest {
		name += fmt.Sprintf(" %d", e.ResponseStatus.Code)
	}
	return name
}

// countCalls returns the calls so far, by verb and resource.
func (c *apiCalls) countCalls(b testing.TB) map[string]int {
	b.Helper()
	file, err := os.Open(c.path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(c.offset, io.SeekStart); err != nil {
		b.Fatal(err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		b.Fatal(err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // the last line may still be being written
	c.offset += int64(len(text))
	for line := range bytes.Lines(text) {
		var event auditEvent
		if err := json.Unmarshal(line, &event); err != nil {
			b.Fatal(err)
		}
		c.counts[event.callName()]++
	}
	return maps.Clone(c.counts)
}

// callsSince is what was counted after before.
func callsSince(before, after map[string]int) map[string]int {
	more := map[string]int{}
	for call, n := range after {
		if n > before[call] {
			more[call] = n - before[call]
		}
	}
	return more
}

// filterCalls keeps the calls that a test holds for.
func filterCalls(counts map[string]int, keep func(call string) bool) map[string]int {
	kept := maps.Clone(counts)
	maps.DeleteFunc(kept, func(call string, _ int) bool { return !keep(call) })
	return kept
}

func sumOf(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

func sortedCalls(counts map[string]int) []string { return slices.Sorted(maps.Keys(counts)) }

// ofLease: leader election, which costs the same whatever there is to do.
func ofLease(call string) bool { return strings.Contains(call, " leases") }

func notOfLease(call string) bool { return !ofLease(call) }

func isWrite(call string) bool {
	verb, _, _ := strings.Cut(call, " ")
	return slices.Contains([]string{"create", "update", "patch", "delete"}, verb) && notOfLease(call)
}

// isOfSession: of sessions, or of Secrets, which are theirs unless a deployment renews its own token.
func isOfSession(call string) bool {
	return strings.Contains(call, " codersessions") || strings.Contains(call, " secrets")
}
