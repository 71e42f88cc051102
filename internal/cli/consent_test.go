// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

// B63
func TestANewURLAfterOneThatExpiredIsNotOpened(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"1", 0))
	r := w.coder("login", "ci", "--timeout", "1h")
	r.waitForText(r.opened, consentURL+"1\n")
	r.clock.Step(10 * time.Minute)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"2", 10*time.Minute))
	r.waitForText(r.out, consentURL+"2\n")
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff(consentURL+"1\n", r.opened.String()); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	r.waitForText(r.err, "The URL above has expired. This is a new one:\nOpen this URL in a browser. Consent within 10m,")
}

// B62. A server that refuses every request without asking a person does not fill the browser with
// tabs.
func TestANewURLAfterAnAttemptThatFailedIsOpenedAgainButNotForEver(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"1", 0))
	r := w.coder("login", "ci")
	var want, opened string
	for i := 1; i <= 5; i++ {
		url := consentURL + strconv.Itoa(i) + "\n"
		want += url
		if i <= 3 {
			opened += url
		}
		r.waitForText(r.out, url)
		w.reportStatus("ci", notReady(v1alpha1.ReasonAwaitingAuthorization,
			"the last attempt failed (AccessDenied); a person has to consent"),
			asksConsent(consentURL+strconv.Itoa(i+1), time.Duration(i)*time.Second))
	}
	r.waitForText(r.out, consentURL+"6\n")
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff(want+consentURL+"6\n", r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	lines := strings.SplitAfter(r.opened.String(), "\n") // in any order: each is opened by its own goroutine
	if len(lines) != 4 {
		t.Errorf("opened %d times, want 3:\n%s", len(lines)-1, r.opened)
	}
	for _, line := range lines {
		if !strings.Contains(opened, line) {
			t.Errorf("opened %q", line)
		}
	}
	r.waitForText(r.err, "is AwaitingAuthorization: the last attempt failed (AccessDenied); a person has to "+
		"consent\nThe URL above is used up. This is a new one:\nOpening this URL")
}

func TestAURLThatHasExpiredIsNotShown(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"old", -12*time.Minute))
	r := w.coder("login", "ci")
	r.waitForText(r.err, "Its URL expired 2m ago, by this machine's clock.")
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"new", 0))
	r.waitForText(r.opened, consentURL+"new\n")
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
	if strings.Contains(r.out.String(), "old") {
		t.Error("the old URL was printed")
	}
}

func TestNoBrowserPrintsTheURLOnly(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"1", 0))
	r := w.coder("login", "ci", "--no-browser")
	r.waitForText(r.out, consentURL+"1\n")
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
	if r.opened.String() != "" {
		t.Error("a browser was opened")
	}
	r.waitForText(r.err, "Open this URL in a browser.")
}

func TestTheLoopbackURLNeedsAPortForward(t *testing.T) {
	const url = "https://coder.example.com/oauth2/authorize?" +
		"redirect_uri=http%3A%2F%2Flocalhost%3A17965%2Foauth%2Fcallback&state="
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(url+"1", 0))
	r := w.coder("login", "ci")
	r.waitForText(r.err, "sends the browser to http://localhost:17965 on this machine. Unless something "+
		"there leads to the operator, stop this with Ctrl-C and run it with --port-forward.")
	w.reportStatus("ci", awaitingConsent(), asksConsent(url+"2", time.Second))
	r.waitForText(r.out, "state=2\n")
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
	if n := strings.Count(r.err.String(), "--port-forward"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

// A terminal shows everything in a status as text.
func TestAMessageDoesNotSteerTheTerminal(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("ci", nil)
	w.reportStatus("ci", notReady(v1alpha1.ReasonPaused, "red \x1b[31m\nerror: \u202egpj"))
	r := w.coder("login", "ci")
	r.waitForExit(cli.ExitBlocked)
	if got := r.err.String(); strings.ContainsAny(got, "\x1b\u202e") || strings.Count(got, "\n") != 1 {
		t.Errorf("it says %q", got)
	}
}

func TestTheNamesOfSessionsThatAPersonConsentsToAreCompleted(t *testing.T) {
	w := newPluginEnv(t)
	w.createSession("alpha", nil)
	w.createSession("beta", nil)
	w.createSession("minted", &v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "bot"}})
	w.reportStatus("alpha", awaitingConsent())
	w.reportStatus("beta", withReady)
	// The arguments of the hidden command are the command line to complete, flags included.
	r := w.coderWith(w.cluster.Kubeconfig, "__complete", "login", "--kubeconfig", w.cluster.Kubeconfig, "-n",
		w.namespace, "")
	r.waitForExit(cli.ExitOK)
	if diff := cmp.Diff("alpha\tAwaitingAuthorization\nbeta\tReady\n:4\n", r.out.String()); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
}

func TestTheHelpHasCodesExamplesAndNoListOfAllFlags(t *testing.T) {
	w := newPluginEnv(t)
	r := w.coder("login", "--help")
	r.waitForExit(cli.ExitOK)
	for _, text := range []string{"Exit codes:", "  130  ", "kubectl coder login ci -n builds --port-forward",
		"kubectl coder --help lists them", "--no-browser"} {
		if !strings.Contains(r.out.String(), text) {
			t.Errorf("the help has no %q", text)
		}
	}
	if strings.Contains(r.out.String(), "--certificate-authority") {
		t.Error("the help lists the flags of the connection")
	}
	r = w.coder("--help")
	r.waitForExit(cli.ExitOK)
	if !strings.Contains(r.out.String(), "--certificate-authority") {
		t.Error("the help of the plugin does not list the flags of the connection")
	}
	r = w.coder("--version")
	r.waitForExit(cli.ExitOK)
	r.waitForText(r.out, "kubectl coder version v0.0.0-test\n")
}
