// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/cluster/internal/isolate"
)

// kubernetesPrograms are in Options.Programs; the others are Debian's.
var kubernetesPrograms = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
	"kubelet", "kube-proxy", "kubectl", "cluster-dns", "pause",
}

// Start starts a cluster and returns once pods can run, Services work and have names.
// The program has to have gone through Enter, and there may be one cluster at a time. A
// ctx that ends during the start gives it up; later it has no effect: call Stop. An
// error names what is missing, or has the last lines that a program wrote.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	if !isolate.Inside() {
		return nil, errors.New("start a cluster: the program is not in namespaces of its own: call cluster.Enter first")
	}
	folder, err := filepath.Abs(options.Programs)
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	if err := requirePrograms(folder); err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	c := &Cluster{NodeName: nodeName, Kubectl: filepath.Join(folder, "kubectl"), loadImage: importImage}
	files, remove, err := prepareFolder(options.Folder)
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}
	run := &programs{folder: folder, logs: filepath.Join(files, "logs")}
	c.halt = func() error { return errors.Join(run.stopAll(), isolate.CleanUp(), remove()) }

	started := time.Now()
	options.logProgress("starting a cluster with the programs of %s, logs in %s", folder, run.logs)
	if err := c.startPrograms(ctx, options, files, run); err != nil {
		return nil, errors.Join(fmt.Errorf("start a cluster: %w", err), c.Stop())
	}
	options.logProgress("the cluster is ready after %.1f s: %s, KUBECONFIG=%s", time.Since(started).Seconds(), c.Server,
		c.Kubeconfig)
	return c, nil
}

// requirePrograms says all that is missing at once.
func requirePrograms(folder string) error {
	var missing []string
	for _, program := range kubernetesPrograms {
		if _, err := os.Stat(filepath.Join(folder, program)); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s has no %s: run `hack/kube/build.sh cluster`", folder, strings.Join(missing, ", "))
}

// prepareFolder makes the folder for keys, configuration and logs. A temporary one is
// removed by the function that it returns.
func prepareFolder(wanted string) (folder string, remove func() error, err error) {
	remove = func() error { return nil }
	if wanted == "" {
		// Not on the disk, where it would stay if the program were killed.
		if folder, err = os.MkdirTemp("/run", "cluster-"); err != nil {
			return "", nil, err
		}
		remove = func() error { return os.RemoveAll(folder) }
	} else if folder, err = filepath.Abs(wanted); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(filepath.Join(folder, "logs"), 0o700); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return folder, remove, nil
}

// startPrograms starts the programs. Those that need little of each other are started at the same
// time.
func (c *Cluster) startPrograms(ctx context.Context, options Options, folder string, run *programs) error {
	s, err := newSettings(options, folder)
	if err != nil {
		return err
	}
	c.Kubeconfig = s.Admin
	if err := c.readKubeconfig(); err != nil {
		return err
	}
	pause := filepath.Join(folder, "pause.tar")
	err = errors.Join(
		WriteImage(pause, Image{
			Name:       pauseImage,
			Files:      map[string]string{"/pause": filepath.Join(run.folder, "pause")},
			Entrypoint: []string{"/pause"},
			User:       "65535:65535",
		}),
		isolate.MakeCgroup(),
		run.startProgram("etcd", s.etcdFlags()...),
		run.startProgram("kube-apiserver", s.apiServerFlags()...),
		run.startProgram("containerd", s.containerdFlags()...),
	)
	if err != nil {
		return err
	}
	if err := run.awaitReady(ctx, "containerd", containerdReady); err != nil {
		return err
	}
	if err := c.LoadImage(ctx, pause); err != nil {
		return err
	}
	if err := run.awaitReady(ctx, "the API server", c.apiServerReady); err != nil {
		return err
	}
	err = errors.Join(
		run.startProgram("kube-controller-manager", s.controllerManagerFlags()...),
		run.startProgram("kube-scheduler", s.schedulerFlags()...),
		run.startProgram("kubelet", s.kubeletFlags()...),
		run.startProgram("kube-proxy", s.proxyFlags()...),
		run.startProgram("cluster-dns", s.dnsFlags()...),
	)
	if err != nil {
		return err
	}
	return run.awaitReady(ctx, "the node", c.nodeReady)
}
