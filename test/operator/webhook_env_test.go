// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers"
	"github.com/coder-session-operator/coder-session-operator/internal/webhook"
	"github.com/coder-session-operator/coder-session-operator/internal/webhook/serving"
	"github.com/coder-session-operator/coder-session-operator/test/inprocess"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// meshPath is another webhook, which adds a container to each pod that has an annotation of that
// name.
const meshPath = "/mesh"

// podWebhook is a running webhook for the pods of the test's namespace.
type podWebhook struct {
	name    string // of the configuration
	address string
}

// webhookSettings are those in which tests differ.
type webhookSettings struct {
	unknown             webhook.UnknownSession
	renewEvery, settled time.Duration
	mesh                bool
	// podNames is the source of the names of pods' own sessions; nil: the webhook serves none.
	podNames io.Reader
}

// serveWebhook starts a manager with the pod webhook, makes the configuration that leads the API
// server to it, and waits until the API server goes there.
func (w *operatorEnv) serveWebhook(s webhookSettings) *podWebhook {
	w.T.Helper()
	if s.unknown == "" {
		s.unknown = webhook.RefuseUnknown
	}
	mgr, err := inprocess.NewManager(w.Cluster.Config, w.Cluster.Scheme, logr.Logger{},
		controllers.CacheOptions([]string{w.Namespace}, nil))
	w.Must(err)
	ctx, cancel := testenv.NewContext()
	for _, kind := range []client.Object{&v1alpha1.CoderSession{}, &v1alpha1.CoderDeployment{}} {
		_, err := mgr.GetCache().GetInformer(ctx, kind)
		w.Must(err)
	}
	p := &podWebhook{name: w.Namespace}
	options := serving.Options{
		Name: p.name, Namespace: w.Namespace, Hosts: []string{"127.0.0.1"}, Clock: clock.RealClock{}, Random: rand.Reader,
		Lifetime: time.Hour, Settle: s.settled,
	}
	if s.renewEvery > 0 {
		options.RenewBefore = options.Lifetime - s.renewEvery
	}
	certificates, err := serving.Setup(ctx, mgr, options)
	w.Must(err)

	mux := http.NewServeMux()
	mux.Handle(webhook.Path, &admission.Webhook{Handler: webhook.NewHandler(webhook.Options{
		Cache: mgr.GetClient(), Server: mgr.GetAPIReader(), Decoder: admission.NewDecoder(w.Cluster.Scheme),
		UnknownSession: s.unknown, Random: s.podNames,
	})})
	mux.Handle(meshPath, &admission.Webhook{Handler: admission.HandlerFunc(addMesh)})
	serve := w.serveHTTPS(certificates, mux)
	p.address = serve.Addr
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.T.Cleanup(func() {
		cancel()
		_ = serve.Close()
		if err := <-ended; err != nil {
			w.T.Errorf("the manager ended with: %v", err)
		}
	})

	w.Create(p.newConfiguration(w.Namespace, s.mesh))
	w.T.Cleanup(func() {
		ctx, cancel := testenv.NewContext()
		defer cancel()
		_ = w.Client.Delete(ctx, p.newConfiguration(w.Namespace, s.mesh))
	})
	w.Eventually(func(ctx context.Context) error {
		// The refusal of a pod that does not say what it wants.
		probe := w.newPod("probe")
		probe.Annotations = nil
		err := w.Client.Create(ctx, probe, client.DryRunAll)
		if err == nil {
			return errors.New("the API server does not ask the webhook")
		}
		return refusedFor(err, "does not say which session")
	})
	return p
}

// serveHTTPS serves HTTPS with the certificates. Each request has a connection of its own, and with
// it a handshake.
func (w *operatorEnv) serveHTTPS(certificates *serving.Certificates, handler http.Handler) *http.Server {
	w.T.Helper()
	config := &tls.Config{}
	certificates.Use(config)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	w.Must(err)
	s := &http.Server{Addr: listener.Addr().String(), Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.SetKeepAlivesEnabled(false)
	go func() { _ = s.Serve(listener) }()
	return s
}

// addMesh adds a container, as a service mesh would.
func addMesh(_ context.Context, req admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := json.Unmarshal(req.Object.Raw, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if pod.Annotations["mesh"] == "" || slices.ContainsFunc(pod.Spec.Containers,
		func(c corev1.Container) bool { return c.Name == "mesh" }) {
		return admission.Allowed("")
	}
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "mesh", Image: "mesh"})
	changed, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, changed)
}

// newConfiguration leads to the webhook, with an empty bundle.
func (p *podWebhook) newConfiguration(
	namespace string, mesh bool,
) *admissionregistrationv1.MutatingWebhookConfiguration {
	hook := func(name, path string) admissionregistrationv1.MutatingWebhook {
		return admissionregistrationv1.MutatingWebhook{
			Name:                    name,
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://" + p.address + path)},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			FailurePolicy:           ptr.To(admissionregistrationv1.Fail),
			ReinvocationPolicy:      ptr.To(admissionregistrationv1.IfNeededReinvocationPolicy),
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelInject: "true"}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}
	}
	out := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: p.name},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{hook("pods.credentials.coder.com", webhook.Path)},
	}
	if mesh {
		out.Webhooks = append(out.Webhooks, hook("mesh.example.com", meshPath))
	}
	return out
}

// trustedCertificate is the webhook's certificate, if the configuration's bundle vouches for it.
func (w *operatorEnv) trustedCertificate(ctx context.Context, p *podWebhook) (*x509.Certificate, error) {
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := w.Client.Get(ctx, types.NamespacedName{Name: p.name}, configuration); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(configuration.Webhooks[0].ClientConfig.CABundle)
	conn, err := (&tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{RootCAs: roots}}).DialContext(ctx, "tcp",
		p.address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// newPod asks for the session ci. It has no namespace and no name of its own in what the webhook
// sees, like that of a controller.
func (w *operatorEnv) newPod(session string, changes ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, GenerateName: "job-",
			Labels:      map[string]string{v1alpha1.LabelInject: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationSession: session},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

// clientWithWarnings is a client of the user's, and what the API server warned it of.
func (w *operatorEnv) clientWithWarnings() (client.Client, *warnings) {
	w.T.Helper()
	collected := &warnings{}
	config := rest.CopyConfig(w.Cluster.Config)
	config.WarningHandler = collected
	c, err := client.New(config, client.Options{Scheme: w.Cluster.Scheme})
	w.Must(err)
	return c, collected
}

type warnings struct {
	mu   sync.Mutex
	text []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// takeAll returns the warnings since it was last called.
func (w *warnings) takeAll() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.text = nil }()
	return w.text
}

// mountsOf lists what containers mount of the session, and fails for one whose variables do not go
// with that.
func mountsOf(pod *corev1.Pod, session string) ([]string, error) {
	folder := v1alpha1.MountRoot + "/" + session
	var out []string
	for _, c := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		mounted := slices.ContainsFunc(c.VolumeMounts,
			func(m corev1.VolumeMount) bool { return m.MountPath == folder && m.ReadOnly })
		told := slices.Contains(c.Env, corev1.EnvVar{Name: "CODER_CONFIG_DIR", Value: folder})
		if mounted != told {
			return nil, fmt.Errorf("container %s: mounted %v, told so %v", c.Name, mounted, told)
		}
		if mounted {
			out = append(out, c.Name)
		}
	}
	return out, nil
}
