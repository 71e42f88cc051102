// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package isolate

import (
	"errors"
	"fmt"
	"runtime"
)

// Enter says that there are no namespaces.
func Enter() error {
	return fmt.Errorf("a node of its own needs Linux, and this is %s", runtime.GOOS)
}

// Inside is false: there are no namespaces.
func Inside() bool { return false }

// CgroupRoot is empty: there are no cgroups.
func CgroupRoot() string { return "" }

// MakeCgroup fails: there are no cgroups.
func MakeCgroup() error { return errors.ErrUnsupported }

// CleanUp has nothing to do.
func CleanUp() error { return nil }
