// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// CacheOptions returns the options of the manager's cache. It is limited to the given
// namespaces (all, if there are none) and, for the operator's own kinds, to a label
// selector. It never holds contents of Secrets and ConfigMaps. Reading a kind that is
// not watched returns an error instead of starting a watch. Of pods it holds those that ask for a session
// with perPod, and of these and of ResourceQuotas what is needed only. The operator's own kinds are whole but
// for their metadata, so an object from the cache must not be written with Update.
func CacheOptions(namespaces []string, selector labels.Selector) cache.Options {
	o := cache.Options{
		DefaultTransform:            StripUnused,
		ReaderFailOnMissingInformer: true,
	}
	if len(namespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			o.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	own := cache.ByObject{Transform: stripOwn(selector)}
	if selector != nil && !selector.Empty() {
		own.Label = selector
	}
	o.ByObject = map[client.Object]cache.ByObject{
		&corev1.Pod{}:               {Label: hasParent(), Transform: stripPod},
		&corev1.ResourceQuota{}:     {Transform: stripQuota},
		&v1alpha1.CoderDeployment{}: own,
		&v1alpha1.CoderSession{}:    own,
	}
	return o
}

// stripOwn returns a transform that keeps of the metadata of CoderSessions and CoderDeployments what the
// operator reads, and spec and status, which are bounded by their schema. Who may write one decides how
// large its metadata is. The operator writes these objects only with merge patches between two copies of the
// same object, which do not touch what is left out here.
func stripOwn(selector labels.Selector) func(any) (any, error) {
	labelKeys := []string{v1alpha1.LabelParent}
	if selector != nil {
		requirements, _ := selector.Requirements()
		for _, requirement := range requirements {
			labelKeys = append(labelKeys, requirement.Key())
		}
	}
	return func(in any) (any, error) {
		switch object := in.(type) {
		case *v1alpha1.CoderSession:
			object.ObjectMeta = keepOwnMeta(&object.ObjectMeta, labelKeys, sessionAnnotations)
		case *v1alpha1.CoderDeployment:
			object.ObjectMeta = keepOwnMeta(&object.ObjectMeta, labelKeys, deploymentAnnotations)
		}
		return in, nil
	}
}

// keepOwnMeta is keepMeta for an object of the operator's own kinds: with the generation, and at most
// [reconcile.MaxFinalizers] finalizers.
func keepOwnMeta(meta *metav1.ObjectMeta, labelKeys, annotationKeys []string) metav1.ObjectMeta {
	kept := keepMeta(meta, labelKeys, annotationKeys)
	kept.Generation, kept.DeletionGracePeriodSeconds = meta.Generation, meta.DeletionGracePeriodSeconds
	kept.Finalizers = keepFinalizers(meta.Finalizers)
	return kept
}

// keepMeta returns metadata with the identity of an object, its times, its controller, and some of its labels and
// annotations.
func keepMeta(meta *metav1.ObjectMeta, labelKeys, annotationKeys []string) metav1.ObjectMeta {
	kept := metav1.ObjectMeta{
		Namespace: meta.Namespace, Name: meta.Name, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
		CreationTimestamp: meta.CreationTimestamp, DeletionTimestamp: meta.DeletionTimestamp,
		Labels:      keepKeys(meta.Labels, labelKeys),
		Annotations: keepKeys(meta.Annotations, annotationKeys),
	}
	if controller := metav1.GetControllerOf(meta); controller != nil {
		kept.OwnerReferences = []metav1.OwnerReference{*controller}
	}
	return kept
}

// keepFinalizers returns at most [reconcile.MaxFinalizers] finalizers, and of more the operator's own first.
func keepFinalizers(all []string) []string {
	if len(all) <= reconcile.MaxFinalizers {
		return all
	}
	kept := make([]string, 0, reconcile.MaxFinalizers)
	for _, own := range []string{v1alpha1.SessionFinalizer, v1alpha1.DeploymentFinalizer} {
		if slices.Contains(all, own) {
			kept = append(kept, own)
		}
	}
	for _, finalizer := range all {
		if len(kept) < reconcile.MaxFinalizers && !slices.Contains(kept, finalizer) {
			kept = append(kept, finalizer)
		}
	}
	return kept
}

// hasParent selects the pods that ask for a session with perPod: the webhook has labelled them.
func hasParent() labels.Selector {
	exists, err := labels.NewRequirement(v1alpha1.LabelParent, selection.Exists, nil)
	if err != nil {
		panic(err) // the key is a constant
	}
	return labels.NewSelector().Add(*exists)
}

// stripPod keeps of a pod what the operator needs: its identity, what it asks for, and whether it has
// ended.
func stripPod(in any) (any, error) {
	pod, ok := in.(*corev1.Pod)
	if !ok {
		return in, nil
	}
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
			Labels: map[string]string{v1alpha1.LabelParent: pod.Labels[v1alpha1.LabelParent]},
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase},
	}
	if name := podsession.SessionName(pod); name != "" {
		kept.Annotations = map[string]string{v1alpha1.AnnotationPodSession: name}
	}
	return kept, nil
}

