// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cluster

import (
	"context"
	"errors"
)

// Start fails: a node needs Linux.
func Start(context.Context, Options) (*Cluster, error) {
	return nil, errors.New("a node of its own needs Linux; see Use")
}
