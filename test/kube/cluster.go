// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Options of a control plane. The zero value is a good one.
type Options struct {
	// Logf says what is being done. Nil: nothing is said.
	Logf func(format string, args ...any)
	// APIServerFlags are further flags of kube-apiserver, without their dashes,
	// such as "max-requests-inflight". They replace flags of the same name.
	APIServerFlags map[string]string
	// CRDs is the folder of the CRDs to install; empty: config/crd/bases.
	CRDs string
}

// Cluster is a running control plane. Its fields are for reading; all of it may
// be used by several goroutines at a time.
type Cluster struct {
	// Config of the admin (group system:masters), without a rate limit of the
	// client's own. Copy it before changing it.
	Config *rest.Config
	// Kubeconfig is the path of the admin's kubeconfig, for kubectl and for an
	// operator that runs as a process of its own. It goes with Stop.
	Kubeconfig string
	// Kubectl is the path of the kubectl program.
	Kubectl string
	// Scheme knows the kinds of client-go and of the operator.
	Scheme *runtime.Scheme
	// Client of the admin: reads and writes directly, without a cache.
	Client client.Client

	users       sync.Mutex // envtest makes one user at a time
	folder      string
	environment *envtest.Environment
	leash       *leash
	stop        sync.Once
	stopped     error
}

// Start starts a control plane and installs the CRDs. A ctx
// that ends during the start gives it up; later it has no effect: call Stop. An
// error names what is missing, or has the last lines that the programs wrote.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	programs, err := findAssets(root)
	if err != nil {
		return nil, err
	}
	kubectl, err := findKubectl(programs)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "coder-session-operator-kube-")
	if err != nil {
		return nil, fmt.Errorf("make the folder of the control plane: %w", err)
	}
	c := &Cluster{folder: folder, Kubectl: kubectl}
	if err := c.startControlPlane(ctx, root, programs, options); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) startControlPlane(ctx context.Context, root, programs string, options Options) error {
	logf := options.Logf
	if logf == nil {
		logf = func(string, ...any) {}
	}
	if err := c.configurePrograms(root, programs, options); err != nil {
		return err
	}
	logf("starting etcd and kube-apiserver of %s in %s", programs, c.folder)
	if err := c.runPrograms(ctx); err != nil {
		return err
	}
	if err := c.createAdmin(); err != nil {
		return err
	}
	logf("kube-apiserver listens on %s", c.Config.Host)
	return nil
}

// createAdmin makes the admin's client and kubeconfig for the running API server.
func (c *Cluster) createAdmin() error {
	c.Scheme = runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(c.Scheme), v1alpha1.AddToScheme(c.Scheme)); err != nil {
		return fmt.Errorf("build the scheme: %w", err)
	}
	admin, err := c.User("admin", "system:masters")
	if err != nil {
		return err
	}
	c.Config, c.Kubeconfig = admin.Config, admin.Kubeconfig
	c.Client, err = client.New(c.Config, client.Options{Scheme: c.Scheme})
	if err != nil {
		return fmt.Errorf("make the admin's client: %w", err)
	}
	return nil
}

// Stop ends the processes and removes all that they wrote. Further calls return
// what the first one did.
func (c *Cluster) Stop() error {
	c.stop.Do(func() {
		var errs []error
		if c.environment != nil {
			errs = append(errs, c.environment.Stop())
		}
		if c.leash != nil {
			errs = append(errs, c.leash.release())
		}
		errs = append(errs, os.RemoveAll(c.folder))
		if err := errors.Join(errs...); err != nil {
			c.stopped = fmt.Errorf("stop the control plane: %w", err)
		}
	})
	return c.stopped
}
