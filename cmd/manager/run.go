// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	goruntime "runtime"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/metricsauth"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// +kubebuilder:rbac:groups="",resources=namespaces,resourceNames=kube-system,verbs=get

// run starts the manager and returns when ctx ends or something fails.
func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.showVersion {
		_, err := fmt.Println(version)
		return err
	}
	setLogger(o)
	limitMemory(os.Getenv)
	kube, err := kubeConfig(o)
	if err != nil {
		return err
	}
	namespace := ownNamespace(o)
	mgr, err := newManager(kube, o, namespace)
	if err != nil {
		return err
	}
	recorder := metrics.New(ctrlmetrics.Registry)
	recorder.BuildInfo(version, goruntime.Version())
	if err := addControllers(ctx, mgr, o, namespace, recorder); err != nil {
		return err
	}
	if err := addWebhook(ctx, mgr, &o.webhook, namespace, recorder); err != nil {
		return err
	}
	if err := addProbes(mgr); err != nil {
		return err
	}
	release := memoryRelease{clock: clock.RealClock{}, usage: memoryUsage, release: debug.FreeOSMemory}
	if err := mgr.Add(release); err != nil {
		return fmt.Errorf("add the release of memory: %w", err)
	}
	return mgr.Start(ctx)
}

// setLogger wraps every logger of the process in the sink that redacts credentials.
func setLogger(o *options) {
	logger := zap.New(zap.UseFlagOptions(&o.zap))
	logger = logr.New(redact.Sink(logger.GetSink()))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
}

// kubeConfig loads the client configuration from the usual sources: flag, environment, service
// account, home.
func kubeConfig(o *options) (*rest.Config, error) {
	kube, err := config.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("no Kubernetes API server is known: run in a cluster, or name a kubeconfig with "+
			"--kubeconfig: %w", err)
	}
	if err := registerRootsFor(kube); err != nil {
		return nil, err
	}
	kube.QPS, kube.Burst = float32(o.qps), o.burst
	kube.UserAgent = "coder-session-operator/" + version
	return kube, nil
}

// addKinds registers the kinds that the operator reads and writes. Each further group takes memory.
func addKinds(scheme *runtime.Scheme) error {
	return errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme),
		admissionregistrationv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
}

func newManager(kube *rest.Config, o *options, namespace string) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := addKinds(scheme); err != nil {
		return nil, err
	}
	metricsOptions := server.Options{
		BindAddress: o.metricsAddress, SecureServing: o.metricsSecure, CertDir: o.metricsCertDir,
	}
	if o.metricsSecure {
		metricsOptions.FilterProvider = metricsauth.FilterProvider(clock.RealClock{})
	}
	// A stopping process finishes its current work, then releases the lease.
	grace := 40 * time.Second
	mgr, err := ctrl.NewManager(kube, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(o.watchNamespaces, o.selector),
		Client:                        client.Options{FieldOwner: controllers.FieldOwner},
		Metrics:                       metricsOptions,
		HealthProbeBindAddress:        o.probeAddress,
		PprofBindAddress:              o.pprofAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              o.leaseName(),
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
	})
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	return mgr, nil
}

func addControllers(
	ctx context.Context, mgr ctrl.Manager, o *options, namespace string, recorder *metrics.Metrics,
) error {
	direct, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	cluster, err := clusterID(ctx, direct, o)
	if err != nil {
		return err
	}
	key, err := fingerprint.LoadOrCreate(ctx, direct, namespace, fingerprint.SecretName, rand.Reader)
	if err != nil {
		return err
	}
	ctrl.Log.Info("starting", "version", version, "cluster", cluster, "namespaces", o.watchNamespaces, "selector",
		o.selector.String())
	check := &policyCheck{prefix: o.admissionPolicies, reader: direct, clock: clock.RealClock{}, metrics: recorder}
	if err := mgr.Add(check); err != nil {
		return fmt.Errorf("add the check of the admission policies: %w", err)
	}
	pool, err := controllers.Setup(ctx, mgr, controllers.Options{
		Key:               key,
		Cluster:           cluster,
		Clock:             clock.RealClock{},
		Jitter:            jitter,
		Metrics:           recorder,
		Roots:             systemRoots,
		UserAgent:         "coder-session-operator/" + version,
		Addresses:         coder.NewAddresses(o.deniedAddresses, o.allowedAddresses),
		RevocationTimeout: o.revocationTimeout,
		OrphanGrace:       o.orphanGrace,
		MaxConcurrent:     o.concurrent,
		NamespaceLabels:   len(o.watchNamespaces) == 0,
		Namespaces:        o.watchNamespaces,
		AdmissionKinds:    watchedAdmissionKinds(ctx, direct, o.watchNamespaces),
		Selector:          o.selector,
		ServesPods:        o.webhook.perPod,
		RedirectURIs:      o.redirectURIs(),
		Random:            rand.Reader,
		Instance:          uuid.NewString(),
	})
	if err != nil {
		return err
	}
	return addCallback(mgr, o, callback.Options{
		Objects: mgr.GetClient(),
		Grants:  grant.NewStore(direct, mgr.GetClient()),
		Pool:    pool,
		Key:     key,
		Served:  recorder.CallbackServed,
	})
}

// jitter returns a random duration in [0, d).
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return mathrand.N(d)
}

// addProbes adds liveness (the process serves) and readiness (its caches are synced, so that it can
// take over immediately).
func addProbes(mgr ctrl.Manager) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return mgr.AddReadyzCheck("caches", func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("caches are not synced")
		}
		return nil
	})
}
