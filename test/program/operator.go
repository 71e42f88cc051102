// SPDX-License-Identifier: Apache-2.0

package program

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// OperatorOptions are of an operator that runs as a process of its own. Path, Kubeconfig, Namespace
// and Log are required.
type OperatorOptions struct {
	// Path of the program.
	Path string
	// Kubeconfig is the path of the credentials that it uses.
	Kubeconfig string
	// Namespace is its own, with its lease and its Secrets.
	Namespace string
	// Log is the path of the file for its log.
	Log string
	// Metrics is where it serves them without TLS; empty: it serves none.
	Metrics string
	// Flags are further ones. One that is given here again replaces an earlier one.
	Flags []string
	// Env is added to this process's environment.
	Env []string
}

// Operator is a running operator.
type Operator struct {
	*Process
	// Probes is the URL of its probes, without a path.
	Probes string
}

// StartOperator starts an operator. It does not wait until it is ready.
func StartOperator(o OperatorOptions) (*Operator, error) {
	probes, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	flags := []string{
		"--kubeconfig=" + o.Kubeconfig, "--leader-election-namespace=" + o.Namespace,
		"--health-probe-bind-address=" + probes, "--metrics-bind-address=" + cmp.Or(o.Metrics, "0"),
	}
	if o.Metrics != "" {
		flags = append(flags, "--metrics-secure=false")
	}
	p, err := Start(Command{Path: o.Path, Args: append(flags, o.Flags...), Env: o.Env, Log: o.Log})
	if err != nil {
		return nil, err
	}
	return &Operator{Process: p, Probes: "http://" + probes}, nil
}

// AwaitReady waits until the operator is ready. The error of one that has ended is an ExitError;
// another one names its log.
func (o *Operator) AwaitReady(ctx context.Context, timeout time.Duration) error {
	ready := o.Answers("/readyz", http.StatusOK, "")
	err := wait.Until(ctx, timeout, 5*time.Millisecond, func(ctx context.Context) error {
		if err := o.Running(); err != nil {
			return wait.Final(err)
		}
		return ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("wait for the operator to be ready: %w; its log is %s", err, o.Log)
	}
	return nil
}

// Answers looks whether a probe answers with this status, and a body with the fragment.
func (o *Operator) Answers(path string, status int, fragment string) wait.Check {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.Probes+path, http.NoBody)
		if err != nil {
			return err
		}
		return CheckAnswer(http.DefaultTransport, request, status, fragment)
	}
}

// CheckAnswer sends a request, and returns an error if the answer has another status, or a body without the fragment.
func CheckAnswer(transport http.RoundTripper, request *http.Request, status int, fragment string) error {
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != status || !strings.Contains(string(body), fragment) {
		return fmt.Errorf("%s: %d %.1000s, want %d with %q", request.URL.Path, response.StatusCode, body, status, fragment)
	}
	return nil
}

// FreeAddress is a loopback address with a port that nothing listens on.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
