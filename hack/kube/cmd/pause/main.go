// SPDX-License-Identifier: Apache-2.0

// Pause holds a pod's namespaces open: it is the first process of every pod on the nodes of
// test/cluster.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
