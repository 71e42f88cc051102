// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// keeper keeps the output of all pods, including those that are gone, and the values of all Secrets
// that ever existed, so that the output can be searched for the values.
type keeper struct {
	client client.WithWatch
	pods   kubernetes.Interface
	folder string
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	followed map[string]bool // containers, by id
	values   map[string]string
	problems []error
}

// newKeeper follows everything from now on.
func newKeeper(ctx context.Context, config *rest.Config, c client.WithWatch, logs string) (*keeper, error) {
	pods, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	k := &keeper{
		client: c, pods: pods, folder: filepath.Join(logs, "pods"), followed: map[string]bool{}, values: map[string]string{},
	}
	if err := os.Mkdir(k.folder, 0o700); err != nil {
		return nil, err
	}
	ctx, k.cancel = context.WithCancel(ctx)
	k.work.Go(func() { k.watchObjects(ctx, &corev1.PodList{}, func(o client.Object) { k.seePod(ctx, o) }) })
	k.work.Go(func() { k.watchObjects(ctx, &corev1.SecretList{}, k.seeSecret) })
	return k, nil
}

// watchObjects passes all objects of a kind to see, and starts again from the beginning when the
// watch ends.
func (k *keeper) watchObjects(ctx context.Context, list client.ObjectList, see func(client.Object)) {
	for ctx.Err() == nil {
		stream, err := k.client.Watch(ctx, list)
		if err != nil {
			k.addProblem(ctx, err)
			return
		}
		for event := range stream.ResultChan() {
			if object, ok := event.Object.(client.Object); ok {
				see(object)
			}
		}
		stream.Stop()
	}
}

func (k *keeper) addProblem(ctx context.Context, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ctx.Err() == nil {
		k.problems = append(k.problems, err)
	}
}

// seePod follows the output of every container that has begun.
func (k *keeper) seePod(ctx context.Context, object client.Object) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		begun := status.State.Running != nil || status.State.Terminated != nil
		k.mu.Lock()
		known := k.followed[status.ContainerID]
		if begun {
			k.followed[status.ContainerID] = true
		}
		k.mu.Unlock()
		if begun && !known {
			k.work.Go(func() { k.followContainer(ctx, pod, status.Name, status.ContainerID) })
		}
	}
}

func (k *keeper) followContainer(ctx context.Context, pod *corev1.Pod, container, id string) {
	_, id, _ = strings.Cut(id, "://")
	path := filepath.Join(k.folder, fmt.Sprintf("%s_%s_%s_%.8s.log", pod.Namespace, pod.Name, container, id))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		k.addProblem(ctx, err)
		return
	}
	defer func() { _ = file.Close() }()
	stream, err := k.pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name,
		&corev1.PodLogOptions{Container: container, Follow: true}).Stream(ctx)
	if err != nil {
		return // a container that has gone already, or whose node cannot be asked
	}
	defer func() { _ = stream.Close() }()
	_, _ = io.Copy(file, stream) // ends with the container
}

// publicKeys of Secrets are no credentials.
var publicKeys = map[string]bool{
	"url": true, "CODER_URL": true, "tls.crt": true, "ca.crt": true, "client-ca.crt": true, "server.crt": true,
}

// seeSecret remembers the values of a Secret, by a name to say where one was found.
func (k *keeper) seeSecret(object client.Object) {
	secret, ok := object.(*corev1.Secret)
	if !ok || strings.HasPrefix(string(secret.Type), "helm.sh/") || strings.HasPrefix(secret.Namespace, "kube-") {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, value := range secret.Data {
		if publicKeys[key] {
			continue
		}
		for _, part := range recognisableParts(string(value)) {
			k.values[part] = fmt.Sprintf("key %q of Secret %s/%s", key, secret.Namespace, secret.Name)
		}
	}
}

// recognisableParts returns the parts of a value by which it can be recognised: each long line; of
// a header, its value.
func recognisableParts(value string) []string {
	var parts []string
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		if _, header, found := strings.Cut(line, headerName+"="); found {
			line = header
		}
		if len(line) >= 16 && !strings.HasPrefix(line, "-----") {
			parts = append(parts, line)
		}
	}
	return parts
}

// stop ends the watches, and waits for pending output.
func (k *keeper) stop() {
	k.cancel()
	done := make(chan struct{})
	go func() { k.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
	}
}

// allCredentials returns all values of Secrets that were ever seen, with their origins.
func (k *keeper) allCredentials() map[string]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.values)
}

// err returns the errors of watches and logs.
func (k *keeper) err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.problems...)
}
