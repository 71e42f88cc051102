// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/internal/webhook"
	"github.com/coder-session-operator/coder-session-operator/internal/webhook/serving"
)

// The generated certificate's Secret, in the operator's namespace, needs create, list, watch and
// update of Secrets, which the controllers have. With --webhook-cert-dir neither is needed.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=coder-session-operator-webhook,verbs=list;watch;patch

// webhookOptions are the flags of the pod webhook.
type webhookOptions struct {
	enabled bool
	address string
	certDir string
	name    string
	unknown string
	perPod  bool
}

func (o *webhookOptions) registerFlags(set *flag.FlagSet) {
	set.BoolVar(&o.enabled, "enable-webhooks", false,
		"serve the webhook that mounts a session's Secret into pods that ask for it; every replica does")
	set.StringVar(&o.address, "webhook-bind-address", ":9443", "address of the webhook")
	set.StringVar(&o.certDir, "webhook-cert-dir", "", "folder with the webhook's tls.crt and tls.key, which an "+
		"external tool such as cert-manager renews; default: the operator makes and renews them in a Secret of its own")
	set.StringVar(&o.name, "webhook-name", "coder-session-operator-webhook",
		"name of the webhook's Service and MutatingWebhookConfiguration, and with -cert appended of the Secret of "+
			"the operator's own certificate")
	set.StringVar(&o.unknown, "webhook-unknown-session", string(webhook.RefuseUnknown),
		"what becomes of a pod that asks for a session that does not exist: Refuse, or Admit with a warning")
	set.BoolVar(&o.perPod, "pod-sessions", false,
		"give each pod that asks for a session with perPod a session of its own, for as long as the pod lives; it "+
			"needs --enable-webhooks, and the right to watch pods and to create and delete sessions")
}

// checkFlags reports all errors of the flags.
func (o *webhookOptions) checkFlags(fault func(format string, args ...any)) {
	if _, _, err := o.splitAddress(); err != nil {
		fault("--webhook-bind-address: write an address with a port from 1 to 65535, such as :9443")
	}
	if problems := validation.IsDNS1035Label(o.name); len(problems) > 0 {
		fault("--webhook-name: %q is no name of a Service: %s", o.name, problems[0])
	}
	if o.perPod && !o.enabled {
		fault("--pod-sessions: write --enable-webhooks too, because the webhook mounts the Secrets")
	}
	if unknown := webhook.UnknownSession(o.unknown); unknown != webhook.RefuseUnknown &&
		unknown != webhook.AdmitUnknown {
		fault("--webhook-unknown-session: write %s or %s", webhook.RefuseUnknown, webhook.AdmitUnknown)
	}
}

func (o *webhookOptions) splitAddress() (string, int, error) {
	host, text, err := net.SplitHostPort(o.address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err == nil && port == 0 {
		err = strconv.ErrRange
	}
	return host, int(port), err
}

// serviceHosts are the DNS names of the webhook's Service.
func (o *webhookOptions) serviceHosts(namespace string) []string {
	service := o.name + "." + namespace + ".svc"
	return []string{service, service + ".cluster.local"}
}

// addWebhook serves the pod webhook on every replica, leader or not. A replica is not ready until
// it can answer requests of the API server.
func addWebhook(
	ctx context.Context, mgr ctrl.Manager, o *webhookOptions, namespace string, recorder *metrics.Metrics,
) error {
	if !o.enabled {
		return nil
	}
	host, port, err := o.splitAddress()
	if err != nil {
		return fmt.Errorf("--webhook-bind-address: %w", err)
	}
	options := ctrlwebhook.Options{Host: host, Port: port, CertDir: o.certDir}
	check := func(*http.Request) error { return nil }
	if o.certDir != "" {
		if err := o.checkCertDir(); err != nil {
			return err
		}
		file := filepath.Join(o.certDir, corev1.TLSCertKey)
		recorder.SetWebhookCertificateEnd(func() time.Time { return serving.EndOfFile(file) })
	} else {
		certificates, err := serving.Setup(ctx, mgr, serving.Options{
			Name: o.name, Namespace: namespace, Hosts: o.serviceHosts(namespace), Clock: clock.RealClock{},
			Random: rand.Reader,
		})
		if err != nil {
			return err
		}
		check = certificates.Check
		recorder.SetWebhookCertificateEnd(certificates.End)
		options.TLSOpts = []func(*tls.Config){certificates.Use}
	}
	server := ctrlwebhook.NewServer(options)
	var names io.Reader
	if o.perPod {
		names = rand.Reader
	}
	server.Register(webhook.Path, &admission.Webhook{Handler: webhook.NewHandler(webhook.Options{
		Cache: mgr.GetClient(), Server: mgr.GetAPIReader(), Decoder: admission.NewDecoder(mgr.GetScheme()),
		UnknownSession: webhook.UnknownSession(o.unknown), Random: names,
	})})
	if err := mgr.Add(server); err != nil {
		return fmt.Errorf("add the webhook: %w", err)
	}
	serves := server.StartedChecker()
	return mgr.AddReadyzCheck("webhook", func(req *http.Request) error {
		if err := check(req); err != nil {
			return err
		}
		return serves(req)
	})
}

// checkCertDir returns an error if a file is missing. Whether certificate and key match is checked
// when they are loaded.
func (o *webhookOptions) checkCertDir() error {
	for _, name := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if _, err := os.Stat(filepath.Join(o.certDir, name)); err != nil {
			return fmt.Errorf("--webhook-cert-dir: write a folder with %s and %s: %w", corev1.TLSCertKey,
				corev1.TLSPrivateKeyKey, err)
		}
	}
	return nil
}
