// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// The operator's place in the cluster, as config/default has it.
const (
	operatorNamespace = "coder-session-operator-system"
	operatorName      = "coder-session-operator"
)

const (
	// patience is how long what must come may take. On an idle machine it takes a second or two.
	patience = time.Minute
	// pollInterval of what cannot be waited for.
	pollInterval = 50 * time.Millisecond
)

// site is what all tests share: a control plane with the operator installed, and the operator itself. A session, its
// Coder server and its browser are each test's own.
type site struct {
	once sync.Once
	err  error

	cluster  *kube.Cluster
	person   *kube.User // who logs in
	folder   string     // of the programs
	operator *exec.Cmd
	ended    chan struct{} // closed when the operator has ended
	// callbackURL is where browsers come back to.
	callbackURL string
}

// shared is started by the first test that asks for it.
var shared site

// theSite returns what all tests share. A test fails when it cannot be started.
func theSite(t *testing.T) *site {
	t.Helper()
	shared.once.Do(func() {
		// It outlives the test that happens to be the first.
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		shared.err = shared.startAll(ctx)
	})
	requireNoError(t, shared.err)
	select {
	case <-shared.ended:
		t.Fatalf("the operator has ended by itself; its log is %s", shared.logPath())
	default:
	}
	return &shared
}

func (s *site) startAll(ctx context.Context) (err error) {
	if s.folder, err = os.MkdirTemp("", "coder-session-operator-browser-"); err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	built := make(chan error, 1)
	go func() { built <- s.buildPrograms(ctx) }()
	if err := errors.Join(s.startCluster(ctx), <-built); err != nil {
		return err
	}
	return s.startOperator(ctx)
}

// startCluster starts a control plane, with the operator installed as a platform team does it. Its Deployment stays a plan:
// nothing there runs pods.
func (s *site) startCluster(ctx context.Context) (err error) {
	if s.cluster, err = kube.Start(ctx, kube.Options{}); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, s.cluster.Kubectl, "--kubeconfig", s.cluster.Kubeconfig, "apply", "-k", "config/default")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("install the operator: %w\n%s", err, output)
	}
	s.person, err = s.cluster.User(person, "system:authenticated")
	return err
}

// Programs that are tested, by the names of their packages.
const (
	operatorProgram = "manager"
	pluginProgram   = "kubectl-coder"
)

// programPath is the path of one of them.
func (s *site) programPath(name string) string { return filepath.Join(s.folder, name) }

// buildPrograms builds them as `make build` does, so that the build cache serves both.
func (s *site) buildPrograms(ctx context.Context) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", s.folder, "./cmd/"+operatorProgram, "./cmd/"+pluginProgram)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, output)
	}
	return nil
}

// startOperator starts the operator as the service account that it has in a cluster, with that account's rights. Should
// nobody be left to stop it, it ends by itself: the control plane ends with this process (test/kube), and an operator that
// cannot renew its lease gives up.
func (s *site) startOperator(ctx context.Context) error {
	account := fmt.Sprintf("system:serviceaccount:%s:%s", operatorNamespace, operatorName)
	user, err := s.cluster.User(account, "system:serviceaccounts", "system:serviceaccounts:"+operatorNamespace, "system:authenticated")
	if err != nil {
		return err
	}
	callback, err := freeAddress()
	if err != nil {
		return err
	}
	probes, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(callback)
	s.callbackURL = "http://localhost:" + port + "/oauth/callback"
	log, err := os.Create(s.logPath())
	if err != nil {
		return fmt.Errorf("make the operator's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the operator has a descriptor of its own
	s.operator = exec.Command(s.programPath(operatorProgram),
		"--kubeconfig="+user.Kubeconfig, "--leader-election-namespace="+operatorNamespace, "--metrics-bind-address=0",
		"--health-probe-bind-address="+probes, "--oauth-callback-bind-address="+callback, "--oauth-callback-url="+s.callbackURL)
	s.operator.Stdout, s.operator.Stderr = log, log
	if err := s.operator.Start(); err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	s.ended = make(chan struct{})
	go func() {
		_ = s.operator.Wait()
		close(s.ended)
	}()
	return s.awaitOperator(ctx, "http://"+probes+"/readyz")
}

func (s *site) awaitOperator(ctx context.Context, probe string) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		select {
		case <-s.ended:
			return false, errors.New("it has ended by itself")
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, probe, nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if last = err; err != nil {
			return false, nil
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("the operator is not ready: %w; its log is %s", errors.Join(err, last), s.logPath())
	}
	return nil
}

// logPath is the path of the operator's log.
func (s *site) logPath() string { return filepath.Join(artifacts, operatorName+".log") }

// stopAll stops what runs, the last started first.
func (s *site) stopAll() error {
	var errs []error
	if s.ended != nil {
		// It may have ended by itself: then there is nobody to ask.
		_ = s.operator.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(patience):
			errs = append(errs, errors.New("the operator did not end when it was asked to, and was killed"), s.operator.Process.Kill())
			<-s.ended
		}
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop())
	}
	if s.folder != "" {
		errs = append(errs, os.RemoveAll(s.folder))
	}
	return errors.Join(errs...)
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
