// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/cli"
)

func gracePeriod(seconds int64) client.DeleteOption { return client.GracePeriodSeconds(seconds) }

// startCallbackServer is the operator's callback server: its answer quotes the request.
func startCallbackServer(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.URL)
	}))
	t.Cleanup(server.Close)
	return server
}

// printedRedirect is the redirect URI of the URL that was printed last.
func (r *run) printedRedirect() *url.URL {
	r.t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.out.String(), "\n"), "\n")
	u, err := url.Parse(lines[len(lines)-1])
	if err != nil {
		r.t.Fatal(err)
	}
	redirect, err := url.Parse(u.Query().Get("redirect_uri"))
	if err != nil {
		r.t.Fatal(err)
	}
	return redirect
}

// forwardedURL is an authorization URL that returns to a port of this machine.
func forwardedURL(port int) string {
	const public = "https%3A%2F%2Fcallback.example.com%2Foauth%2Fcallback"
	return strings.Replace(consentURL, public, url.QueryEscape(fmt.Sprintf("http://localhost:%d/oauth/callback", port)), 1)
}

// loginPort is the port that the plugin has the operator make a URL for; zero: none.
func (w *pluginEnv) loginPort(name string) int {
	s := &v1alpha1.CoderSession{}
	if err := w.cluster.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, s); err != nil {
		return 0
	}
	return s.LoginPort()
}

// answerLogin plays the operator: it waits for the forwarded port and makes a URL that returns there.
func (r *run) answerLogin(state string, made time.Duration) {
	r.t.Helper()
	port := 0
	r.waitUntil("the operator is asked for a URL", func() bool {
		port = r.loginPort("ci")
		return port != 0
	})
	r.reportStatus("ci", awaitingConsent(), asksConsent(forwardedURL(port)+state, made))
}

// comesBack requests the redirect URI as a browser does, and returns the answer.
func (r *run) comesBack() (string, error) {
	u := r.printedRedirect()
	u.RawQuery = "code=x&state=y"
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body := make([]byte, 1000)
	n, _ := response.Body.Read(body)
	return string(body[:n]), nil
}

// usual is the registered port, which all runs prefer.
var usual sync.Mutex

// reserveUsualPort prevents other tests from using the registered port until this one has ended.
func (w *pluginEnv) reserveUsualPort() *pluginEnv {
	usual.Lock()
	w.t.Cleanup(usual.Unlock)
	return w
}

func (w *pluginEnv) loginForwarding(args ...string) *run {
	return w.coder(append([]string{"login", "ci", "--port-forward", "--timeout", "0", "--operator-namespace",
		w.namespace}, args...)...)
}

// B72. A port-forward leads through the API server to a ready pod, from any port of this machine.
func TestAPortForwardLeadsToTheOperator(t *testing.T) {
	w := newPluginEnv(t).reserveUsualPort()
	kubelet, node := w.createNode(startCallbackServer(t))
	w.createPod("a-other", node, func(p *corev1.Pod) { p.Labels = nil })
	w.createPod("a-starting", node, func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })
	w.createPod("a-stopping", node, func(p *corev1.Pod) { p.Finalizers = []string{"example.com/stays"} })
	w.deletePod("a-stopping")
	w.createPod("b-operator", node)
	w.createPod("c-operator", node)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"1", 0))
	r := w.loginForwarding()
	r.answerLogin("1", 0)
	r.waitForText(r.out, "state=1\n")
	redirect := r.printedRedirect()
	if redirect.Scheme != "http" || redirect.Hostname() != "localhost" || redirect.Path != "/oauth/callback" {
		t.Errorf("the browser is sent to %s", redirect)
	}
	if taken := strings.Contains(r.err.String(), "is taken"); taken == (redirect.Port() == "17965") {
		t.Errorf("port %s, and that 17965 is taken is said: %t", redirect.Port(), taken)
	}
	r.waitForText(r.opened, "state=1\n")
	if r.opened.String() != r.out.String() {
		t.Error("what is opened is not what is printed")
	}
	got, err := r.comesBack()
	if want := "GET " + redirect.Host + " /oauth/callback?code=x&state=y"; err != nil || got != want {
		t.Errorf("the callback saw %q (%v), want %q", got, err, want)
	}
	if paths, ports := kubelet.requestedForwards(); !strings.HasSuffix(paths, "/portForward/"+w.namespace+"/b-operator") ||
		ports != "8082" {
		t.Errorf("asked for %s, port %s", paths, ports)
	}
	// A second URL uses the same port.
	r.answerLogin("2", time.Second)
	r.waitForText(r.out, "state=2\n")
	if second := r.printedRedirect(); *second != *redirect {
		t.Errorf("the second URL sends the browser to %s", second)
	}
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
	if port := w.loginPort("ci"); port != 0 {
		t.Errorf("after the login, the session still asks for port %d", port)
	}
	r.waitUntil("the port is given back", func() bool {
		_, err := r.comesBack()
		return err != nil
	})
	if want := fmt.Sprintf("Forwarding port %s of this machine to port 8082 of pod %s/b-operator.", redirect.Port(),
		w.namespace); !strings.Contains(r.err.String(), want) {
		t.Errorf("it does not say %q", want)
	}
}

