// SPDX-License-Identifier: Apache-2.0

package inprocess

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
)

// Cluster is the cluster id in the names of tokens, where Options have none.
const Cluster = "testing1"

// fingerprintKey is the same for all operators, as it is for the replicas of one.
const fingerprintKey = "a key for tests that is 32 bytes"

// Options of an operator. Config and Scheme are required.
type Options struct {
	// Config to connect to the API server with. It is copied.
	Config *rest.Config
	Scheme *runtime.Scheme
	// Namespaces to watch; none: all of them, and their labels.
	Namespaces []string
	// Selector of the objects to work on; nil: all.
	Selector labels.Selector
	// WrapTransport wraps the transport to the API server; nil: it stays as it is.
	WrapTransport func(http.RoundTripper) http.RoundTripper
	// Logger of the operator; zero: controller-runtime's.
	Logger logr.Logger
	// Clock of the controllers; nil: the real one.
	Clock controllers.Clock
	// Cluster is the cluster id in the names of tokens; empty: the constant.
	Cluster string
	// FingerprintKey has 32 bytes; empty: the key of all operators in tests.
	FingerprintKey string
	// UserAgent and Instance are by default "test" and where it takes callbacks.
	UserAgent, Instance string
	// RevocationTimeout and OrphanGrace are 3 s and 1 s by default.
	RevocationTimeout, OrphanGrace time.Duration
	// ServesPods enables perPod.
	ServesPods bool
	// WithoutCallbacks starts no server for OAuth callbacks.
	WithoutCallbacks bool
}

// Operator is a running operator.
type Operator struct {
	// RedirectURIs of OAuth, the first one for people.
	RedirectURIs []string
	// Registry of its metrics.
	Registry *prometheus.Registry

	cancel    context.CancelFunc
	callbacks *httptest.Server // nil: none
	ended     chan error
	stop      sync.Once
	err       error
}

// Start starts an operator with an empty memory.
func Start(o Options) (*Operator, error) {
	config := rest.CopyConfig(o.Config)
	if o.WrapTransport != nil {
		config.Wrap(o.WrapTransport)
	}
	mgr, err := NewManager(config, o.Scheme, o.Logger, controllers.CacheOptions(o.Namespaces, o.Selector))
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	operator := &Operator{Registry: prometheus.NewRegistry(), ended: make(chan error, 1)}
	address, err := operator.prepareCallbacks(o)
	if err != nil {
		return nil, err
	}
	options, err := controllerOptions(o, operator)
	if err != nil {
		return nil, err
	}
	options.Instance = cmp.Or(o.Instance, address)
	ctx, cancel := context.WithCancel(context.Background())
	operator.cancel = cancel
	pool, err := controllers.Setup(ctx, mgr, options)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("set the controllers up: %w", err)
	}
	if operator.callbacks != nil {
		operator.callbacks.Config.Handler = callback.New(callback.Options{
			Objects: mgr.GetClient(), Grants: grant.NewStore(mgr.GetAPIReader(), mgr.GetClient()),
			Pool: pool, Clock: clock.RealClock{}, Key: options.Key,
		})
		operator.callbacks.Start()
	}
	go func() { operator.ended <- mgr.Start(ctx) }()
	return operator, nil
}

// NewManager makes a manager as the operator has it, without a server for metrics. Further ones in
// the same process do no harm.
func NewManager(
	config *rest.Config, scheme *runtime.Scheme, logger logr.Logger, options cache.Options,
) (ctrl.Manager, error) {
	return ctrl.NewManager(config, ctrl.Options{
		Scheme:     scheme,
		Logger:     logger,
		Cache:      options,
		Client:     client.Options{FieldOwner: controllers.FieldOwner},
		Metrics:    server.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: ptr.To(true)},
	})
}

// prepareCallbacks chooses where callbacks are taken, and returns the address.
func (o *Operator) prepareCallbacks(options Options) (address string, err error) {
	if options.WithoutCallbacks {
		o.RedirectURIs = grant.RedirectURIs("")
		return "", nil
	}
	o.callbacks = httptest.NewUnstartedServer(nil)
	address = o.callbacks.Listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("find the port of callbacks: %w", err)
	}
	o.RedirectURIs = grant.RedirectURIs("http://localhost:" + port + grant.CallbackPath)
	return address, nil
}

func controllerOptions(o Options, operator *Operator) (controllers.Options, error) {
	key, err := fingerprint.NewKey([]byte(cmp.Or(o.FingerprintKey, fingerprintKey)))
	if err != nil {
		return controllers.Options{}, err
	}
	now := o.Clock
	if now == nil {
		now = clock.RealClock{}
	}
	return controllers.Options{
		Key: key, Cluster: cmp.Or(o.Cluster, Cluster), Clock: now,
		Jitter:  func(time.Duration) time.Duration { return 0 },
		Metrics: metrics.New(operator.Registry), Roots: NoRoots, UserAgent: cmp.Or(o.UserAgent, "test"),
		RevocationTimeout: cmp.Or(o.RevocationTimeout, 3*time.Second),
		OrphanGrace:       cmp.Or(o.OrphanGrace, time.Second),
		MaxConcurrent:     4, Namespaces: o.Namespaces, NamespaceLabels: len(o.Namespaces) == 0,
		AdmissionKinds: admissionKinds(o.Namespaces),
		RedirectURIs:   operator.RedirectURIs, Random: rand.Reader, ServesPods: o.ServesPods, Selector: o.Selector,
	}, nil
}

// admissionKinds are those of the API server that tests use. An operator of single namespaces does not see them.
func admissionKinds(namespaces []string) (kinds []schema.GroupVersionKind) {
	if len(namespaces) > 0 {
		return nil
	}
	for _, kind := range []string{
		"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
	} {
		kinds = append(kinds, admissionregistrationv1.SchemeGroupVersion.WithKind(kind))
	}
	return kinds
}

// Cancel tells the operator to end, and does not wait for it.
func (o *Operator) Cancel() { o.cancel() }

// Stop ends the operator and waits until everything has ended. Further calls return what the first
// one did.
func (o *Operator) Stop() error {
	o.stop.Do(func() {
		o.cancel()
		if o.callbacks != nil {
			o.callbacks.Close()
		}
		if o.err = <-o.ended; o.err != nil {
			o.err = fmt.Errorf("the operator ended with: %w", o.err)
		}
	})
	return o.err
}

// NoRoots are the system's root certificates of a machine that trusts nothing by itself.
func NoRoots() (*x509.CertPool, error) { return x509.NewCertPool(), nil }

// RoundTripper is a function that sends requests.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
