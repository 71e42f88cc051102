// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
)

// The operator's place in the cluster, as config/default has it.
const (
	operatorNamespace = "coder-session-operator-system"
	operatorName      = "coder-session-operator"
)

// patience is how long what must come may take. On an idle machine it takes a second or two.
const patience = time.Minute

// site is what all tests share: a control plane with the operator installed, and the operator
// itself. A session, its Coder server and its browser are each test's own.
type site struct {
	once sync.Once
	err  error

	cluster  *kube.Cluster
	person   *kube.User // who logs in
	folder   string     // of the programs
	operator *program.Operator
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
	requireNoError(t, shared.operator.Running())
	return &shared
}

func (s *site) startAll(ctx context.Context) (err error) {
	if s.folder, err = os.MkdirTemp("", "coder-session-operator-browser-"); err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	built := make(chan error, 1)
	go func() { built <- program.Build(ctx, ".", s.folder, operatorProgram, pluginProgram) }()
	if err := errors.Join(s.startCluster(ctx), <-built); err != nil {
		return err
	}
	return s.startOperator(ctx)
}

// startCluster starts a control plane, with the operator installed as a platform team does it. Its
// Deployment stays a plan: nothing there runs pods.
func (s *site) startCluster(ctx context.Context) (err error) {
	if s.cluster, err = kube.Start(ctx, kube.Options{}); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, s.cluster.Kubectl, "--kubeconfig", s.cluster.Kubeconfig, "apply", "-k",
		"config/default")
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

// startOperator starts the operator as the service account that it has in a cluster, with that
// account's rights.
func (s *site) startOperator(ctx context.Context) error {
	user, err := s.cluster.ServiceAccount(operatorNamespace, operatorName)
	if err != nil {
		return err
	}
	callback, err := program.FreeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(callback)
	s.callbackURL = "http://localhost:" + port + "/oauth/callback"
	s.operator, err = program.StartOperator(program.OperatorOptions{
		Path: s.programPath(operatorProgram), Kubeconfig: user.Kubeconfig, Namespace: operatorNamespace,
		Log:   filepath.Join(artifacts, operatorName+".log"),
		Flags: []string{"--oauth-callback-bind-address=" + callback, "--oauth-callback-url=" + s.callbackURL},
	})
	if err != nil {
		return err
	}
	return s.operator.AwaitReady(ctx, patience)
}

// stopAll stops what runs, the last started first.
func (s *site) stopAll() error {
	var errs []error
	if s.operator != nil {
		errs = append(errs, s.operator.Stop())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Stop())
	}
	if s.folder != "" {
		errs = append(errs, os.RemoveAll(s.folder))
	}
	return errors.Join(errs...)
}