func TestAnotherPortIsForwardedWhereTheUsualIsTaken(t *testing.T) {
	w := newPluginEnv(t).reserveUsualPort()
	_, node := w.createNode(startCallbackServer(t))
	w.createPod("operator", node)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL, 0))
	var config net.ListenConfig
	if listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:17965"); err == nil {
		defer listener.Close()
	} // otherwise another process has it, which also makes it taken

	r := w.loginForwarding("--callback-port", "9999")
	r.answerLogin("1", 0)
	r.waitForText(r.out, consentURL[:20])
	r.waitForText(r.err, "Port 17965 of this machine is taken; another one is forwarded.")
	if _, err := r.comesBack(); err != nil || r.printedRedirect().Port() == "17965" {
		t.Errorf("port %s: %v", r.printedRedirect().Port(), err)
	}
	r.waitForText(r.err, "to port 9999 of pod")
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
}

// The URL that a person has keeps working.
func TestALostPortForwardIsRestartedOnTheSamePort(t *testing.T) {
	w := newPluginEnv(t).reserveUsualPort()
	kubelet, node := w.createNode(startCallbackServer(t))
	w.createPod("old", node)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL, 24*time.Hour))
	r := w.loginForwarding()
	r.answerLogin("1", 24*time.Hour)
	r.waitForText(r.out, consentURL[:20])
	w.deletePod("old")
	kubelet.dropForwards()
	r.waitForText(r.err, "The port-forward has ended and is being restarted: lost connection to pod")
	r.waitUntil("it says why", func() bool {
		r.clock.Step(2 * time.Second)
		return strings.Contains(r.err.String(), "The port-forward cannot be started yet; trying again: namespace")
	})
	w.createPod("new", node)
	var last error
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the browser last got: %v", last)
		}
	})
	r.waitUntil("it is forwarded", func() bool {
		r.clock.Step(2 * time.Second)
		_, last = r.comesBack()
		return last == nil
	})
	if paths, _ := kubelet.requestedForwards(); !strings.HasSuffix(paths, "/new") {
		t.Errorf("asked for %s", paths)
	}
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
}

func TestAPortForwardThatCannotBeSaysWhy(t *testing.T) {
	for name, s := range map[string]struct {
		pods func(w *pluginEnv, node string)
		says string
	}{
		"no pod": {func(*pluginEnv, string) {},
			"has no ready pod with the label app.kubernetes.io/name=coder-session-operator: " +
				"name the operator's namespace with --operator-namespace"},
		"not ready": {func(w *pluginEnv, node string) {
			w.createPod("a", node, func(p *corev1.Pod) { p.Status.Conditions = nil })
		}, "has no ready pod"},
		"no port": {
			func(w *pluginEnv, node string) {
				w.createPod("a", node, func(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil })
			}, `has no container port with the name "callback": name the number of the port with --callback-port`,
		},
		"no node": {func(w *pluginEnv, _ string) { w.createPod("a", "gone") }, "cannot forward a port to pod"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPluginEnv(t).reserveUsualPort()
			_, node := w.createNode(startCallbackServer(t))
			s.pods(w, node)
			w.createSession("ci", nil)
			w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL, 0))
			r := w.loginForwarding()
			r.waitForExit(cli.ExitUnreachable)
			if !strings.Contains(r.err.String(), s.says) {
				t.Errorf("it does not say %q", s.says)
			}
			if r.out.String() != "" || r.opened.String() != "" {
				t.Error("a URL was shown that leads nowhere")
			}
		})
	}
}

// A session that is ready needs no connection to the operator.
func TestNoPortIsForwardedForNothing(t *testing.T) {
	w := newPluginEnv(t).reserveUsualPort()
	w.createSession("ci", nil)
	w.reportStatus("ci", withReady)
	r := w.loginForwarding()
	r.waitForExit(cli.ExitOK)
}

