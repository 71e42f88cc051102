// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// startTimeout is generous: on a busy machine with few cores an API server
	// takes many times the 4 s that it takes on an idle one.
	startTimeout = 2 * time.Minute
	stopTimeout  = 30 * time.Second
	// shownLines of each program's output are in the error of a failed start.
	shownLines = 15
)

// configurePrograms prepares the programs' flags, folders and log files.
func (c *Cluster) configurePrograms(root, programs string, options Options) error {
	var err error
	if c.leash, err = newLeash(c.folder); err != nil {
		return err
	}
	etcd, apiServer := &envtest.Etcd{}, &envtest.APIServer{}
	if etcd.Path, err = c.leash.tieProgram(filepath.Join(programs, "etcd")); err != nil {
		return err
	}
	if apiServer.Path, err = c.leash.tieProgram(filepath.Join(programs, "kube-apiserver")); err != nil {
		return err
	}
	for path, folder := range map[string]*string{"data": &etcd.DataDir, "certificates": &apiServer.CertDir} {
		*folder = filepath.Join(c.folder, path)
		if err := os.Mkdir(*folder, 0o700); err != nil {
			return fmt.Errorf("prepare the control plane: %w", err)
		}
	}
	// Nothing of this outlives the tests, so nothing has to reach the disk.
	etcd.Configure().Set("unsafe-no-fsync", "true")
	for flag, value := range options.APIServerFlags {
		apiServer.Configure().Set(flag, value)
	}
	useExisting := false
	c.environment = &envtest.Environment{
		// Never the cluster that a developer's kubeconfig points to, whatever
		// USE_EXISTING_CLUSTER says.
		UseExistingCluster:       &useExisting,
		BinaryAssetsDirectory:    programs,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  stopTimeout,
		CRDInstallOptions: envtest.CRDInstallOptions{
			Paths:              []string{cmp.Or(options.CRDs, filepath.Join(root, "config", "crd", "bases"))},
			ErrorIfPathMissing: true,
			MaxTime:            startTimeout,
		},
	}
	c.environment.ControlPlane.Etcd = etcd
	c.environment.ControlPlane.APIServer = apiServer
	return nil
}

// runPrograms starts the programs and waits until the CRDs are served.
func (c *Cluster) runPrograms(ctx context.Context) error {
	etcdLog, err := os.Create(filepath.Join(c.folder, "etcd.log"))
	if err != nil {
		return fmt.Errorf("prepare the control plane: %w", err)
	}
	apiServerLog, err := os.Create(filepath.Join(c.folder, "kube-apiserver.log"))
	if err != nil {
		return errors.Join(fmt.Errorf("prepare the control plane: %w", err), etcdLog.Close())
	}
	// The programs have descriptors of their own once they run.
	defer func() { _ = etcdLog.Close(); _ = apiServerLog.Close() }()

	etcd, apiServer := c.environment.ControlPlane.Etcd, c.environment.ControlPlane.APIServer
	etcd.Out, etcd.Err = etcdLog, etcdLog
	apiServer.Out, apiServer.Err = apiServerLog, apiServerLog

	// envtest knows no context and tries five times. Without programs each of
	// the tries ends at once.
	scripts := []string{etcd.Path, apiServer.Path}
	abandon := context.AfterFunc(ctx, func() {
		for _, script := range scripts {
			_ = os.Remove(script)
		}
		_ = c.leash.release()
	})
	_, err = c.environment.Start()
	if !abandon() {
		return fmt.Errorf("start the control plane: %w", ctx.Err())
	}
	if err != nil && c.environment.Config == nil {
		return fmt.Errorf("start the control plane: %w%s%s", err, lastLines(etcdLog.Name()), lastLines(apiServerLog.Name()))
	}
	if err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	return nil
}

// lastLines returns the last lines of a log under a heading, or nothing.
func lastLines(path string) string {
	content, err := os.ReadFile(path)
	content = bytes.TrimSpace(content)
	if err != nil || len(content) == 0 {
		return ""
	}
	lines := bytes.Split(content, []byte("\n"))
	lines = lines[max(0, len(lines)-shownLines):]
	return fmt.Sprintf("\nlast lines of %s:\n%s", filepath.Base(path), bytes.Join(lines, []byte("\n")))
}
