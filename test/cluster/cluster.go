// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/coder-session-operator/coder-session-operator/test/cluster/internal/isolate"
)

// Options of a cluster. Only Programs has to be set.
type Options struct {
	// Programs is the folder that `hack/kube/build.sh cluster` fills.
	Programs string
	// Folder takes the programs' logs (in logs), keys and configuration; it is made
	// where it is missing and stays. Empty: one in memory, which goes with Stop.
	Folder string
	// Logf says what is being done. Nil: nothing is said.
	Logf func(format string, args ...any)
	// KubeletSync is how often the kubelet looks after a pod without being asked, and
	// with that how long a changed Secret may take to reach a volume. Zero: a
	// minute, as on any node.
	KubeletSync time.Duration
}

// Cluster is a running cluster. Its fields are for reading; all of it may be used by
// several goroutines at a time.
type Cluster struct {
	// Kubeconfig is the path of the admin's kubeconfig.
	Kubeconfig string
	// Config says the same, without a rate limit of the client's own. Copy it before
	// changing it.
	Config *rest.Config
	// Server is the API server's URL.
	Server string
	// NodeName is the name of the node, or of one where there are several.
	NodeName string
	// Kubectl is the path of the kubectl program.
	Kubectl string

	loadImage func(ctx context.Context, archive string) error
	halt      func() error
	stop      sync.Once
	stopped   error
}

// Enter continues the program in namespaces of its own, in which Start works. In the
// process that called it first it does not return, unless with an error that says
// what is missing: it waits, passes on signals, cleans up and exits with the code of
// the program inside. So main calls it before anything else, TestMain before m.Run.
func Enter() error { return isolate.Enter() }

// LoadImage gives the image of a docker-archive (`docker save`, `buildah push
// docker-archive:`, WriteImage) to the node, under the name that the archive has.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	if err := c.loadImage(ctx, archive); err != nil {
		return fmt.Errorf("load the image of %s: %w", archive, err)
	}
	return nil
}

// Stop ends all processes, those in pods too, and removes all that they wrote, save
// for Options.Folder. Another cluster can be started afterwards. Further calls return
// what the first one did. For a cluster of Use it does nothing.
func (c *Cluster) Stop() error {
	c.stop.Do(func() {
		if err := c.halt(); err != nil {
			c.stopped = fmt.Errorf("stop the cluster: %w", err)
		}
	})
	return c.stopped
}

// readKubeconfig reads the kubeconfig.
func (c *Cluster) readKubeconfig() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig %s: %w", c.Kubeconfig, err)
	}
	config.QPS = -1
	c.Config, c.Server = config, config.Host
	return nil
}
