// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
	"github.com/coder-session-operator/coder-session-operator/test/picture"
)

// createMixedStates creates a namespace with sessions in many states, of deployments in another namespace,
// which a third one uses, too.
func (w *pluginEnv) createMixedStates(builds, coder, other string) {
	w.createNamespaces(builds, coder, other)
	const refused = "the server does not accept the CoderDeployment: " +
		"the server rejects the client certificate: it has expired"
	w.createObjects(
		newDeployment(coder, "prod", withCertificate(afterNoon(82*24*time.Hour))),
		newDeployment(coder, "edge", withCertificate(beforeNoon(5*time.Minute)),
			deploymentSays(v1alpha1.ConditionVerified, metav1.ConditionFalse, v1alpha1.ReasonCertificateRejected,
				"the server rejects the client certificate: it has expired"),
			deploymentSays(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCertificateRejected,
				"the server rejects the client certificate: it has expired")),
		newDeployment(coder, "unused"),
		mintedSession(builds, "ci", coder, "prod"),
		mintedSession(builds, "deploy", coder, "prod"),
		mintedSession(other, "ci", coder, "prod"),
		mintedSession(builds, "ada", coder, "prod", isNot(v1alpha1.ReasonAwaitingAuthorization,
			"a person has to consent: open status.authorization.url in a browser, or run kubectl coder login")),
		mintedSession(builds, "nightly", coder, "prod", withSuppliedToken("nightly-token", "token"),
			isNot(v1alpha1.ReasonSuspended,
				`the server refuses the token in Secret "nightly-token", key "token" (API key is invalid): `+
					`write a valid one there`),
			func(s *v1alpha1.CoderSession) {
				s.Status.Suspension = &v1alpha1.Suspension{Reason: v1alpha1.ReasonUnauthorized,
					StartTime: *beforeNoon(2 * time.Hour)}
			}),
		mintedSession(builds, "stuck", coder, "prod",
			withCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolloutStuck,
				`Deployment "runner": its rollout does not finish; the old token stays valid`)),
		mintedSession(builds, "rolling", coder, "prod",
			withCondition(v1alpha1.ConditionTargetsRestarted, metav1.ConditionFalse, v1alpha1.ReasonRolling,
				"1 of 2 workloads")),
		mintedSession(builds, "idle", coder, "prod",
			isNot(v1alpha1.ReasonRetired, "its token has not been used for 720h; run kubectl coder renew, "+
				"or change the spec, to get the credential back now"),
			func(s *v1alpha1.CoderSession) {
				s.Status.Retirement = &v1alpha1.Retirement{Reason: v1alpha1.RetirementIdle,
					StartTime: *beforeNoon(100 * time.Hour), LastActiveTime: *beforeNoon(900 * time.Hour), Generation: 1}
			}),
		mintedSession(builds, "paused", coder, "prod",
			isNot(v1alpha1.ReasonPaused, "paused by spec.paused: nothing is checked, rotated or revoked; "+
				"set it to false to resume")),
		mintedSession(builds, "edge-1", coder, "edge", isNot(v1alpha1.ReasonSuspended, refused)),
		mintedSession(builds, "edge-2", coder, "edge", isNot(v1alpha1.ReasonSuspended, refused)),
		mintedSession(builds, "typo", coder, "prd", isNot(v1alpha1.ReasonAwaitingDeployment,
			`CoderDeployment "prd" does not exist in namespace "`+coder+`", or this operator does not watch it `+
				`there: create it, or recreate the session with another deploymentRef`)),
		mintedSession(builds, "fresh", coder, "prod", func(s *v1alpha1.CoderSession) { s.Status.ObservedGeneration-- }),
	)
}

func TestStatusSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	w := newPluginEnv(t)
	w.createMixedStates("web", "infra", "other")
	for name, test := range map[string]struct {
		args []string
		code int
	}{
		"status":            {[]string{"status"}, cli.ExitAttention},
		"status-wide":       {[]string{"status", "-o", "wide"}, cli.ExitAttention},
		"status-session":    {[]string{"status", "nightly"}, cli.ExitAttention},
		"status-healthy":    {[]string{"status", "ci"}, cli.ExitOK},
		"status-warned":     {[]string{"status", "stuck"}, cli.ExitAttention},
		"status-deployment": {[]string{"status", "edge"}, cli.ExitAttention},
		"status-owner":      {[]string{"status", "-n", "infra"}, cli.ExitAttention},
		"status-unused":     {[]string{"status", "-n", "infra", "unused"}, cli.ExitOK},
		"status-name":       {[]string{"status", "-o", "name"}, cli.ExitAttention},
		"status-empty":      {[]string{"status", "-n", "default"}, cli.ExitOK},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.coder(append([]string{"-n", "web"}, test.args...)...)
			r.waitForExit(test.code)
			compareGolden(t, name, r.out.String())
			if r.err.String() != "" {
				t.Errorf("it says %q", r.err)
			}
		})
	}
}

