// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/cluster"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// Names in the cluster.
const (
	release           = "coder-session-operator"
	operatorNamespace = "coder-session-operator-system"
	namespace         = "coder"  // of the deployment, its sessions and most pods
	coderdNamespace   = "coderd" // of the simulated server
	coderURL          = "https://coder.coderd.svc"
)

// Images, as Makefile names them.
const (
	operatorImage = "coder-session-operator"
	operatorTag   = "e2e"
	testImage     = "coder-session-operator-e2e:dev"
)

// e2eRun is what runs, and what the steps have learned so far.
type e2eRun struct {
	term  *walk.Terminal
	abort context.CancelCauseFunc

	root     string
	chart    string // its package, as a release has it
	folder   *walk.Folder
	cluster  *cluster.Cluster
	own      bool // the cluster is this program's
	client   client.WithWatch
	kubectl  *walk.Program // of the cluster's administrator
	owner    *walk.Program // kubectl of a person with the role admin in the namespace
	editor   *walk.Program // kubectl of a person with the role edit in the namespace
	helm     *walk.Program
	coder    *coder
	keeper   *keeper
	material *material
	figures  []string // what was measured
}

// material is everything by which the two sides of a connection know each other.
type material struct {
	servers, clients *certs.Authority
	server, client   *certs.Certificate
	header           string
}

// headerName is the header that config/samples sends and the edge demands.
const headerName = "X-Edge-Secret"

func newMaterial() (*material, error) {
	servers, err := certs.NewAuthority("e2e servers", nil)
	if err != nil {
		return nil, err
	}
	clients, err := certs.NewAuthority("e2e clients", nil)
	if err != nil {
		return nil, err
	}
	m := &material{servers: servers, clients: clients, header: rand.Text()}
	m.server, err = servers.Issue(certs.Request{
		Usage: certs.Server, CommonName: "coder", DNSNames: []string{"coder.coderd.svc"},
	})
	if err != nil {
		return nil, err
	}
	m.client, err = m.issueClientCertificate()
	return m, err
}

// issueClientCertificate issues a certificate for the operator's user.
func (m *material) issueClientCertificate() (*certs.Certificate, error) {
	return m.clients.Issue(certs.Request{Usage: certs.Client, CommonName: operatorUser})
}

