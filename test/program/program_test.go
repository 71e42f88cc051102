// SPDX-License-Identifier: Apache-2.0

package program_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// roleVariable says what a process of this test binary plays.
const roleVariable = "TEST_PROGRAM_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "fails":
		fmt.Println("no cluster")
		os.Exit(3)
	case "operator":
		playOperator()
	}
}

// playOperator serves the probes as the operator does, until it is stopped.
func playOperator() {
	fmt.Println(os.Args[1:])
	for _, arg := range os.Args {
		if address, found := strings.CutPrefix(arg, "--health-probe-bind-address="); found {
			fmt.Println(http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" {
					w.WriteHeader(http.StatusTeapot)
				}
				_, _ = fmt.Fprint(w, "it is "+r.URL.Path)
			})))
		}
	}
}

func start(t *testing.T, role string) *program.Operator {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o, err := program.StartOperator(program.OperatorOptions{
		Path: path, Kubeconfig: "/somewhere", Namespace: "coder-system", Env: []string{roleVariable + "=" + role},
		Log: filepath.Join(t.TempDir(), "log"), Flags: []string{"--orphan-grace=2s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Stop() })
	return o
}

func TestAnOperatorFromStartToStop(t *testing.T) {
	t.Parallel()
	o := start(t, "operator")
	if err := o.AwaitReady(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--kubeconfig=/somewhere", "--leader-election-namespace=coder-system",
		"--metrics-bind-address=0", "--orphan-grace=2s"} {
		if !strings.Contains(o.Output(), flag) {
			t.Errorf("%s is not among %s", flag, o.Output())
		}
	}
	if err := o.Answers("/healthz", http.StatusTeapot, "it is /healthz")(t.Context()); err != nil {
		t.Error(err)
	}
	if err := o.Answers("/healthz", http.StatusOK, "")(t.Context()); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("another status: %v", err)
	}
	if err := o.Running(); err != nil || o.ExitCode() != -1 {
		t.Errorf("it runs, but: %v, exit code %d", err, o.ExitCode())
	}
	for range 2 {
		if err := o.Stop(); err != nil {
			t.Error(err)
		}
	}
	if err := o.Answers("/readyz", http.StatusOK, "")(t.Context()); err == nil {
		t.Error("it answers after its end")
	}
}

func TestAnOperatorThatEndsByItself(t *testing.T) {
	t.Parallel()
	o := start(t, "fails")
	err := o.AwaitReady(t.Context(), time.Minute)
	var ended *program.ExitError
	if !errors.As(err, &ended) || !strings.Contains(err.Error(), "no cluster") || o.ExitCode() != 3 {
		t.Errorf("error is %v, exit code %d", err, o.ExitCode())
	}
}

func TestAnOperatorThatIsNotReadyInTime(t *testing.T) {
	t.Parallel()
	o := start(t, "operator")
	o.Probes = "http://127.0.0.1:1"
	var timeout *wait.TimeoutError
	err := o.AwaitReady(t.Context(), 30*time.Millisecond)
	if !errors.As(err, &timeout) || !strings.Contains(err.Error(), o.Log) {
		t.Errorf("error is %v", err)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, err := program.Start(program.Command{Path: "/no/such/manager", Log: filepath.Join(t.TempDir(), "log")})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "make build") {
		t.Errorf("error is %v", err)
	}
}

func TestAFreeAddress(t *testing.T) {
	t.Parallel()
	address, err := program.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
}
