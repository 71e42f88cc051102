// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// hasMetric looks whether the sum of the series of a metric is at least a number; of a histogram the count.
func (w *operatorEnv) hasMetric(name string, least float64) wait.Check {
	return func(context.Context) error {
		families, err := w.operator.Registry.Gather()
		if err != nil {
			return err
		}
		var sum float64
		for _, family := range families {
			if strings.TrimPrefix(family.GetName(), "coder_session_operator_") != name {
				continue
			}
			for _, metric := range family.GetMetric() {
				sum += metric.GetGauge().GetValue() + metric.GetCounter().GetValue() +
					float64(metric.GetHistogram().GetSampleCount())
			}
		}
		if sum < least {
			return fmt.Errorf("%s is %v, want at least %v", name, sum, least)
		}
		return nil
	}
}

// Metrics follow what the operator does: a token from the request until it is published, a change of settings
// until it is verified, orphans, and what waits for a worker.
func TestMetricsFollowTheOperator(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	orphan, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "ci-bot", Name: "cso-testing1-0badcafe-7"})
	w.Must(err)
	w.Create(w.newDeployment("prod", withInterval("500ms")), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsReady("ci"), w.hasMetric("token_publish_duration_seconds", 1))
	// What is there when the operator starts is no change.
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Verify.Interval = "600ms" })
	w.Eventually(w.hasMetric("settings_verification_delay_seconds", 1), w.hasMetric("orphaned_tokens_revoked_total", 1),
		w.hasMetric("published_token_expiration_timestamp_seconds", float64(time.Now().Unix())),
		w.hasMetric("controller_progress_timestamp_seconds", float64(time.Now().Unix())), w.hasMetric("leader", 1))
	if w.Coder.AcceptsToken(orphan) {
		t.Error("the orphan is still accepted")
	}
}