// stripQuota keeps of a ResourceQuota its identity, and what it says of Secrets.
func stripQuota(in any) (any, error) {
	quota, ok := in.(*corev1.ResourceQuota)
	if !ok {
		return in, nil
	}
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: quota.Namespace, Name: quota.Name, UID: quota.UID, ResourceVersion: quota.ResourceVersion,
		},
		Spec: corev1.ResourceQuotaSpec{Hard: lookup.SecretLimits(quota)},
	}, nil
}

// restrictedClient returns NotFound for objects outside of the watched namespaces. The
// cache would return an error for them, which would prevent even the deletion of a session
// that refers to a deployment in such a namespace.
type restrictedClient struct {
	client.Client
	namespaces []string // empty: all
}

// Get returns a NotFound error for an object in a namespace that is not watched.
func (c restrictedClient) Get(
	ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption,
) error {
	if key.Namespace != "" && len(c.namespaces) > 0 && !slices.Contains(c.namespaces, key.Namespace) {
		return apierrors.NewNotFound(schema.GroupResource{}, key.String())
	}
	return c.Client.Get(ctx, key, object, options...)
}

// StripUnused removes fields that the operator does not use before an object is cached. A cluster may
// have a hundred thousand Secrets and ConfigMaps, and who may write one decides how large its metadata is:
// what is kept of each is bounded, whatever is in it. kubectl's last-applied-configuration of a Secret
// contains the Secret's data, too.
func StripUnused(in any) (any, error) {
	object, ok := in.(client.Object)
	if !ok {
		return in, nil
	}
	object.SetManagedFields(nil)
	meta, ok := in.(*metav1.PartialObjectMetadata)
	if !ok {
		return in, nil
	}
	if meta.Kind != "Secret" && meta.Kind != "ConfigMap" {
		meta.Annotations = nil // the labels of namespaces decide access rules
		return in, nil
	}
	return &metav1.PartialObjectMetadata{
		TypeMeta: meta.TypeMeta, ObjectMeta: keepMeta(&meta.ObjectMeta, cachedLabels, cachedAnnotations),
	}, nil
}

// cachedLabels and cachedAnnotations are those of Secrets that the operator reads from the cache.
var (
	cachedLabels      = []string{v1alpha1.LabelSession, v1alpha1.LabelGrant}
	cachedAnnotations = []string{
		v1alpha1.AnnotationSerial, v1alpha1.AnnotationTokenID, v1alpha1.AnnotationExpiresAt,
		v1alpha1.AnnotationFingerprint, v1alpha1.AnnotationTokenFingerprint, v1alpha1.AnnotationCredential,
		v1alpha1.AnnotationRequest, v1alpha1.AnnotationRetained,
		v1alpha1.AnnotationPredecessor, v1alpha1.AnnotationRevokeAfter,
	}
)

// sessionAnnotations and deploymentAnnotations are those of CoderSessions and CoderDeployments that the operator
// reads from the cache.
var (
	sessionAnnotations = []string{
		v1alpha1.AnnotationRenewRequestedAt, v1alpha1.AnnotationLoginPort, v1alpha1.AnnotationParentUID,
	}
	deploymentAnnotations = []string{v1alpha1.AnnotationVerifyRequestedAt}
)

// longestCached is how many bytes of a value are kept. Those that the operator writes are shorter, so that a
// value which was cut is as invalid as the whole one. Of a request 64 characters are used, which are no longer.
const longestCached = 256

// keepKeys returns a new map with some of the keys; nil if there are none. A map whose keys are deleted keeps
// its size, and a part of a text all of it.
func keepKeys(all map[string]string, keys []string) map[string]string {
	var kept map[string]string
	for _, key := range keys {
		value, found := all[key]
		if !found {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		if len(value) > longestCached {
			value = strings.Clone(value[:longestCached])
		}
		kept[key] = value
	}
	return kept
}
