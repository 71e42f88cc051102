// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// requestLength is how many characters of a request are used: as many as the status can hold.
const requestLength = 64

// RenewalRequest returns the request in [AnnotationRenewRequestedAt]. Empty: there is none.
func (s *CoderSession) RenewalRequest() string {
	return requestIn(s.ObjectMeta, AnnotationRenewRequestedAt)
}

// LoginPort returns the port in [AnnotationLoginPort]. Zero: there is none, or it is no port.
func (s *CoderSession) LoginPort() int {
	port, err := strconv.ParseUint(s.Annotations[AnnotationLoginPort], 10, 16)
	if err != nil {
		return 0
	}
	return int(port)
}

// VerificationRequest returns the request in [AnnotationVerifyRequestedAt]. Empty: there is none.
func (d *CoderDeployment) VerificationRequest() string {
	return requestIn(d.ObjectMeta, AnnotationVerifyRequestedAt)
}

// requestIn returns the value of an annotation, truncated to what the status can hold.
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
