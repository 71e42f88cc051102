// SPDX-License-Identifier: Apache-2.0

package session_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/stepped"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// varying is what differs between any two runs: keyed digests, ids and times.
var varying = regexp.MustCompile(`hmac-sha256:[0-9a-f]{32}|"fingerprint":"[0-9a-f]{16}"` +
	`|created_timestamp:\{[^}]*\}|1\.[0-9]+e\+09` +
	`|[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[0-9:.]+Z|127\.0\.0\.1:\d+`)

// seenFrom is everything that can be seen outside of the Secret of a session with a template, on a
// deployment with a header of this value: status, events, logs, metrics, requests that change something, and
// requests to the Coder server.
func seenFrom(t *testing.T, template, header string) string {
	t.Helper()
	w := stepped.New(t)
	editDeployment(w, func(d *v1alpha1.CoderDeployment) {
		d.Spec.Headers = []v1alpha1.Header{{Name: "X-Edge", Value: &header}}
	})
	w.Clock.Step(time.Minute)
	w.PassDeployment()
	w.Coder.ResetLog()
	w.Requests()
	s := w.NewMintedSession("ci", testenv.MachineUser)
	s.Spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"made": template}}
	w.Put(s)
	var seen strings.Builder
	logger := funcr.New(func(prefix, args string) { fmt.Fprintln(&seen, prefix, args) }, funcr.Options{Verbosity: 10})
	for range 10 {
		w.PassDeployment()
		result, err := w.Controllers.Sessions.Reconcile(log.IntoContext(t.Context(), logger),
			ctrl.Request{NamespacedName: w.Key("ci")})
		fmt.Fprintln(&seen, result.RequeueAfter, err)
		w.Clock.Step(time.Minute)
	}
	status, err := json.Marshal(w.Session("ci").Status)
	w.Must(err)
	fmt.Fprintln(&seen, string(status), w.Requests(), len(w.Coder.Requests()))
	for len(w.Events.Events) > 0 {
		fmt.Fprintln(&seen, <-w.Events.Events)
	}
	families, err := w.Registry.Gather()
	w.Must(err)
	lines := map[string]bool{}
	for _, family := range families {
		if !strings.HasSuffix(family.GetName(), "_duration_seconds") { // of real requests
			lines[strings.Join(strings.Fields(family.String()), " ")] = true // its spacing is random
		}
	}
	fmt.Fprintln(&seen, slices.Sorted(maps.Keys(lines)))
	text := seen.String()
	if token := w.Session("ci").Status.Token; token != nil {
		text = strings.ReplaceAll(text, token.ID, "-")
	}
	return varying.ReplaceAllString(text, "-")
}

// B133: equal outcomes for different values, byte by byte, and in the number of requests.
func TestTemplatesTellNothingOutsideOfTheSecret(t *testing.T) {
	t.Parallel()
	for name, template := range map[string]string{
		"whether it fails": `{{if eq (slice (index .Headers "X-Edge") 0 1) "a"}}{{.Nope}}{{end}}`,
		"where it fails":   "{{if eq (index .Headers \"X-Edge\") \"a\"}}\n{{.Nope}}{{else}}\n\n{{.Nope}}{{end}}",
		"with the token": `{{if ne (slice .Token 0 10) "0000000000"}}` +
			`{{if eq (index .Headers "X-Edge") "a"}}{{.Nope}}{{end}}{{end}}`,
		"how long it is": `{{if eq (index .Headers "X-Edge") "a"}}{{range 3000}}` + strings.Repeat("0", 100) +
			`{{end}}{{end}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := seenFrom(t, template, "a"), seenFrom(t, template, "b")
			if a != b {
				t.Error(cmp.Diff(strings.Split(a, "\n"), strings.Split(b, "\n")))
			}
			if !strings.Contains(a, "Ready") {
				t.Errorf("nothing is seen:\n%s", a)
			}
		})
	}
}
