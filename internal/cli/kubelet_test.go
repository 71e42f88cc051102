// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// kubelet implements the part of a kubelet that forwards ports. All connections lead to one address
// of this machine.
type kubelet struct {
	t  testing.TB
	to string

	mu          sync.Mutex
	paths       []string
	ports       []string
	connections []httpstream.Connection
}

// createNode registers a kubelet at the API server. The ports of its pods lead to a server of the test.
func (w *pluginEnv) createNode(to *httptest.Server) (*kubelet, string) {
	w.t.Helper()
	target, err := url.Parse(to.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	k := &kubelet{t: w.t, to: target.Host}
	server := httptest.NewTLSServer(k)
	w.t.Cleanup(func() {
		k.dropForwards()
		server.Close()
	})
	_, text, _ := net.SplitHostPort(server.Listener.Addr().String())
	port, _ := strconv.ParseInt(text, 10, 32)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	if err := w.cluster.Client.Create(w.t.Context(), node); err != nil {
		w.t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	if err := w.cluster.Client.Status().Update(w.t.Context(), node); err != nil {
		w.t.Fatal(err)
	}
	return k, node.Name
}

// createPod creates a pod of the operator, in the test's namespace.
func (w *pluginEnv) createPod(name, node string, changes ...func(*corev1.Pod)) {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name,
			Labels: map[string]string{"app.kubernetes.io/name": "coder-session-operator"}},
		Spec: corev1.PodSpec{NodeName: node,
			Containers: []corev1.Container{{Name: "manager", Image: "manager", Ports: []corev1.ContainerPort{
				{Name: "probes", ContainerPort: 8081}, {Name: "callback", ContainerPort: 8082},
			}}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
				{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, change := range changes {
		change(pod)
	}
	status := pod.Status
	if err := w.cluster.Client.Create(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
	pod.Status = status
	if err := w.cluster.Client.Status().Update(w.t.Context(), pod); err != nil {
		w.t.Fatal(err)
	}
}

func (w *pluginEnv) deletePod(name string) {
	w.t.Helper()
	pod := &corev1.Pod{}
	if err := w.cluster.Client.Get(
		w.t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, pod); err != nil {
		w.t.Fatal(err)
	}
	// Without a kubelet the containers are never reported as ended.
	if err := w.cluster.Client.Delete(w.t.Context(), pod, gracePeriod(0)); err != nil {
		w.t.Fatal(err)
	}
}

// dropForwards ends all port-forwards, as the end of their pod does.
func (k *kubelet) dropForwards() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.connections {
		_ = c.Close()
	}
	k.connections = nil
}

// requestedForwards returns the requested paths and ports.
func (k *kubelet) requestedForwards() (paths, ports string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.paths, " "), strings.Join(k.ports, " ")
}

// ServeHTTP serves portforward.k8s.io over SPDY: each connection has one stream for errors and one
// for data.

func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		return
	}
	streams := make(chan httpstream.Stream, 100)
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if connection == nil {
		return
	}
	defer connection.Close()
	k.mu.Lock()
	k.paths = append(k.paths, r.URL.Path)
	k.connections = append(k.connections, connection)
	k.mu.Unlock()
	failures := map[string]httpstream.Stream{}
	for {
		select {
		case <-connection.CloseChan():
			return
		case s := <-streams:
			id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
			if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				failures[id] = s
				continue
			}
			k.mu.Lock()
			k.ports = append(k.ports, s.Headers().Get(corev1.PortHeader))
			k.mu.Unlock()
			go k.forwardPort(s, failures[id])
		}
	}
}

func (k *kubelet) forwardPort(data, failure httpstream.Stream) {
	defer failure.Close()
	defer data.Close()
	var dialer net.Dialer
	connection, err := dialer.DialContext(k.t.Context(), "tcp", k.to)
	if err != nil {
		_, _ = io.WriteString(failure, err.Error())
		return
	}
	defer connection.Close()
	go func() { _, _ = io.Copy(connection, data) }()
	_, _ = io.Copy(data, connection)
}