// The README shows the real output, as it looks in a terminal. make pictures draws it.
func TestStatusIsWhatTheREADMEShows(t *testing.T) {
	w := newPluginEnv(t)
	w.createNamespaces("coder", "builds")
	w.createObjects(newDeployment("coder", "prod", withCertificate(afterNoon(82*24*time.Hour))),
		mintedSession("builds", "ada", "coder", "prod", isNot(v1alpha1.ReasonAwaitingAuthorization,
			"a person has to consent: open status.authorization.url in a browser, or run kubectl coder login")),
		mintedSession("builds", "nightly", "coder", "prod", withSuppliedToken("nightly-token", "token"),
			isNot(v1alpha1.ReasonSuspended,
				`the server refuses the token in Secret "nightly-token", key "token" (API key is invalid): `+
					`write a valid one there`),
			func(s *v1alpha1.CoderSession) {
				s.Status.Suspension = &v1alpha1.Suspension{Reason: v1alpha1.ReasonUnauthorized,
					StartTime: *beforeNoon(3 * time.Hour)}
			}),
		mintedSession("builds", "old", "coder", "prod", isNot(v1alpha1.ReasonRetired, "it was not used")))
	for i := range 12 {
		w.createObjects(mintedSession("builds", fmt.Sprintf("ci-%d", i), "coder", "prod"))
	}
	r := w.coderOn(func(e *cli.Environment) { e.Colours = true }, "-n", "builds", "status")
	r.waitForExit(cli.ExitAttention)
	drawing, err := picture.Terminal("kubectl coder status -n builds", r.out.String())
	if err != nil {
		t.Fatal(err)
	}
	picture.CompareForTest(t, "../../docs/images/status.svg", drawing, *update)
}

// The page about the plugin shows a fleet, see TestStatusOfAFleetIsShortAndTakesTwoRequests.
func TestThePluginsPageShowsAFleet(t *testing.T) {
	t.Parallel()
	const path = "docs/guides/kubectl-plugin.md"
	page, pageErr := os.ReadFile("../../" + path)
	fleet, fleetErr := os.ReadFile("testdata/status-fleet.golden")
	if pageErr != nil || fleetErr != nil {
		t.Fatal(pageErr, fleetErr)
	}
	if !strings.Contains(string(page), "$ kubectl coder status -A\n"+string(fleet)+"```\n") {
		t.Errorf("%s does not have\n%s", path, fleet)
	}
}

func TestStatusHasColoursOnlyWhereTheyAreWanted(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"), mintedSession(w.namespace, "ci", "", "prod"),
		mintedSession(w.namespace, "web", "", "prod", isNot("Suspended", "red \x1b[31m text")))
	plain := w.coder("status")
	plain.waitForExit(cli.ExitAttention)
	if strings.Contains(plain.out.String(), "\x1b") {
		t.Error("the output has colours although they are off")
	}
	coloured := w.coderOn(func(e *cli.Environment) { e.Colours = true }, "status")
	coloured.waitForExit(cli.ExitAttention)
	for _, text := range []string{"\x1b[31mSuspended, for 5m\x1b[0m", "\x1b[32m1 session Ready\x1b[0m",
		"red  [31m text"} {
		if !strings.Contains(coloured.out.String(), text) {
			t.Errorf("there is no %q", text)
		}
	}
	bare := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(coloured.out.String(), "")
	if diff := cmp.Diff(plain.out.String(), bare); diff != "" {
		t.Errorf("without the colours (-plain +coloured):\n%s", diff)
	}
}