// startAll starts what the steps need: a cluster with the images, and the Coder server.
func (w *e2eRun) startAll(ctx context.Context, o options) error {
	w.term.Heading("Coder Session Operator: end to end")
	for _, begin := range []func(context.Context, options) error{
		w.prepareFolder, w.startCluster, w.loadImages, w.startCoder,
	} {
		if err := begin(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (w *e2eRun) prepareFolder(_ context.Context, o options) error {
	var err error
	if w.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if w.chart, err = findPackagedChart(filepath.Join(w.root, "bin", "e2e", "chart")); err != nil {
		return err
	}
	if w.folder, err = walk.NewFolder("coder-session-operator-e2e-"); err != nil {
		return err
	}
	w.term.Note("logs of everything: %s", w.folder.Logs)
	w.material, err = newMaterial()
	return err
}

func (w *e2eRun) startCluster(ctx context.Context, _ options) error {
	started := time.Now()
	settings := cluster.Options{
		Programs: filepath.Join(w.root, "bin", "kube"),
		Folder:   filepath.Join(w.folder.Logs, "cluster"),
		// A minute by default: with it the steps would wait for the kubelet most of the time.
		KubeletSync: kubeletSync,
	}
	var err error
	if config := os.Getenv("KUBECONFIG"); config != "" {
		w.cluster, err = cluster.Use(ctx, config, settings)
	} else {
		w.own = true
		w.cluster, err = cluster.Start(ctx, settings)
	}
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if w.client, err = client.NewWithWatch(w.cluster.Config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	// kubectl finds its plugins in the PATH.
	env := []string{"KUBECONFIG=" + w.cluster.Kubeconfig, "PATH=" + filepath.Join(w.root, "bin") + ":" + os.Getenv("PATH")}
	w.kubectl = &walk.Program{Path: w.cluster.Kubectl, Dir: w.folder.Work, Env: env, Term: w.term}
	if w.owner, err = w.newPerson("owner"); err != nil {
		return err
	}
	if w.editor, err = w.newPerson("editor"); err != nil {
		return err
	}
	w.helm = &walk.Program{Path: filepath.Join(w.root, "bin", "helm"), Dir: w.folder.Work, Term: w.term, Env: append(env,
		// Without the files of the user who runs the test.
		"HELM_CACHE_HOME="+w.folder.Work, "HELM_CONFIG_HOME="+w.folder.Work, "HELM_DATA_HOME="+w.folder.Work)}
	if w.keeper, err = newKeeper(ctx, w.cluster.Config, w.client, w.folder.Logs); err != nil {
		return err
	}
	w.term.Seen("Kubernetes with one node at %s (%s)", w.cluster.Server, walk.Brief(time.Since(started)))
	return nil
}

// loadImages loads what the Makefile has built.
func (w *e2eRun) loadImages(ctx context.Context, _ options) error {
	archive := filepath.Join(w.folder.Work, "workloads.tar")
	image := cluster.Image{Name: testImage, User: "65532:65532", Entrypoint: []string{"/caller"}, Files: map[string]string{
		"/caller": filepath.Join(w.root, "bin", "e2e",
			"caller"), "/coderd-sim": filepath.Join(w.root, "bin", "e2e", "coderd-sim"),
	}}
	if err := cluster.WriteImage(archive, image); err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(w.root, "bin", "e2e", "image.tar"), archive} {
		if err := w.cluster.LoadImage(ctx, path); err != nil {
			return err
		}
	}
	w.term.Seen("images %s:%s and %s are loaded", operatorImage, operatorTag, testImage)
	return nil
}

// applyManifest applies one of the embedded manifests as a person, showing the command.
func (w *e2eRun) applyManifest(ctx context.Context, person *walk.Program, name, text string) error {
	if _, err := w.folder.Write(name, []byte(text)); err != nil {
		return err
	}
	return person.Show(ctx, "apply", "-f", name)
}

// reportFailure prints the error and saves the objects beside the logs. The objects hold no
// credentials.
func (w *e2eRun) reportFailure(err error) {
	if w.folder == nil {
		w.term.Failure(err, "")
		return
	}
	w.term.Failure(err, w.folder.Logs)
	if w.kubectl == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for name, args := range map[string][]string{
		"objects.yaml": {"get", "cdep,cses,pods,events,leases,nodes", "--all-namespaces", "-o", "yaml"},
		"events.txt":   {"get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"},
	} {
		text, err := w.kubectl.Run(ctx, args...)
		if err == nil {
			err = os.WriteFile(filepath.Join(w.folder.Logs, name), []byte(text), 0o600)
		}
		if err != nil {
			w.term.Note("%s could not be kept: %v", name, err)
		}
	}
}

// closeAll stops the programs, the last started first, and removes the files.
func (w *e2eRun) closeAll(keepLogs bool) error {
	var errs []error
	if w.coder != nil {
		errs = append(errs, w.coder.forward.Stop())
	}
	if w.keeper != nil {
		w.keeper.stop()
	}
	if w.cluster != nil {
		errs = append(errs, w.cluster.Stop())
	}
	if w.folder != nil {
		errs = append(errs, w.folder.Remove(keepLogs))
		if keepLogs {
			w.term.Note("logs are kept in %s", w.folder.Logs)
		}
	}
	return errors.Join(errs...)
}

// recordFigure keeps a figure for the summary, and prints it.
func (w *e2eRun) recordFigure(format string, args ...any) {
	figure := fmt.Sprintf(format, args...)
	w.figures = append(w.figures, figure)
	w.term.Seen("%s", figure)
}

func (w *e2eRun) printSummary(took time.Duration) {
	w.term.Heading("Measured:")
	for _, figure := range w.figures {
		w.term.Note("%s", figure)
	}
	w.term.Note("all of it: %s", walk.Brief(took))
}

// getObject reads an object of the main namespace.
func getObject[T client.Object](ctx context.Context, w *e2eRun, name string, into T) (T, error) {
	return into, w.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
}

func (w *e2eRun) getSecret(ctx context.Context, name string) (*corev1.Secret, error) {
	return getObject(ctx, w, name, &corev1.Secret{})
}

func (w *e2eRun) getSession(ctx context.Context, name string) (*v1alpha1.CoderSession, error) {
	return getObject(ctx, w, name, &v1alpha1.CoderSession{})
}
