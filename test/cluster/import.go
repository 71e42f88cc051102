// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// importImage imports an archive into containerd, and waits until that part of it
// knows the images which serves the kubelet: it learns of them by an event.
func importImage(ctx context.Context, archive string) error {
	if err := runCommand(ctx, "ctr", "--namespace=k8s.io", "images", "import", archive); err != nil {
		return err
	}
	err := wait.Until(ctx, startTimeout, pollPause, func(ctx context.Context) error {
		output, err := exec.CommandContext(ctx, "ctr", "--namespace=k8s.io", "images", "list").Output()
		if err != nil {
			return wait.Final(err)
		}
		_, images, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
		for image := range strings.Lines(images) {
			if !strings.Contains(image, "io.cri-containerd.image=managed") {
				return fmt.Errorf("not managed yet: %s", strings.TrimSpace(image))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait until containerd knows the images of %s: %w", archive, err)
	}
	return nil
}