func TestErrorsBehindThePortAreReported(t *testing.T) {
	w := newPluginEnv(t).reserveUsualPort()
	server := startCallbackServer(t)
	_, node := w.createNode(server)
	server.Close()
	w.createPod("operator", node)
	w.createSession("ci", nil)
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL, 0))
	r := w.loginForwarding()
	r.answerLogin("1", 0)
	r.waitForText(r.out, consentURL[:20])
	if _, err := r.comesBack(); err == nil {
		t.Error("a port is forwarded")
	}
	r.waitUntil("it is said", func() bool {
		return regexp.MustCompile(`Port-forward: An error occurred forwarding: .*connection refused`).MatchString(
			r.err.String())
	})
	w.reportStatus("ci", withReady)
	r.waitForExit(cli.ExitOK)
}

// SPDY is used if a proxy does not support WebSocket, as kubectl does.
func TestAPortForwardFallsBackToSPDY(t *testing.T) {
	w := newPluginEnv(t).reserveUsualPort()
	kubelet := &kubelet{t: t, to: strings.TrimPrefix(startCallbackServer(t).URL, "http://")}
	session := v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ci"}}
	session.Spec.Auth.OAuth = &v1alpha1.OAuthAuth{}
	awaitingConsent()(&session)
	asksConsent(consentURL, 0)(&session)
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "operator"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Ports: []corev1.ContainerPort{{Name: "callback", ContainerPort: 8082}}}}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	answer := func(w http.ResponseWriter, object any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object)
	}
	var sockets atomic.Int32
	// A minimal API server behind a proxy that does not support WebSocket.
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
			sockets.Add(1)
			rw.WriteHeader(http.StatusForbidden)
		case strings.HasSuffix(r.URL.Path, "/portforward"):
			kubelet.ServeHTTP(rw, r)
		case strings.HasSuffix(r.URL.Path, "/pods"):
			answer(rw, corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"},
				Items: []corev1.Pod{pod}})
		case r.Method == http.MethodPatch:
			rw.WriteHeader(http.StatusForbidden)
			answer(rw, metav1.Status{Status: "Failure", Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden})
		case r.URL.Query().Get("watch") != "":
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			answer(rw, v1alpha1.CoderSessionList{
				TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CoderSessionList"},
				Items:    []v1alpha1.CoderSession{session},
			})
		}
	}))
	t.Cleanup(func() {
		kubelet.dropForwards()
		server.CloseClientConnections()
		server.Close()
	})
	r := w.loginForwarding("--server", server.URL)
	r.waitForText(r.out, consentURL[:20])
	if _, err := r.comesBack(); err != nil {
		t.Error(err)
	}
	if paths, ports := kubelet.requestedForwards(); !strings.HasSuffix(paths, "/pods/operator/portforward") ||
		ports != "8082" ||
		sockets.Load() == 0 {
		t.Errorf("asked for %s, port %s, after %d WebSockets", paths, ports, sockets.Load())
	}
	r.waitForText(r.err, "Coder servers before 2.38 will refuse the URL") // it may not patch the session
	r.interrupt()
	r.waitForExit(cli.ExitInterrupted)
}

// B124. What a login that was cut off has left is removed by the next one, and by Ctrl-C.
func TestALoginThatWasCutOffLeavesNothing(t *testing.T) {
	w := newPluginEnv(t).reserveUsualPort()
	_, node := w.createNode(startCallbackServer(t))
	w.createPod("operator", node)
	w.createSession("ci", nil)
	w.changeSession("ci", false, func(s *v1alpha1.CoderSession) {
		s.Annotations = map[string]string{v1alpha1.AnnotationLoginPort: "40001"}
	})
	w.reportStatus("ci", awaitingConsent(), asksConsent(forwardedURL(40001)+"1", 0))
	r := w.coder("login", "ci", "--timeout", "0")
	r.waitForText(r.err, "Waiting for a new URL")
	r.waitUntil("it is removed", func() bool { return w.loginPort("ci") == 0 })
	w.reportStatus("ci", awaitingConsent(), asksConsent(consentURL+"2", time.Second))
	r.waitForText(r.out, "state=2\n")
	if strings.Contains(r.out.String(), "state=1") {
		t.Error("the URL for the former login was printed")
	}
	r.interrupt()
	r.waitForExit(cli.ExitInterrupted)

	r = w.loginForwarding()
	r.answerLogin("3", 2*time.Second)
	r.waitForText(r.out, "state=3\n")
	r.interrupt()
	r.waitForExit(cli.ExitInterrupted)
	if port := w.loginPort("ci"); port != 0 {
		t.Errorf("after Ctrl-C, the session still asks for port %d", port)
	}
}
