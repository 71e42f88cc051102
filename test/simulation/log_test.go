// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"context"
	"fmt"

	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// ctx returns a context with a logger that records every message unredacted, so that the test
// does not depend on the redaction in the manager's logger (B90).
func (w *simWorld) ctx() context.Context {
	heard := func(prefix, args string) {
		w.sync()
		w.count.lines++
		w.tracef("  log %s %s", prefix, args)
		w.secretless("the log", prefix+args)
	}
	return log.IntoContext(context.Background(), funcr.New(heard, funcr.Options{Verbosity: 100}))
}

// searchMetrics searches the metrics of one process of the operator for credentials (B90).
func (p *simOperator) searchMetrics() {
	families, err := p.measured.Gather()
	if err != nil {
		p.w.fail("metrics: %v", err)
	}
	for _, family := range families {
		p.w.secretless("a metric", fmt.Sprint(family))
	}
}
