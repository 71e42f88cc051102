// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
)

// nameLabel is the label that holds the name of a metric.
const nameLabel = "__name__"

// recorded is the time of the last sample.
var recorded = time.Unix(1_900_000_000, 0)

// recordAll records every metric once, some of them n times.
func recordAll(m *metrics.Metrics, n int) {
	const namespace, name = "coder", "prod"
	m.AdmissionPoliciesInstalled(true)
	m.BuildInfo("v1.2.3", "go1.26")
	m.SetWebhookCertificateEnd(func() time.Time { return recorded.Add(time.Hour) })
	m.SetSources(metrics.Sources{
		Now: func() time.Time { return recorded }, Leads: func() bool { return true },
		WaitingPods: func() []metrics.WaitingPod {
			return []metrics.WaitingPod{{Namespace: namespace, Deployment: name, Created: recorded}}
		},
		Tokens: func() []metrics.Token {
			end := recorded.Add(time.Hour)
			return []metrics.Token{
				{Namespace: namespace, Deployment: name, End: end, Renewal: recorded.Add(time.Minute)},
				{Namespace: namespace, Deployment: name, End: end},
			}
		},
		Controllers: func() []metrics.Controller {
			return []metrics.Controller{{Name: "sessions", ProgressTime: recorded, Waiting: 1, Namespaces: 1, LargestShare: 1}}
		},
		Streams: func() map[string]int { return map[string]int{"Connected": 1} },
	})
	m.Sessions(namespace, name, map[string]int{"Active": 1, "Suspended": 1})
	m.DeploymentReady(namespace, name, true)
	m.CertificateNotAfter(namespace, name, recorded.Add(time.Hour))
	m.OperatorTokenExpires(namespace, name, recorded.Add(time.Hour))
	m.ClockSkew(namespace, name, time.Second)
	m.ServerSlow(namespace, name, true)
	m.OrphanedTokens(namespace, name, 1)
	for range n {
		m.Verified(namespace, name, "Verified")
		m.Requested(namespace, name, "me", "ok", time.Second)
		m.Minted(namespace, name)
		m.Revoked(namespace, name)
		m.RevocationsAbandoned(namespace, name, 1)
		m.SecretWritten("create")
		m.SettlingBurst(namespace, name, recorded)
		m.SettingsAccepted(namespace, name, recorded.Add(time.Second))
		m.SilentRetry(namespace, name)
		m.Restarted(namespace, name)
		m.TokenPublished(namespace, name, time.Second)
		m.OrphanRevoked(namespace, name)
		m.Retired(namespace, name, "Idle")
		m.CallbackServed("Done")
		m.APIRequestRefused("Forbidden")
	}
}

// openDatabase returns an empty database.
func openDatabase(t *testing.T) *tsdb.DB {
	t.Helper()
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// newDatabase returns a database with two samples of every metric, a minute apart.
func newDatabase(t *testing.T) *tsdb.DB {
	t.Helper()
	db := openDatabase(t)
	for n, at := range []time.Time{recorded.Add(-time.Minute), recorded} {
		registry := prometheus.NewRegistry()
		recordAll(metrics.New(registry), n+1)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		appendFamilies(t, db.Appender(context.Background()), families, at)
	}
	return db
}

// appendFamilies appends and commits the samples of one scrape.
func appendFamilies(t *testing.T, into storage.Appender, families []*dto.MetricFamily, at time.Time) {
	t.Helper()
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			appendMetric(t, into, family.GetName(), metric, at)
		}
	}
	if err := into.Commit(); err != nil {
		t.Fatal(err)
	}
}

// appendMetric appends the samples that a scrape gives.
func appendMetric(t *testing.T, into storage.Appender, name string, metric *dto.Metric, at time.Time) {
	t.Helper()
	one := func(name string, value float64, more ...string) {
		pairs := append([]string{nameLabel, name}, more...)
		for _, label := range metric.GetLabel() {
			pairs = append(pairs, label.GetName(), label.GetValue())
		}
		if _, err := into.Append(0, labels.FromStrings(pairs...), at.UnixMilli(), value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	histogram := metric.GetHistogram()
	if histogram == nil {
		one(name, metric.GetGauge().GetValue()+metric.GetCounter().GetValue())
		return
	}
	one(name+"_count", float64(histogram.GetSampleCount()))
	one(name+"_sum", histogram.GetSampleSum())
	for _, bucket := range histogram.GetBucket() {
		bound, _ := json.Marshal(bucket.GetUpperBound())
		one(name+"_bucket", float64(bucket.GetCumulativeCount()), "le", string(bound))
	}
	one(name+"_bucket", float64(histogram.GetSampleCount()), "le", "+Inf")
}

// Each query of the dashboard gives an answer of Prometheus' engine when the operator has recorded all
// metrics.
func TestEachPanelHasAnAnswer(t *testing.T) {
	db := newDatabase(t)
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute})
	queries := readDashboard(t).queries()
	if len(queries) < 20 {
		t.Fatalf("%d panels have queries", len(queries))
	}
	for title, all := range queries {
		for _, text := range all {
			query, err := engine.NewInstantQuery(context.Background(), db, nil, text, recorded)
			if err != nil {
				t.Errorf("%s: %s: %v", title, text, err)
				continue
			}
			result := query.Exec(context.Background())
			vector, err := result.Vector()
			if err != nil || len(vector) == 0 {
				t.Errorf("%s: %s gives %v, %v", title, text, result, err)
			}
			query.Close()
		}
	}
}

// Each metric that alerts and dashboard name is one that the operator registers: also behind an "or".
func TestEachMetricExists(t *testing.T) {
	db := newDatabase(t)
	querier, err := db.Querier(0, recorded.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = querier.Close() }()
	names, _, err := querier.LabelValues(context.Background(), nameLabel, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	queries := readDashboard(t).queries()
	_, rules := renderRules(t)
	for _, rule := range rules {
		queries[rule.Alert] = append(queries[rule.Alert], rule.Expr)
	}
	promParser := parser.NewParser(parser.Options{})
	for title, all := range queries {
		for _, text := range all {
			expression, err := promParser.ParseExpr(text)
			if err != nil {
				t.Errorf("%s: %v", title, err)
				continue
			}
			parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
				if selector, is := node.(*parser.VectorSelector); is && !known[selector.Name] {
					t.Errorf("%s: there is no metric %s", title, selector.Name)
				}
				return nil
			})
		}
	}
}
