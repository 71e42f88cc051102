// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	commonmodel "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// scrape is what an operator has answered.
type scrape []*dto.MetricFamily

// scrapeOperator asks an operator for its own metrics.
func scrapeOperator(ctx context.Context, address string) (scrape, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	textParser := expfmt.NewTextParser(commonmodel.LegacyValidation)
	families, err := textParser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, err
	}
	var own scrape
	for name, family := range families {
		if strings.HasPrefix(name, "coder_session_operator_") {
			own = append(own, family)
		}
	}
	return own, nil
}

// sum is that of the values of a metric.
func (s scrape) sum(name string) (sum float64) {
	for _, family := range s {
		if family.GetName() == "coder_session_operator_"+name {
			for _, metric := range family.GetMetric() {
				sum += metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// hasMetric looks whether an operator's metric adds up to at least a number.
func hasMetric(address, name string, least float64) wait.Check {
	return func(ctx context.Context) error {
		scraped, err := scrapeOperator(ctx, address)
		if err != nil {
			return err
		}
		if sum := scraped.sum(name); sum < least {
			return fmt.Errorf("%s is %v, want at least %v", name, sum, least)
		}
		return nil
	}
}

const (
	// alertWindow is longer than any alert waits until it fires.
	alertWindow = 90 * time.Minute
	// alertInterval is the time between two scrapes, and between two evaluations.
	alertInterval = time.Minute
)

// findFiring returns which alerts fire at any time of a window that ends at a time. Its first samples have the values
// of one scrape, those from a third of it on the values of another one.
func findFiring(t *testing.T, all []rule, earlier, later scrape, end time.Time) map[string]bool {
	t.Helper()
	db := openDatabase(t)
	for ago := alertWindow; ago >= 0; ago -= alertInterval {
		values := later
		if ago > alertWindow*2/3 {
			values = earlier
		}
		appendFamilies(t, db.Appender(t.Context()), values, end.Add(-ago))
	}
	return findFiringIn(t, all, db, end)
}

// findFiringIn returns which alerts fire at any time of the window that ends at a time, on what a database has.
func findFiringIn(t *testing.T, all []rule, db *tsdb.DB, end time.Time) map[string]bool {
	t.Helper()
	query := rules.EngineQueryFunc(promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute}), db)
	firing := map[string]bool{}
	for _, r := range all {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		hold, err := commonmodel.ParseDuration(r.For)
		if err != nil {
			t.Fatal(err)
		}
		none := labels.EmptyLabels()
		alert := rules.NewAlertingRule(r.Alert, expression, time.Duration(hold), 0, none, none, none, "", true,
			slog.New(slog.DiscardHandler))
		for ago := alertWindow; ago >= 0; ago -= alertInterval {
			if _, err := alert.Eval(t.Context(), 0, end.Add(-ago), query, nil, 0); err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
			alert.SetEvaluationTimestamp(end.Add(-ago))
			firing[r.Alert] = firing[r.Alert] || alert.State() == rules.StateFiring
		}
	}
	return firing
}
