// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// Names in the cluster.
const (
	operatorNamespace = "coder-session-operator-system"
	operatorName      = "coder-session-operator" // service account and program
	namespace         = "coder"                  // of everything in config/samples
)

// demo is what runs, and what the steps have learned so far.
type demo struct {
	term  *walk.Terminal
	abort context.CancelCauseFunc

	root     string
	folder   *walk.Folder
	cluster  *kube.Cluster
	client   client.WithWatch
	kubectl  *walk.Program
	coder    *coderServer
	operator *program.Operator
	material *material // what is in force at the moment
	// callbackURL is where the operator takes browsers that come back from Coder.
	callbackURL string
}

// startAll starts all programs and applies the samples.
func (d *demo) startAll(ctx context.Context) error {
	d.term.Heading("Coder Session Operator: demo")
	for _, begin := range []func(context.Context) error{
		d.prepareFolder, d.startCluster, d.startCoder, d.startOperator, d.applySamples,
	} {
		if err := begin(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) prepareFolder(context.Context) error {
	var err error
	if d.root, err = kube.Root(); err != nil {
		return err
	}
	if d.root, err = filepath.EvalSymlinks(d.root); err != nil {
		return fmt.Errorf("find the module: %w", err)
	}
	if d.folder, err = walk.NewFolder("coder-session-operator-demo-"); err != nil {
		return err
	}
	if d.material, err = newMaterial(); err != nil {
		return err
	}
	d.term.Note("logs of all processes: %s", d.folder.Logs)
	return nil
}

func (d *demo) startCluster(ctx context.Context) error {
	started := time.Now()
	var err error
	if d.cluster, err = kube.Start(ctx, kube.Options{}); err != nil {
		return err
	}
	for _, name := range []string{"etcd.log", "kube-apiserver.log"} {
		if err := d.folder.KeepLog(filepath.Join(filepath.Dir(d.cluster.Kubeconfig), name)); err != nil {
			return err
		}
	}
	if d.client, err = client.NewWithWatch(d.cluster.Config, client.Options{Scheme: d.cluster.Scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	d.kubectl = &walk.Program{
		Path: d.cluster.Kubectl, Dir: d.folder.Work, Env: []string{"KUBECONFIG=" + d.cluster.Kubeconfig}, Term: d.term,
	}
	d.term.Seen("etcd and kube-apiserver, with the operator's CRDs, at %s (%s)", d.cluster.Config.Host,
		walk.Brief(time.Since(started)))
	return nil
}

func (d *demo) startCoder(ctx context.Context) error {
	var err error
	if d.coder, err = startCoder(ctx, d.root, d.folder, d.material); err != nil {
		return err
	}
	d.coder.Guard(ctx, d.abort)
	d.term.Seen("simulated Coder server at %s, with the users %s (owner), %s and %s", d.coder.url, operatorUser,
		machineUser, personUser)
	d.term.Seen("its edge demands a client certificate, which says who calls, and the header %s", headerName)
	return nil
}

// startOperator installs the operator's roles and starts it as the service account
// that it has in a cluster: with those rights and no others.
func (d *demo) startOperator(ctx context.Context) error {
	if err := d.installRoles(ctx); err != nil {
		return err
	}
	user, err := d.cluster.ServiceAccount(operatorNamespace, operatorName)
	if err != nil {
		return err
	}
	metrics, err := program.FreeAddress()
	if err != nil {
		return err
	}
	callback, err := program.FreeAddress()
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(callback, ":")
	d.callbackURL = "http://localhost:" + port + "/oauth/callback"
	started := time.Now()
	d.operator, err = program.StartOperator(program.OperatorOptions{
		Path: filepath.Join(d.root, "bin", operatorName), Log: d.folder.Log(operatorName),
		Kubeconfig: user.Kubeconfig, Namespace: operatorNamespace, Metrics: metrics,
		Flags: []string{"--leader-elect", "--oauth-callback-bind-address=" + callback,
			"--oauth-callback-url=" + d.callbackURL},
	})
	if err != nil {
		return err
	}
	d.operator.Guard(ctx, d.abort)
	if err := d.operator.AwaitReady(ctx, walk.Patience); err != nil {
		return err
	}
	d.term.Seen("operator, as %s; ready after %s, metrics at http://%s/metrics",
		user.Name, walk.Brief(time.Since(started)), metrics)
	d.term.Seen("it takes browsers that come back from Coder at %s", d.callbackURL)
	return nil
}

func (d *demo) installRoles(ctx context.Context) error {
	roles, err := d.writeOverlay("roles", "config/rbac", "namespace: "+operatorNamespace+"\n")
	if err != nil {
		return err
	}
	if _, err := d.kubectl.Run(ctx, "create", "namespace", operatorNamespace); err != nil {
		return err
	}
	_, err = d.kubectl.Run(ctx, "apply", "-k", roles)
	return err
}

// writeOverlay writes a kustomization over a folder of the module and returns its name for kubectl.
func (d *demo) writeOverlay(name, base, more string) (string, error) {
	relative, err := filepath.Rel(filepath.Join(d.folder.Work, name), filepath.Join(d.root, base))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", base, err)
	}
	text := strings.Join([]string{
		"apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", "resources: [" + relative + "]", more,
	}, "\n")
	_, err = d.folder.Write(filepath.Join(name, "kustomization.yaml"), []byte(text))
	return name, err
}

// closeAll stops the programs, the last started first, and removes the files.
func (d *demo) closeAll(keepLogs bool) error {
	var errs []error
	if d.operator != nil {
		errs = append(errs, d.operator.Stop())
	}
	if d.coder != nil {
		errs = append(errs, d.coder.Stop())
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Stop())
	}
	if d.folder != nil {
		errs = append(errs, d.folder.Remove(keepLogs))
	}
	if keepLogs && d.folder != nil {
		d.term.Note("logs are kept in %s", d.folder.Logs)
	}
	return errors.Join(errs...)
}

// reportFailure prints the error and where the logs are, and saves the objects beside them. The
// objects hold no credentials.
func (d *demo) reportFailure(err error) {
	if d.folder == nil || errors.Is(err, errInterrupted) {
		d.term.Failure(err, "")
		return
	}
	d.term.Failure(err, d.folder.Logs)
	if d.kubectl == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	objects, err := d.kubectl.Run(ctx, "get", "cdep,cses,events", "--all-namespaces", "-o", "yaml")
	if err == nil {
		err = os.WriteFile(filepath.Join(d.folder.Logs, "objects.yaml"), []byte(objects), 0o600)
	}
	if err != nil {
		d.term.Note("the objects could not be kept: %v", err)
	}
}
