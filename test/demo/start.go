// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
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
	operator *walk.Process
	material *material // what is in force at the moment
	// callbackURL is where the operator takes browsers that come back from Coder.
	callbackURL string
}

// start starts everything and tells the cluster about it.
func (d *demo) start(ctx context.Context) error {
	d.term.Heading("Coder Session Operator: demo")
	for _, begin := range []func(context.Context) error{
		d.prepare, d.startCluster, d.startCoder, d.startOperator, d.applySamples,
	} {
		if err := begin(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) prepare(context.Context) error {
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
	d.kubectl = &walk.Program{Path: d.cluster.Kubectl, Dir: d.folder.Work, Env: []string{"KUBECONFIG=" + d.cluster.Kubeconfig}, Term: d.term}
	d.term.Seen("etcd and kube-apiserver, with the operator's CRDs, at %s (%s)", d.cluster.Config.Host, walk.Brief(time.Since(started)))
	return nil
}

func (d *demo) startCoder(ctx context.Context) error {
	var err error
	if d.coder, err = startCoder(ctx, d.root, d.folder, d.material); err != nil {
		return err
	}
	d.coder.Guard(ctx, d.abort)
	d.term.Seen("simulated Coder server at %s, with the users %s (owner), %s and %s", d.coder.url, operatorUser, machineUser, personUser)
	d.term.Seen("its edge demands a client certificate, which says who calls, and the header %s", headerName)
	return nil
}

// startOperator installs the operator's roles and starts it as the service account
// that it has in a cluster: with those rights and no others.
func (d *demo) startOperator(ctx context.Context) error {
	if err := d.installRoles(ctx); err != nil {
		return err
	}
	account := fmt.Sprintf("system:serviceaccount:%s:%s", operatorNamespace, operatorName)
	user, err := d.cluster.User(account, "system:serviceaccounts", "system:serviceaccounts:"+operatorNamespace, "system:authenticated")
	if err != nil {
		return err
	}
	metrics, err := freeAddress()
	if err != nil {
		return err
	}
	probes, err := freeAddress()
	if err != nil {
		return err
	}
	callback, err := freeAddress()
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(callback, ":")
	d.callbackURL = "http://localhost:" + port + "/oauth/callback"
	d.operator, err = walk.StartProcess(d.folder.Logs, filepath.Join(d.root, "bin", operatorName),
		"--kubeconfig="+user.Kubeconfig, "--leader-elect", "--leader-election-namespace="+operatorNamespace,
		"--metrics-bind-address="+metrics, "--metrics-secure=false", "--health-probe-bind-address="+probes,
		"--oauth-callback-bind-address="+callback, "--oauth-callback-url="+d.callbackURL)
	if err != nil {
		return err
	}
	d.operator.Guard(ctx, d.abort)
	took, err := walk.Await(ctx, "the operator answers its readiness probe with 200", func(ctx context.Context) (string, bool, error) {
		return probe(ctx, "http://"+probes+"/readyz")
	})
	if err != nil {
		return err
	}
	d.term.Seen("operator, as %s; ready after %s, metrics at http://%s/metrics", account, walk.Brief(took), metrics)
	d.term.Seen("it takes browsers that come back from Coder at %s", d.callbackURL)
	return nil
}

func (d *demo) installRoles(ctx context.Context) error {
	roles, err := d.overlay("roles", "config/rbac", "namespace: "+operatorNamespace+"\n")
	if err != nil {
		return err
	}
	if _, err := d.kubectl.Run(ctx, "create", "namespace", operatorNamespace); err != nil {
		return err
	}
	_, err = d.kubectl.Run(ctx, "apply", "-k", roles)
	return err
}

// overlay writes a kustomization over a folder of the module and returns its name
// for kubectl.
func (d *demo) overlay(name, base, more string) (string, error) {
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

// freeAddress is a loopback address that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func probe(ctx context.Context, url string) (string, bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", false, err
	}
	return response.Status, response.StatusCode == http.StatusOK, response.Body.Close()
}

// close stops what runs, the last started first, and removes the files.
func (d *demo) close(keepLogs bool) error {
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

// fail says what went wrong and where to read on: in the logs, with the objects as
// they are now beside them. Those hold no credentials.
func (d *demo) fail(err error) {
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
