// SPDX-License-Identifier: Apache-2.0

package edge_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// bound is a session that is bound to a workspace.
const bound = "bound"

// testStreams watches a workspace through nginx.
func testStreams(t *testing.T) {
	t.Parallel()
	const upgrade = "        proxy_set_header   Upgrade           $http_upgrade;\n" +
		"        proxy_set_header   Connection        $connection_upgrade;\n"
	for name, c := range map[string]struct {
		at       []edit
		protocol coderd.StreamProtocol
		test     func(*edgeEnv)
	}{
		"by WebSocket": {protocol: coderd.StreamWebSocket},
		// B83
		"by server-sent events without the headers": {[]edit{{upgrade, ""}}, coderd.StreamEvents, nil},
		"by server-sent events with HTTP 1.0 to Coder": {
			[]edit{{upgrade, ""}, {"proxy_http_version 1.1;", ""}}, coderd.StreamEvents, nil},
		"by server-sent events where WebSockets are refused": {
			[]edit{{"    location / {", "    if ($http_upgrade) { return 403; }\n    location / {"}},
			coderd.StreamEvents, nil},
		"a renewed certificate": {protocol: coderd.StreamWebSocket, test: (*edgeEnv).renewCertificate},
		"a reload":              {protocol: coderd.StreamWebSocket, test: (*edgeEnv).reloadWithStream},
		"a moment of refusals":  {protocol: coderd.StreamWebSocket, test: (*edgeEnv).refuseWithStream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, c.at...)
			_, err := e.Coder.CreateWorkspace(coderd.WorkspaceOptions{Owner: testenv.PersonUser, Name: "dev"})
			e.Must(err)
			e.Create(e.NewMintedSession(bound, testenv.MachineUser, func(spec *v1alpha1.CoderSessionSpec) {
				spec.Workspace = &v1alpha1.WorkspaceRef{Owner: testenv.PersonUser, Name: "dev"}
			}))
			e.createObjects("https://"+e.address, func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Interval = "1h" })
			e.Eventually(e.isWatched(c.protocol))
			if c.test != nil {
				before := e.tokenFacts()
				c.test(e)
				e.Eventually(e.isWatched(c.protocol), e.isGood())
				e.expectUnchanged(before, name)
			}
			e.expectEvents()
		})
	}
}

// isWatched looks whether one stream of the protocol is open, and the bound session is ready.
func (e *edgeEnv) isWatched(protocol coderd.StreamProtocol) wait.Check {
	return wait.All(e.IsReady(bound), e.SessionIs(bound, v1alpha1.ConditionWorkspaceWatched, metav1.ConditionTrue,
		v1alpha1.ReasonWatched, ""), func(context.Context) error {
		open := e.Coder.Streams()
		if len(open) != 1 || open[0].Protocol != protocol {
			return fmt.Errorf("open are %v, want one %s", open, protocol)
		}
		return nil
	})
}

// expectEvents stops the workspace, and waits until the session has followed. Only a stream can have
// told: without one the operator would look in an hour.
func (e *edgeEnv) expectEvents() {
	e.t.Helper()
	e.Must(e.Coder.StopWorkspace(testenv.PersonUser + "/dev"))
	e.Eventually(e.IsNotReady(bound, v1alpha1.ReasonWorkspaceStopped, ""), func(ctx context.Context) error {
		if _, err := e.GetSecret(ctx, bound); err == nil {
			return errors.New("the Secret of the bound session is still there")
		}
		return nil
	})
}

// renewCertificate renews the client certificate while the stream is open: the stream and the
// requests go on with the new one, and nothing of the old one stays open (B102).
func (e *edgeEnv) renewCertificate() {
	e.t.Helper()
	old := loggedSerial(e.client)
	e.client = e.WriteClientCertificate(testenv.CertificateSecret, testenv.OperatorUser)
	renewed := loggedSerial(e.client)
	e.Eventually(func(context.Context) error { return e.nginx.hasLeft(old, renewed) })
	// The request of a stream is in the log when the stream has ended.
	e.Coder.CutStreams()
	e.Eventually(func(context.Context) error {
		for _, r := range e.nginx.streamsServed() {
			if r.serial == renewed {
				return nil
			}
		}
		return errors.New("no stream of the renewed certificate has ended")
	})
}

// loggedSerial is the serial number of a certificate as nginx logs it: whole bytes, with a leading zero
// where the number has one.
func loggedSerial(c *certs.Certificate) string {
	return fmt.Sprintf("%X", c.Leaf.SerialNumber.Bytes())
}

// closedConnection is how nginx logs that the client has closed an idle connection.
var closedConnection = regexp.MustCompile(`\*(\d+) client 127\.0\.0\.1 closed keepalive connection`)

// hasLeft looks whether the latest request came with the renewed certificate, and all connections
// that were made with the old one are closed.
func (n *nginx) hasLeft(old, renewed string) error {
	closed := map[string]bool{}
	for _, match := range closedConnection.FindAllStringSubmatch(n.readLog("error.log"), -1) {
		closed[match[1]] = true
	}
	all := n.servedRequests()
	streams := 0
	for _, r := range all {
		switch {
		case r.serial != old:
		case r.status == "101":
			streams++ // which has ended, and its connection with it
		case !closed[r.connection]:
			return fmt.Errorf("connection %s of the old certificate is open", r.connection)
		}
	}
	if last := all[len(all)-1]; last.serial != renewed || streams != 1 {
		return fmt.Errorf("the last request is %+v, and %d streams of the old certificate have ended", last, streams)
	}
	return nil
}

// reloadWithStream reloads nginx while the stream is open, which ends it a second later.
func (e *edgeEnv) reloadWithStream() {
	e.t.Helper()
	ends := len(e.nginx.streamsServed())
	e.nginx.reload(e.sites)
	e.Eventually(func(context.Context) error {
		if len(e.nginx.streamsServed()) == ends {
			return errors.New("the stream has not ended")
		}
		return nil
	})
}

// refuseWithStream has nginx refuse everything for a moment in which the stream breaks (B122).
func (e *edgeEnv) refuseWithStream() {
	e.t.Helper()
	undo := answering("return 403;")(e)
	e.Eventually(func(context.Context) error {
		for _, r := range e.nginx.servedRequests() {
			if r.status == "403" && strings.HasSuffix(r.request, "/watch") {
				return nil
			}
		}
		return errors.New("no stream was refused yet")
	})
	undo()
}

// streamsServed are the WebSockets that have ended.
func (n *nginx) streamsServed() (ended []served) {
	for _, r := range n.servedRequests() {
		if r.status == "101" {
			ended = append(ended, r)
		}
	}
	return ended
}
