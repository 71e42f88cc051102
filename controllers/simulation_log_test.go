// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// ctx carries a log that hears everything, as it was said: what the manager's log takes out of it is not relied on (B90).
func (w *simWorld) ctx() context.Context {
	heard := func(prefix, args string) {
		w.sync()
		w.count.lines++
		w.tracef("  log %s %s", prefix, args)
		w.secretless("the log", prefix+args)
	}
	return log.IntoContext(context.Background(), funcr.New(heard, funcr.Options{Verbosity: 100}))
}

// searchMetrics looks for credentials in what one process of the operator has measured (B90).
func (p *simOperator) searchMetrics() {
	families, err := p.measured.Gather()
	if err != nil {
		p.w.fail("metrics: %v", err)
	}
	for _, family := range families {
		p.w.secretless("a metric", fmt.Sprint(family))
	}
}
