// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// requestLength is how many characters of a request count: as many as status can hold.
const requestLength = 64

// RenewalRequest is the request of [AnnotationRenewRequestedAt]. Empty: there is none.
func (s *CoderSession) RenewalRequest() string {
	return requestIn(s.ObjectMeta, AnnotationRenewRequestedAt)
}

// VerificationRequest is the request of [AnnotationVerifyRequestedAt]. Empty: there is
// none.
func (d *CoderDeployment) VerificationRequest() string {
	return requestIn(d.ObjectMeta, AnnotationVerifyRequestedAt)
}

// requestIn is the value of an annotation, as status can hold it.
func requestIn(meta metav1.ObjectMeta, annotation string) string {
	value := meta.Annotations[annotation]
	characters := 0
	for at := range value {
		if characters == requestLength {
			return value[:at]
		}
		characters++
	}
	return value
}
