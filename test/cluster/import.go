// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cluster

import (
	"context"
	"errors"
	"os/exec"
	"strings"

	"k8s.io/apimachinery/pkg/util/wait"
)

// importImage imports an archive into containerd, and waits until that part of it
// knows the images which serves the kubelet: it learns of them by an event.
func importImage(ctx context.Context, archive string) error {
	if err := runCommand(ctx, "ctr", "--namespace=k8s.io", "images", "import", archive); err != nil {
		return err
	}
	err := wait.PollUntilContextTimeout(ctx, pollPause, startTimeout, true, func(ctx context.Context) (bool, error) {
		output, err := exec.CommandContext(ctx, "ctr", "--namespace=k8s.io", "images", "list").Output()
		if err != nil {
			return false, err
		}
		_, images, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
		for image := range strings.Lines(images) {
			if !strings.Contains(image, "io.cri-containerd.image=managed") {
				return false, nil
			}
		}
		return true, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return errors.New("containerd does not take it over")
	}
	return err
}