func TestStatusPrintsTheObjects(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"), mintedSession(w.namespace, "ci", "", "prod"))
	r := w.coder("status", "-o", "json")
	r.waitForExit(cli.ExitOK)
	var list struct {
		APIVersion, Kind string
		Items            []struct {
			APIVersion, Kind string
			Metadata         metav1.ObjectMeta
		}
	}
	if err := json.Unmarshal([]byte(r.out.String()), &list); err != nil {
		t.Fatal(err)
	}
	got := []string{list.APIVersion, list.Kind}
	for _, item := range list.Items {
		got = append(got, item.APIVersion, item.Kind, item.Metadata.Name)
		if item.Metadata.ManagedFields != nil {
			t.Error("there are managed fields")
		}
	}
	want := []string{"v1", "List", "credentials.coder.com/v1alpha1", "CoderDeployment", "prod",
		"credentials.coder.com/v1alpha1", "CoderSession", "ci"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	r = w.coder("status", "-o", "yaml")
	r.waitForExit(cli.ExitOK)
	if !strings.Contains(r.out.String(), "kind: CoderSession") {
		t.Error("the YAML has no session")
	}
}

// B92
func TestStatusSaysWhatItCouldNotLookAt(t *testing.T) {
	w := newPluginEnv(t)
	mine, coder := "team-a", "platform"
	w.createNamespaces(mine, coder)
	prod := newDeployment(coder, "prod")
	prod.Status.Sessions = &v1alpha1.SessionCounts{Total: 4, Ready: 4}
	w.createObjects(prod, mintedSession(mine, "ci", coder, "prod"),
		mintedSession(coder, "theirs", coder, "prod"), newDeployment(mine, "own"))
	list := func(resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: resources,
			Verbs: []string{"list"}}
	}
	for name, test := range map[string]struct {
		mine, theirs []string
		args         []string
		code         int
	}{
		"nothing":  {code: cli.ExitIncomplete},
		"own-only": {mine: []string{"codersessions", "coderdeployments"}, code: cli.ExitOK},
		"with-platform": {mine: []string{"codersessions", "coderdeployments"}, theirs: []string{"coderdeployments"},
			code: cli.ExitOK},
		"sessions-only": {mine: []string{"codersessions"}, code: cli.ExitIncomplete},
		"everywhere": {mine: []string{"codersessions", "coderdeployments"}, args: []string{"-A"},
			code: cli.ExitIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			user, err := w.cluster.User("viewer-" + name)
			if err != nil {
				t.Fatal(err)
			}
			if test.mine != nil {
				w.allowUser("viewer-"+name, mine, list(test.mine...))
			}
			if test.theirs != nil {
				w.allowUser("viewer-"+name, coder, list(test.theirs...))
			}
			said := func() string {
				r := w.coderWith(user.Kubeconfig, append([]string{"-n", mine, "status"}, test.args...)...)
				code := <-r.code
				if code != test.code {
					return ""
				}
				return r.out.String() + "---\n" + r.err.String()
			}
			// It takes a moment until the API server knows the role.
			want := readGolden(t, "status-seen-by-"+name)
			deadline := time.Now().Add(20 * time.Second)
			got := said()
			for got != want && !*update && time.Now().Before(deadline) {
				got = said()
			}
			compareGolden(t, "status-seen-by-"+name, got)
		})
	}
}

func TestStatusRefusesWhatMakesNoSense(t *testing.T) {
	w := newPluginEnv(t)
	w.createObjects(newDeployment(w.namespace, "prod"))
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"format":    {[]string{"status", "-o", "xml"}, "-o xml: write wide, json, yaml or name"},
		"watch":     {[]string{"status", "-w", "-o", "json"}, "--watch does not go with -o json"},
		"two names": {[]string{"status", "a", "b"}, "name one deployment or session"},
		"flag":      {[]string{"status", "--nope"}, "unknown flag: --nope"},
		"no such":   {[]string{"status", "other"}, `neither a deployment nor a session has the name "other"`},
		"context":   {[]string{"status", "--context", "nope"}, `context "nope" does not exist`},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.coder(test.args...)
			r.waitForExit(cli.ExitIncomplete)
			r.waitForText(r.err, test.says)
		})
	}
	l := newLink(w)
	l.refusal.Store(404)
	r := w.coder("status", "--server", l.URL)
	r.waitForExit(cli.ExitIncomplete)
	r.waitForText(r.err, "install the operator's CRDs")
}

// A misspelt namespace is not one in which all is well.
func TestStatusOfANamespaceThatDoesNotExist(t *testing.T) {
	w := newPluginEnv(t)
	for _, args := range [][]string{{"status"}, {"status", "-o", "json"}, {"status", "ci"}} {
		r := w.coder(append(args, "-n", w.namespace+"x")...)
		r.waitForExit(cli.ExitIncomplete)
		r.waitForText(r.err, `namespace "`+w.namespace+`x" does not exist: name another one with -n`)
	}
	r := w.coder("status")
	r.waitForExit(cli.ExitOK)
	r.waitForText(r.out, "No deployments and no sessions.")
}
