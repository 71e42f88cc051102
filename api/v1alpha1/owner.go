// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// KindCoderSession is the kind of a CoderSession.
const KindCoderSession = "CoderSession"

// Controls reports whether the session is the controller of an object. A session without a UID
// controls nothing.
func (s *CoderSession) Controls(object metav1.Object) bool {
	controller := metav1.GetControllerOfNoCopy(object)
	return controller != nil && s.UID != "" && controller.UID == s.UID
}

// MayAdopt reports whether the session may become the controller of an object that the operator
// created for a session of its name: it has no controller, or one that was a session of this name and
// no longer exists, because names are unique. Backups keep labels and annotations, and drop owners or
// keep those with the former UID.
func (s *CoderSession) MayAdopt(object metav1.Object) bool {
	controller := metav1.GetControllerOfNoCopy(object)
	if controller == nil {
		return s.UID != ""
	}
	version, err := schema.ParseGroupVersion(controller.APIVersion)
	return err == nil && s.UID != "" && version.Group == GroupVersion.Group && controller.Kind == KindCoderSession &&
		controller.Name == s.Name && controller.UID != s.UID
}

// HasMarked reports whether a Secret has the label and the annotations of one that the operator wrote
// for a session of this name.
func (s *CoderSession) HasMarked(object metav1.Object) bool {
	annotations := object.GetAnnotations()
	return object.GetLabels()[LabelSession] == s.Name &&
		(annotations[AnnotationRetained] == "true" || annotations[AnnotationFingerprint] != "")
}

// IsGenerated reports whether the operator wrote a Secret for a session, be it what is published or a
// grant: a label says so, or a CoderSession controls it.
func IsGenerated(object metav1.Object) bool {
	labels := object.GetLabels()
	if labels[LabelSession] != "" || labels[LabelGrant] != "" {
		return true
	}
	controller := metav1.GetControllerOfNoCopy(object)
	if controller == nil {
		return false
	}
	version, err := schema.ParseGroupVersion(controller.APIVersion)
	return err == nil && version.Group == GroupVersion.Group && controller.Kind == KindCoderSession
}
