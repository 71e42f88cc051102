// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// loadVariable has the command that gives an image to the nodes of a cluster of Use.
const loadVariable = "E2E_LOAD_IMAGE"

// Use returns a cluster that is there already. It is not to be entered. Its
// LoadImage runs the command in E2E_LOAD_IMAGE, such as "kind load image-archive",
// with the archive as the last argument; where the variable is not set, the image
// has to be where the nodes pull it from. Of the options Programs and Logf are
// looked at; kubectl comes from Programs, or from PATH.
func Use(ctx context.Context, kubeconfig string, options Options) (*Cluster, error) {
	c := &Cluster{Kubeconfig: kubeconfig, halt: func() error { return nil }}
	if err := c.readKubeconfig(); err != nil {
		return nil, err
	}
	clients, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Server, err)
	}
	nodes, err := clients.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("look for a node of %s: %w", c.Server, err)
	}
	if len(nodes.Items) == 0 {
		return nil, fmt.Errorf("%s has no node", c.Server)
	}
	c.NodeName = nodes.Items[0].Name
	if c.Kubectl, err = findKubectl(options.Programs); err != nil {
		return nil, err
	}
	c.loadImage = loadByCommand(strings.Fields(os.Getenv(loadVariable)))
	options.logProgress("using the cluster at %s", c.Server)
	return c, nil
}

func findKubectl(programs string) (string, error) {
	if path := filepath.Join(programs, "kubectl"); programs != "" {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("kubectl")
	if err != nil {
		return "", errors.New("there is no kubectl in the programs' folder and none in PATH: run `make kube`")
	}
	return path, nil
}

// loadByCommand is LoadImage by a command in words, or by nothing.
func loadByCommand(words []string) func(context.Context, string) error {
	return func(ctx context.Context, archive string) error {
		if len(words) == 0 {
			return nil
		}
		return runCommand(ctx, words[0], append(words[1:len(words):len(words)], archive)...)
	}
}

// runCommand runs a command, whose output is returned in the error if it fails.
func runCommand(ctx context.Context, name string, arguments ...string) error {
	output, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(output)))
	}
	return nil
}

func (o Options) logProgress(format string, args ...any) {
	if o.Logf != nil {
		o.Logf(format, args...)
	}
}
